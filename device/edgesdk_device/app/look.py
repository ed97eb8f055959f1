"""What is done to a frame before it is classified: its region is cut out, and where nothing moves, nothing is done."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.results import Classification
from edgesdk_device.app.settings import AppSettings
from edgesdk_device.backends import Delegate
from edgesdk_device.classifier import Classifier

SMALL = (40, 30)  # width, height of the grey pictures that are compared
CHANGED = 20  # of 255: more than a camera's noise averaged over a cell, less than a shadow


class Look(Classifier):
    """A classifier of one region that sleeps while nothing moves.

    While nothing moves the last answer stands: it is given again with `invoke_ms` 0. After a movement `window` frames
    are classified, so that what came to rest gets its votes. With neither region nor motion it is a `Classifier`.

    Args:
        settings: what classifies, the region and the motion.

    Errors: as `Classifier`.
    """

    def __init__(self, path: Path | str, settings: AppSettings, *, quiet: bool = True) -> None:
        delegate = None
        if settings.delegate is not None:
            delegate = Delegate(path=settings.delegate, options=settings.delegate_options)
        super().__init__(
            path,
            backend=settings.backend,
            threads=settings.threads,
            delegate=delegate,
            quiet=quiet,
            trust=settings.trust,
        )
        self.decisions = settings.decisions
        self._before: npt.NDArray[np.int16] | None = None
        self._awake = 0
        self._wake = False
        self._asleep: set[int] = set()  # the rooms of frames that need no answer; a stream has several on their way
        self._last: Classification | None = None

    def prepare(self, frame: npt.NDArray[Any], values: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        """As `Classifier.prepare`, of the region; where nothing moves, `values` are left as they are."""
        region = cut(frame, self.decisions.region)
        if values is None or not self.decisions.motion or self._moves(region):
            self._asleep.discard(id(values))
            return super().prepare(region, values)
        self._asleep.add(id(values))
        return values

    def answer(self, values: npt.NDArray[Any], *, top: int = 5, preprocess_ms: float = 0.0) -> Classification:
        """As `Classifier.answer`; the last one again where nothing moved."""
        if self._last is not None and id(values) in self._asleep:
            return replace(self._last, preprocess_ms=preprocess_ms, invoke_ms=0.0, post_ms=0.0)
        self._last = super().answer(values, top=top, preprocess_ms=preprocess_ms)
        return self._last

    def wake(self) -> None:
        """Classify the next frames though nothing moves; from any thread."""
        self._wake = True

    def _moves(self, region: npt.NDArray[Any]) -> bool:
        now = small_grey(region)
        woken, self._wake = self._wake, False
        if woken or self._before is None or changed_share(self._before, now) >= self.decisions.motion:
            self._awake = self.decisions.window
        else:
            self._awake -= 1
        if self._awake > 0:  # asleep it stays the last picture that was classified: slow changes add up
            self._before = now
        return self._awake > 0


def cut(frame: npt.NDArray[Any], region: tuple[float, ...] | None) -> npt.NDArray[Any]:
    """The part of a frame between left, top, right and bottom (each 0 to 1), at least one pixel; a view."""
    if region is None:
        return frame
    height, width = frame.shape[:2]
    left, top, right, bottom = region
    x, y = min(round(left * width), width - 1), min(round(top * height), height - 1)
    return frame[y : max(y + 1, round(bottom * height)), x : max(x + 1, round(right * width))]


def small_grey(frame: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """A frame in grey, averaged to int16 [30, 40]: enough to see that something moved."""
    import cv2

    rows, columns = (max(1, side // (4 * small)) for side, small in zip(frame.shape, SMALL[::-1], strict=False))
    picked = np.ascontiguousarray(frame[::rows, ::columns])  # sixteen pixels a cell are enough
    grey = picked if picked.ndim == 2 else cv2.cvtColor(picked, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, SMALL, interpolation=cv2.INTER_AREA), np.int16)


def changed_share(before: npt.NDArray[np.int16], now: npt.NDArray[np.int16]) -> float:
    """The share of cells, 0 to 1, that differ by more than a camera's noise."""
    return float((np.abs(before - now) > CHANGED).mean())
