"""What a camera app does, as values and as the TOML file that `edgesdk run --app` reads.

source = "rtsp://camera.local/live"
serve = "0.0.0.0:8000"
events = "events.jsonl"

[capture]
stall_s = 3
[decisions]
threshold = 0.7
votes = 3
window = 5
cooldown_s = 10
[decisions.cooldowns_s]
cat = 60
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from edgesdk.bounded import SETTINGS_BYTES, read_bounded
from edgesdk.contract import decode_value
from edgesdk.errors import AppFileError
from edgesdk_device.cameras import CaptureOptions

LOOPBACK = ("localhost", "127.0.0.1", "::1")
NONE_LABELS = ("none", "none of these", "background")


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """When the answers to single frames become something that is there.

    Attributes:
        threshold: a score below it is a vote for none of these, 0 to 1.
        votes, window: a label is there once `votes` of the last `window` frames voted for it; more than half.
        none: classes that mean none of these.
        cooldown_s: a label that left and comes back is reported no earlier than this many seconds after it left.
        cooldowns_s: the same for single labels.
        region: the part of the frame that is looked at: left, top, right, bottom, each 0 to 1.
        motion: the share of pixels that must change before frames are classified, 0 to 1; 0 classifies every frame.
    """

    threshold: float = 0.5
    votes: int = 3
    window: int = 5
    none: tuple[str, ...] = NONE_LABELS
    cooldown_s: float = 0.0
    cooldowns_s: dict[str, float] = field(default_factory=dict)
    region: tuple[float, ...] | None = None
    motion: float = 0.0

    def __post_init__(self) -> None:
        _check_share("threshold", self.threshold)
        _check_share("motion", self.motion)
        if not 1 <= self.window <= 1000:
            raise ValueError(f"window is {self.window}, expected 1 to 1000 frames")
        if not self.window < 2 * self.votes <= 2 * self.window:
            least = self.window // 2 + 1
            raise ValueError(f"votes is {self.votes}, expected {least} to {self.window} of a window of {self.window}")
        for name, seconds in {"cooldown_s": self.cooldown_s, **self.cooldowns_s}.items():
            if not 0 <= seconds < math.inf:
                raise ValueError(f"the cooldown {name} is {seconds}, expected seconds, at least 0")
        if self.region is not None:
            left, top, right, bottom = self.region if len(self.region) == 4 else (0.0,) * 4
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ValueError(f"region is {self.region}, expected left,top,right,bottom such as 0.25,0,0.75,1")

    def cooldown_of(self, label: str) -> float:
        """Seconds of quiet after `label` left."""
        return self.cooldowns_s.get(label, self.cooldown_s)


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """Everything that `edgesdk run` can be told, but for the model.

    Attributes:
        source, capture: where frames come from, and how it is opened.
        backend, threads, delegate, delegate_options, trust: what classifies them; see `Classifier`.
        decisions: when a label is there.
        events: file of JSON lines; at most `events_mb` megabytes, then a new one, three old ones are kept.
        decided: no line for each frame there, only what was decided.
        serve: [HOST:]PORT of the web page; loopback where no host is named.
        viewers: how many may watch the page at once.
        show: a window on the screen.
        collect: folder of class folders for the frames that are saved under a label on the page.
        save_uncertain: folder for frames that the model is unsure of; at most `uncertain_mb` megabytes.
        mqtt: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/PREFIX] of a broker.
    """

    source: str = "0"
    capture: CaptureOptions = field(default_factory=CaptureOptions)
    backend: str = "auto"
    threads: int | None = None
    delegate: str | None = None
    delegate_options: dict[str, str] = field(default_factory=dict)
    trust: bool = False
    decisions: Decisions = field(default_factory=Decisions)
    events: str | None = None
    events_mb: float = 10.0
    decided: bool = False
    serve: str | None = None
    viewers: int = 20
    show: bool = False
    collect: str | None = None
    save_uncertain: str | None = None
    uncertain_mb: float = 200.0
    mqtt: str | None = None

    def __post_init__(self) -> None:
        for name in ("events_mb", "uncertain_mb", "viewers"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number above 0")
        if self.delegate_options and self.delegate is None:
            raise ValueError("delegate options without a delegate: name its library, too")
        if self.serve is not None:
            parse_address(self.serve)
        if self.mqtt is not None:
            parse_broker(self.mqtt)
        if self.collect is not None and self.serve is None:
            raise ValueError("collect saves what is chosen on the page, and there is none: name a port with serve")


@dataclass(frozen=True, kw_only=True)
class Broker:
    """Where and as whom to publish; the password is in no text that is made of it."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None = field(repr=False)
    prefix: str


def parse_address(text: str) -> tuple[str, int]:
    """[HOST:]PORT -> host (127.0.0.1 where none is named) and port (0 takes a free one).

    Raises:
        ValueError: if it is neither.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (port.isascii() and port.isdecimal() and int(port) < 2**16) or any(mark in host for mark in "/ ?#@"):
        raise ValueError(f"serve is {text!r}, expected PORT or HOST:PORT such as 8000 or 0.0.0.0:8000")
    return host or LOOPBACK[1], int(port)


def parse_broker(text: str) -> Broker:
    """mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/PREFIX] -> its parts.

    Raises:
        ValueError: if it is no such URL; the sentence does not repeat it, because it may hold a password.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        url, port = urlsplit(""), None
    prefix = url.path.strip("/")
    if url.scheme not in ("mqtt", "mqtts") or not url.hostname or any(mark in prefix for mark in "#+"):
        raise ValueError("mqtt is no broker's URL, expected one such as mqtt://user@broker.local:1883")
    tls = url.scheme == "mqtts"
    return Broker(
        host=url.hostname,
        port=port or (8883 if tls else 1883),
        tls=tls,
        user=_unquoted(url.username),
        password=_unquoted(url.password),
        prefix=prefix or "edgesdk",
    )


def read_app(path: Path | str, said: Mapping[str, Any] | None = None) -> AppSettings:
    """The settings of an app file.

    Args:
        said: fields of `AppSettings` (those of its tables under their names) that come before the file's.

    Raises:
        AppFileError: if the file is missing, is no TOML, or says something that `AppSettings` does not know or allow.
        ValueError: if what was said is not allowed.
    """
    try:
        found = tomllib.loads(read_bounded(path, SETTINGS_BYTES).decode())
    except OSError as error:
        raise AppFileError(f"cannot read the app file {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError, TOMLDecodeError
        raise AppFileError(f"the app file {path} is no TOML: {error}") from error
    try:
        settings_of(found)
    except ValueError as error:
        raise AppFileError(f"the app file {path}: {error}") from error
    said = said or {}
    tables = {name: {**found.get(name, {}), **said.get(name, {})} for name in TABLES}
    return settings_of({**found, **said, **tables})


def settings_of(values: Mapping[str, Any]) -> AppSettings:
    """Plain values -> settings; what is not named keeps its default.

    Raises:
        ValueError: names the field that is unknown, of another type or out of range.
    """
    plain = dict(values)
    for name in ("source", "serve"):  # a camera's number and a port are as well written without quotes
        if type(plain.get(name)) is int:
            plain[name] = str(plain[name])
    _check_names(AppSettings, plain, "")
    for name, kind in TABLES.items():
        if isinstance(plain.get(name), dict):
            _check_names(kind, plain[name], f"{name}.")
    given = {name: decode_value(HINTS[name], value, name) for name, value in plain.items()}
    return AppSettings(**given)


TABLES: dict[str, type[Decisions | CaptureOptions]] = {"decisions": Decisions, "capture": CaptureOptions}
HINTS: dict[str, Any] = {item.name: item.type for item in fields(AppSettings)}


def _check_names(kind: type[AppSettings | Decisions | CaptureOptions], values: Mapping[str, Any], where: str) -> None:
    known = [item.name for item in fields(kind)]
    for name in values:
        if name not in known:
            raise ValueError(f"{where}{name[:40]} is no setting, expected one of {', '.join(known)}")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, expected 0 to 1")


def _unquoted(text: str | None) -> str | None:
    return None if text is None else unquote(text)
