"""Photos that are decoded when they are looked at, and again when they are looked at again: for more than memory holds.

What comes out is what decoding all of them once would give.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.photos.photo import Photo
from edgesdk.preprocess import ImageInput, Pixels, fit_frame

MEMORY_SHARE = 4  # decoded photos may take one part in so many of this machine's memory


def memory_bytes() -> int:
    """How many bytes of decoded photos this machine may hold."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEMORY_SHARE
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 4 * 2**30


class LatePixels:
    """As uint8 [n, height, width, channels], of which a row, a slice or a list of rows is decoded in all threads.

    As a whole (`np.asarray`) it is decoded into memory, where it fits.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, photos: Sequence[Photo], image_input: ImageInput) -> None:
        """Of photos that are known to be whole images."""
        self._photos, self._input = photos, image_input
        self.shape = (len(photos), *image_input.shape)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, rows: int | slice | npt.NDArray[np.integer[Any]] | list[int]) -> Pixels:
        """The pixels of some rows, or of one.

        Raises:
            DataError: if a photo is gone or damaged since it was looked through.
        """
        chosen = np.arange(len(self._photos))[rows]
        if chosen.ndim == 0:
            return fit_frame(self._photos[int(chosen)].frame(), self._input)
        if chosen.ndim != 1:
            raise IndexError(f"{rows!r} is no slice or list of photos")
        pixels = np.empty((len(chosen), *self._input.shape), np.uint8)

        def load(place: int) -> None:
            pixels[place] = fit_frame(self._photos[chosen[place]].frame(), self._input)

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(load, range(len(chosen))):
                pass
        return pixels

    def only(self, rows: npt.NDArray[np.integer[Any]]) -> "LatePixels":
        """Some of the photos, still to be decoded."""
        return LatePixels([self._photos[row] for row in rows], self._input)

    def __array__(self, dtype: npt.DTypeLike = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or np.uint8, copy=False)
