"""A systemd unit that runs the camera app from boot on, as the command line that asked for it."""

import getpass
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

ENVIRONMENT = "/etc/edgesdk.env"

UNIT = """\
# edgesdk's camera app. Install it with:
#   {command} | sudo tee /etc/systemd/system/edgesdk.service
#   sudo systemctl daemon-reload && sudo systemctl enable --now edgesdk
{notes}
[Unit]
Description=edgesdk camera app
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={start}
WorkingDirectory={folder}
User={user}
SupplementaryGroups=video
EnvironmentFile=-{environment}
# Frame after frame is of no use in the journal: --events and the page have them.
StandardOutput=null
# SIGTERM ends the app with code 0; a camera or port that is missing at boot is tried again.
Restart=on-failure
RestartSec=5
TimeoutStopSec=15
NoNewPrivileges=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


def service_unit(typed: Sequence[str]) -> str:
    """The unit for what was typed, `edgesdk run ... --print-service`.

    It runs in the present folder and as the present user. A broker's password is taken out of the command, because
    every user of a machine can read units and command lines.

    Args:
        typed: the command line, program first.
    """
    words = [word for word in typed[1:] if word != "--print-service"]
    kept = [_without_password(word) for word in words]
    notes = [f"# Put EDGESDK_MQTT_PASSWORD=... into {ENVIRONMENT}, readable by root only."] if kept != words else []
    if any(word == "--serve" or word.startswith("--serve=") for word in words):
        notes.append(f"# The page asks for a new token after each start, or for EDGESDK_TOKEN=... from {ENVIRONMENT}.")
    return UNIT.format(
        command=shlex.join(["edgesdk", *kept, "--print-service"]).replace("\n", " "),
        notes="\n".join(notes) + "\n" * bool(notes),
        start=" ".join(_quoted(word) for word in [*_program(), *kept]),
        folder=str(Path.cwd()).replace("%", "%%"),
        user=getpass.getuser(),
        environment=ENVIRONMENT,
    )


def _program() -> list[str]:
    script = Path(sys.executable).with_name("edgesdk")
    return [str(script)] if os.access(script, os.X_OK) else [sys.executable, "-m", "edgesdk.cli"]


def _without_password(word: str) -> str:
    """mqtt://user:secret@host -> mqtt://user@host, also as --mqtt=URL; anything else as it is."""
    flag, equals, value = word.partition("=") if word.startswith("--mqtt=") else ("", "", word)
    if not value.startswith(("mqtt://", "mqtts://")):
        return word
    url = urlsplit(value)
    who, at, where = url.netloc.rpartition("@")
    return f"{flag}{equals}{url._replace(netloc=who.partition(':')[0] + at + where).geturl()}"


def _quoted(word: str) -> str:
    """A word as systemd's ExecStart reads it: nothing in it is expanded."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    plain = escaped == word and word and not any(mark.isspace() or mark in "';" for mark in word)
    return escaped if plain else f'"{escaped}"'
