"""The memory of a camera's frames, used again and again."""

import sys
from collections.abc import Sequence

import numpy as np

from edgesdk.preprocess import Pixels

MOST = 8  # frames on their way through a stream, and a few that a caller keeps


class FrameMemory:
    """Frames that were decoded before, to decode the next one into.

    The pages of a new array are cleared by the system when they are first written: for a frame of 640x480 a quarter of
    what decoding takes. An array that anybody still holds, or a part of it, is never written to.
    """

    def __init__(self) -> None:
        self._frames: list[Pixels] = []

    def spare(self) -> Pixels | None:
        """A frame that nobody holds any more; None where there is none."""
        free = (index for index in range(len(self._frames)) if _holders(self._frames, index) == _NOBODY)
        index = next(free, None)
        return None if index is None else self._frames[index]

    def keep(self, frame: Pixels) -> Pixels:
        """Remember a frame that was decoded into new memory, and give it back."""
        if frame.base is None and not any(frame is known for known in self._frames):
            self._frames = [*self._frames[-MOST + 1 :], frame]
        return frame


def _holders(frames: Sequence[Pixels], index: int) -> int:
    return sys.getrefcount(frames[index])


_NOBODY = _holders([np.empty(0, np.uint8)], 0)  # but the list itself
