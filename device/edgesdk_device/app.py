"""Watch a source: frame, label, event."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgesdk.errors import WriteError
from edgesdk.results import Classification
from edgesdk_device.backends import Delegate
from edgesdk_device.cameras import open_source
from edgesdk_device.classifier import Classifier


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The answer to one frame of a source: its number, its file if it has one, and how old the answer is."""

    frame: int
    name: str
    answer: Classification
    age_ms: float

    def to_json(self) -> dict[str, object]:
        """One event, as `--events` writes it."""
        return {
            "frame": self.frame,
            "name": self.name,
            "label": self.answer.label,
            "score": round(self.answer.score, 4),
            "top": [[label, round(score, 4)] for label, score in self.answer.top],
            "age_ms": round(self.age_ms, 3),
            "preprocess_ms": round(self.answer.preprocess_ms, 3),
            "invoke_ms": round(self.answer.invoke_ms, 3),
        }


def watch(
    path: Path | str,
    *,
    source: str | int,
    backend: str = "auto",
    threads: int | None = None,
    delegate: Delegate | None = None,
    quiet: bool = True,
    frames: int | None = None,
    events: Path | str | None = None,
) -> Iterator[Seen]:
    """Classify frame after frame; see `edgesdk.run`.

    Opening happens at the call, so that what is missing is said before the first frame is asked for.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"frames is {frames}, expected at least 1")
    frames_in = open_source(source)  # first: what is missing is said before anything is measured
    try:
        log = _open_events(events)
        classify = Classifier(path, backend=backend, threads=threads, delegate=delegate, quiet=quiet)
    except BaseException:
        frames_in.close()
        raise

    def seen() -> Iterator[Seen]:
        with classify, frames_in:
            try:
                for frame in frames_in:
                    if frames is not None and frame.index >= frames:
                        return
                    answer = classify(frame.image)
                    age_ms = (time.monotonic() - frame.captured_at) * 1e3
                    one = Seen(frame=frame.index, name=frame.name, answer=answer, age_ms=age_ms)
                    if log is not None:
                        _append(log, one)
                    yield one
            finally:
                if log is not None:
                    log.close()

    return seen()


def _open_events(events: Path | str | None) -> IO[str] | None:
    if events is None:
        return None
    try:
        return Path(events).open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        reason = f"{error.strerror}; name a file in a folder that exists"
        raise WriteError(f"cannot write events to {events}: {reason}") from error


def _append(log: IO[str], one: Seen) -> None:
    try:
        log.write(json.dumps(one.to_json(), ensure_ascii=False) + "\n")
    except OSError as error:
        raise WriteError(f"cannot write events to {log.name}: {error.strerror}") from error
