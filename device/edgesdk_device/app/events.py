"""Events and frames as JSON lines in a file that stays small and survives a full disk."""

import json
import os
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgesdk.errors import WriteError
from edgesdk.progress import remark
from edgesdk_device.app.decisions import Event
from edgesdk_device.app.seen import Seen

OLD_FILES = 3
RETRY_S = 10.0


class EventLog:
    """A file that gets one JSON object a line: `"event": "frame"` for each frame, the decided ones under their kind.

    A line is written whole or not at all. When the file would outgrow its size it becomes FILE.1, FILE.1 becomes
    FILE.2 and the oldest goes. While the disk refuses, lines are left out and counted; once it takes them again, a
    line `"event": "missed"` says how many.

    Args:
        path: appended to where it exists.
        largest_bytes: of one file.
        decided: leave out the frames.

    Raises:
        WriteError: if the file cannot be opened.
    """

    def __init__(self, path: Path | str, *, largest_bytes: int, decided: bool = False, quiet: bool = True) -> None:
        self.path = Path(path)
        self.missed = 0
        self._largest_bytes = largest_bytes
        self._decided = decided
        self._quiet = quiet
        self._retry_at = 0.0
        try:
            self._file = self._open()
            found = os.fstat(self._file)
            self._size = found.st_size
            self._rotates = stat.S_ISREG(found.st_mode)  # /dev/stdout must not be renamed
            self._end_last_line()
        except OSError as error:
            reason = f"{error.strerror}; name a file in a folder that exists"
            raise WriteError(f"cannot write events to {self.path}: {reason}") from error

    def take(self, seen: Seen) -> None:
        """Write a frame's line."""
        if not self._decided:
            self._append({"event": "frame", **seen.to_json()})

    def tell(self, event: Event) -> None:
        """Write an event's line."""
        self._append(event_to_json(event))

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _append(self, value: dict[str, Any]) -> None:
        if self.missed and time.monotonic() < self._retry_at:
            self.missed += 1
            return
        try:
            if self.missed:
                self._write({"event": "missed", "time": wall_time(time.monotonic()), "lines": self.missed})
                remark(f"events are written to {self.path} again, {self.missed} are missing", quiet=self._quiet)
                self.missed = 0
            self._write(value)
        except OSError as error:
            if not self.missed:
                remark(
                    f"cannot write events to {self.path}: {error.strerror}; they are left out until it works again",
                    quiet=self._quiet,
                )
            self.missed += 1
            self._retry_at = time.monotonic() + RETRY_S

    def _write(self, value: dict[str, Any]) -> None:
        line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
        if self._rotates and self._size and self._size + len(line) > self._largest_bytes:
            self._rotate()
        written = os.write(self._file, line)
        if written < len(line):  # a disk that fills up takes a part of the line
            os.ftruncate(self._file, self._size)
            written = os.write(self._file, line)  # says why
            if written < len(line):
                os.ftruncate(self._file, self._size)
                raise OSError(0, "the disk takes only a part of a line")
        self._size += written

    def _end_last_line(self) -> None:
        """A power cut may have left half a line: what comes next must not be part of it."""
        if self._rotates and self._size:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    self._size += os.write(self._file, b"\n")

    def _rotate(self) -> None:
        if self.path.exists():  # else it was moved already, and no new one could be opened: the old ones stay
            for number in range(OLD_FILES, 0, -1):
                older = self._numbered(number - 1)
                if older.exists():
                    older.replace(self._numbered(number))
        fresh = self._open()
        os.close(self._file)
        self._file, self._size = fresh, 0

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


def event_to_json(event: Event) -> dict[str, object]:
    """An event as the file, the page and the broker get it."""
    facts: dict[str, object] = {"event": event.kind, "time": wall_time(event.at)}
    if event.label:
        facts["label"] = event.label
    if event.score is not None:
        facts["score"] = round(event.score, 4)
    if event.frame is not None:
        facts["frame"] = event.frame
    if event.text:
        facts["text"] = event.text
    return facts


def wall_time(at: float) -> str:
    """A `time.monotonic()` of this process as local time, ISO 8601 with its offset from UTC."""
    then = time.time() - (time.monotonic() - at)
    return datetime.fromtimestamp(then, UTC).astimezone().isoformat(timespec="milliseconds")
