"""`edgesdk run`: from its flags to the camera app, the one command that may never end by itself."""

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING, Any

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


def run(options: argparse.Namespace) -> int:
    """Watch until the source ends or somebody stops it: SIGTERM is an orderly end with code 0, Ctrl-C is 130."""
    settings = settings_from(options)
    if options.print_service:
        from edgesdk.commands.service import service_unit

        print(service_unit(options.typed), end="")
        return 0
    from edgesdk import verbs

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # asked twice, it does not wait
        remark("stopped, as asked by SIGTERM", quiet=options.quiet)
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, end)
    count = 0
    try:
        with verbs.run(options.file, app=settings, frames=options.frames, quiet=options.quiet) as app:
            if app.address:
                remark(f"watch at {app.address}", quiet=False)  # without it nobody gets in
            for seen in app:
                count += 1
                _say(seen, as_json=options.json)
    finally:
        signal.signal(signal.SIGTERM, before)
    remark(f"{count} frames", quiet=options.quiet)
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
    where = answer.frame.name or f"frame {answer.frame.index}"
    happened = "".join(f"  {event.kind}: {event.text or event.label}" for event in seen.events)
    print(f"{where}: {answer.label} {100 * answer.score:.1f} %  ({answer.age_ms:.1f} ms){happened}", flush=True)
