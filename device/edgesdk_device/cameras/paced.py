"""A recording played in real time, as if it were a camera."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from edgesdk.errors import SourceError
from edgesdk_device.cameras.folder import FolderSource
from edgesdk_device.cameras.frame import Frame, OnNotice
from edgesdk_device.cameras.live import EndOfSource, LiveSource
from edgesdk_device.cameras.opencv import VideoFile
from edgesdk_device.cameras.options import CaptureOptions
from edgesdk_device.cameras.synthetic import SyntheticSource

DEFAULT_FPS = 30.0

Recording = VideoFile | FolderSource | SyntheticSource


def play(
    opened: Callable[[], Recording], named: str, *, options: CaptureOptions, on_notice: OnNotice | None
) -> LiveSource:
    """Play what `opened` opens at its own rate, or at `options.fps`, again and again with `options.loop`.

    After a stall, such as that of a machine that had other things to do, it begins anew.
    """
    first = PacedReader(opened, options)
    patient = replace(options, stall_s=max(options.stall_s, 3 / first.fps))
    return LiveSource(lambda: PacedReader(opened, options), named, first=first, options=patient, on_notice=on_notice)


class PacedReader:
    """Each frame when it is due, not earlier; see `live.Reader`.

    A frame is due a frame's time after the one before it, and reading it begins then: `capture_ms` counts from there,
    as with a camera whose frame begins to arrive.
    """

    def __init__(self, opened: Callable[[], Recording], options: CaptureOptions) -> None:
        self._opened, self._loop = opened, options.loop
        self._recording = opened()
        self._frames = iter(self._recording)
        self.fps = options.fps or self._recording.fps or DEFAULT_FPS
        self._due: float | None = None
        self._stop = threading.Event()

    def read(self) -> Frame:
        """Wait until the next frame is due and read it."""
        now = time.monotonic()
        due = now if self._due is None else self._due + 1 / self.fps
        if due > now:
            self._stop.wait(due - now)
        else:
            due = max(due, now - 1 / self.fps)  # after a long sleep of the machine it does not run to catch up
        if self._stop.is_set():
            raise EndOfSource
        first = self._due is None
        self._due = due
        frame = next(self._frames, None)
        if frame is None and self._loop and not first:
            self._recording.close()
            self._recording = self._opened()
            self._frames = iter(self._recording)
            frame = next(self._frames, None)
        if frame is None:
            if first:
                raise SourceError("the recording holds no frame that can be decoded")
            raise EndOfSource
        return replace(frame, capture_ms=(frame.captured_at - due) * 1e3)

    def interrupt(self) -> None:
        """End the waiting."""
        self._stop.set()

    def close(self) -> None:
        """Let the recording go."""
        self._recording.close()
