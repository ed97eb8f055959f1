"""`edgesdk run`: from its flags to the camera app, the one command that may never end by itself."""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesdk.commands import codec
from edgesdk.commands.options import Add, add_backend
from edgesdk.commands.values import floats, pair, words
from edgesdk.progress import remark

if TYPE_CHECKING:
    from edgesdk_device.app import AppSettings, Seen

#: Flags that say what is under another name in a table of the app file.
DECISIONS = {"threshold": "threshold", "none": "none", "cooldown": "cooldown_s", "region": "region", "motion": "motion"}
CAPTURE = {"fps": "fps", "fourcc": "fourcc", "stall": "stall_s", "paced": "paced", "loop": "loop"}
SETTINGS = (
    *("source", "backend", "threads", "delegate", "events", "events_mb", "decided", "serve", "viewers", "show"),
    *("trust", "collect", "save_uncertain", "uncertain_mb", "mqtt"),
)


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(
        run,
        "name what a camera sees",
        "edgesdk run model.tflite --source 0 --serve 8000\n  edgesdk run model.tflite --app app.toml --print-service\n"
        "  edgesdk run yard.codec --compress yard.eds --serve 0.0.0.0:8443",
    )
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument("--frames", type=int, metavar="N", help="stop after N frames")
    codec.add_recording(command)
    command.add_argument(
        "--app", type=Path, metavar="TOML", help="app file with any of the following; flags come first"
    )
    command.add_argument("--print-service", action="store_true", help="print a systemd unit that does the same")
    _add_capture(command)
    add_backend(command)
    command.set_defaults(backend=None, threads=None)  # said or not said, which matters beside --app
    _add_decisions(command)
    _add_sinks(command)


def run(options: argparse.Namespace) -> int:
    """Watch until the source ends or somebody stops it: SIGTERM is an orderly end with code 0, Ctrl-C is 130."""
    settings = settings_from(options)
    if options.print_service:
        from edgesdk.commands.service import service_unit

        print(service_unit(options.typed), end="")
        return 0

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # asked twice, it does not wait
        remark("stopped, as asked by SIGTERM", quiet=options.quiet)
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        return _watch(options, settings) if options.compress is None else codec.record(options, settings)
    finally:
        signal.signal(signal.SIGTERM, before)


def _watch(options: argparse.Namespace, settings: "AppSettings") -> int:
    from edgesdk import verbs

    count = 0
    with verbs.run(options.file, app=settings, frames=options.frames, quiet=options.quiet) as app:
        if app.address:
            remark(f"watch at {app.address}", quiet=False)  # without it nobody gets in
        for seen in app:
            count += 1
            _say(seen, as_json=options.json)
    remark(f"{count} frame{'' if count == 1 else 's'}", quiet=options.quiet)
    return 0


def settings_from(options: argparse.Namespace) -> "AppSettings":
    """The app file's settings, with what was said on the command line put before them.

    Raises:
        AppFileError: if the file is missing or wrong.
        ValueError: if a flag is.
    """
    from edgesdk_device.app.settings import read_app, settings_of

    said = {name: _plain(getattr(options, name)) for name in SETTINGS}
    said["delegate_options"] = dict(options.delegate_options) or None
    decisions = {field: _plain(getattr(options, flag)) for flag, field in DECISIONS.items()}
    decisions |= dict(zip(("votes", "window"), options.votes or (None, None), strict=True))
    capture = {field: _plain(getattr(options, flag)) for flag, field in CAPTURE.items()}
    capture |= dict(zip(("width", "height"), options.size or (None, None), strict=True))
    tables = {"decisions": _said(decisions), "capture": _said(capture)}
    everything = {**_said(said), **tables}
    return settings_of(everything) if options.app is None else read_app(options.app, everything)


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _say(seen: "Seen", *, as_json: bool) -> None:
    """One line a frame, with what happened since the frame before."""
    if as_json:
        from edgesdk_device.app.events import event_to_json

        events = [event_to_json(event) for event in seen.events]
        print(json.dumps({"event": "frame", **seen.to_json(), "events": events}, ensure_ascii=False), flush=True)
        return
    answer = seen.answer
    where = seen.name or f"frame {answer.frame.index}"
    happened = "".join(f"  {event.kind}: {event.text or event.label}" for event in seen.events)
    print(f"{where}: {answer.label} {100 * answer.score:.1f} %  ({answer.age_ms:.1f} ms){happened}", flush=True)


def _add_capture(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("source")
    group.add_argument(
        "--source", metavar="SRC", help="camera number, video, URL, photo folder or synthetic (default 0)"
    )
    group.add_argument("--size", type=pair("x"), metavar="WxH", help="picture of a camera, such as 640x480")
    group.add_argument("--fps", type=float, metavar="N", help="frames a second of a camera, or of --paced")
    group.add_argument("--fourcc", metavar="CODE", help="pixel format of a USB camera, such as MJPG")
    group.add_argument(
        "--stall", type=float, metavar="S", help="open a camera or URL anew that is silent for S seconds"
    )
    group.add_argument("--paced", action="store_true", default=None, help="play a file or folder in real time")
    group.add_argument("--loop", action="store_true", default=None, help="with --paced: again and again")


def _add_decisions(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("decisions")
    group.add_argument("--threshold", type=float, metavar="P", help="a lower score is none of these (default 0.5)")
    group.add_argument(
        "--votes", type=pair("/"), metavar="K/N", help="a label is there once K of N frames say so (default 3/5)"
    )
    group.add_argument("--none", type=words, metavar="LABEL,..", help="classes that mean none of these")
    group.add_argument("--cooldown", type=float, metavar="S", help="seconds before a label that left is seen again")
    group.add_argument("--region", type=floats, metavar="L,T,R,B", help="part of the frame to look at, each 0 to 1")
    group.add_argument("--motion", type=float, metavar="SHARE", help="classify only after so much of the picture moved")


def _add_sinks(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("who gets to know")
    group.add_argument("--events", metavar="FILE", help="append one JSON object a line")
    group.add_argument("--events-mb", type=float, metavar="MB", help="size before a new file begins (default 10)")
    group.add_argument("--decided", action="store_true", default=None, help="events without a line for each frame")
    group.add_argument("--serve", metavar="[HOST:]PORT", help="a web page; on this machine only unless HOST is named")
    group.add_argument("--viewers", type=int, metavar="N", help="who may watch at once (default 20)")
    group.add_argument("--collect", metavar="DIR", help="where the page saves frames under a label, to train on")
    group.add_argument("--save-uncertain", metavar="DIR", help="keep frames that the model is unsure of")
    group.add_argument(
        "--uncertain-mb", type=float, metavar="MB", help="at most so many, the oldest leave (default 200)"
    )
    group.add_argument(
        "--mqtt", metavar="URL", help="publish to a broker, mqtt://user@broker.local; Home Assistant too"
    )
    group.add_argument("--show", action="store_true", default=None, help="a window on the screen")
