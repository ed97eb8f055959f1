"""Frames that the model is unsure of, kept for a person to sort: what the next training gains most from."""

import re
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy.typing as npt

from edgesdk.atomic import make_folder, write_bytes
from edgesdk.errors import WriteError
from edgesdk.progress import remark
from edgesdk_device.app.collect import encode_photo, free_name
from edgesdk_device.app.decisions import Event
from edgesdk_device.app.look import cut
from edgesdk_device.app.seen import Seen
from edgesdk_device.app.settings import AppSettings

LOW_SCORE = 0.6
SMALL_MARGIN = 0.2
EVERY_S = 2.0
OURS = re.compile(r"\d{8}-\d{6}-\d{3}(-\d+)?_\d\.\d\d_.*\.jpg")


class UncertainFrames:
    """Writes hard frames into a folder, at most one in two seconds, on a thread of its own.

    A frame is hard if its best score is below 0.6, or less than 0.2 above the second. What the classifier saw of it is
    written as <time>_<score>_<label>.jpg; when the files of such names would outgrow their size, the oldest
    leave. Other photos in the folder are left alone.

    Raises:
        WriteError: if the folder cannot be made.
    """

    def __init__(self, settings: AppSettings, *, quiet: bool = True) -> None:
        assert settings.save_uncertain is not None
        self.folder = make_folder(settings.save_uncertain)
        self._largest_bytes = settings.uncertain_mb * 1e6
        self._region = settings.decisions.region
        self._quiet = quiet
        self._failed = False
        found = sorted(path for path in self.folder.glob("*.jpg") if OURS.fullmatch(path.name))  # named by time
        self._kept = deque((path, path.stat().st_size) for path in found)
        self._bytes = sum(size for _, size in self._kept)
        self._worker = ThreadPoolExecutor(1, "edgesdk uncertain")
        self._writing: Future[None] | None = None
        self._next_at = float("-inf")

    def take(self, seen: Seen) -> None:
        """Keep the frame if it is hard and the last one is long enough ago."""
        now = time.monotonic()
        if now < self._next_at or seen.still or not is_uncertain(seen.answer.classification.top):
            return
        if self._writing is not None and not self._writing.done():
            return  # the card is slower than the frames
        self._next_at = now + EVERY_S
        self._writing = self._worker.submit(self._keep, cut(seen.answer.frame.image, self._region), seen)

    def tell(self, event: Event) -> None:
        """Events are of no concern here."""

    def close(self) -> None:
        """Finish the frame that is being written."""
        self._worker.shutdown()

    def _keep(self, image: npt.NDArray[Any], seen: Seen) -> None:
        data = encode_photo(image)
        while self._kept and self._bytes + len(data) > self._largest_bytes:
            oldest, size = self._kept.popleft()
            oldest.unlink(missing_ok=True)
            self._bytes -= size
        if len(data) > self._largest_bytes:
            return
        word = "".join(mark if mark.isalnum() else "-" for mark in seen.answer.label)[:40]
        try:
            path = write_bytes(free_name(self.folder, f"_{seen.answer.score:.2f}_{word}"), data)
        except WriteError as error:
            if not self._failed:
                remark(f"an uncertain frame is lost: {error}", quiet=self._quiet)
            self._failed = True
            return
        self._failed = False
        self._kept.append((path, len(data)))
        self._bytes += len(data)


def is_uncertain(top: tuple[tuple[str, float], ...]) -> bool:
    """Whether the best of (label, score) is low, or hardly better than the second."""
    best = top[0][1]
    return best < LOW_SCORE or (len(top) > 1 and best - top[1][1] < SMALL_MARGIN)
