"""Crops of photos for a compressor: of one size, at several scales."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from edgesdk.errors import DataError
from edgesdk.photos.photo import Photo
from edgesdk.preprocess import Pixels

HELD_OUT_EACH = 20
LARGEST_SIDE = 1024
UPSCALE = 2.0  # small photos are sharper than what a camera gives; enlarged they are as smooth


def read_pool(pool: Sequence[Photo], smallest_side: int = 0) -> list[Pixels]:
    """Photos as RGB, those larger than 1024 pixels a side made smaller; what is no image is left out.

    Args:
        pool: files of their own, or in shards.
        smallest_side: bring them to this short side instead; 0: as they are.

    Raises:
        DataError: if fewer than 8 are left.
    """

    def read(one: Photo) -> Pixels | None:
        try:
            photo = one.frame()
        except DataError:
            return None
        scale = smallest_side / min(photo.shape[:2]) if smallest_side else LARGEST_SIDE / max(photo.shape[:2])
        if scale < 1:
            size = max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale))
            photo = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
        return np.ascontiguousarray(photo[..., ::-1])

    with ThreadPoolExecutor() as threads:
        photos = [photo for photo in threads.map(read, pool) if photo is not None]
    if len(photos) < 8:
        raise DataError(f"{len(photos)} photos to learn compression from are too few, expected at least 8: add some")
    return photos


def cropper(photos: Sequence[Pixels], side: int, *, whole: bool = False) -> Callable[[np.random.Generator], Pixels]:
    """A function: random numbers -> a crop, uint8 [side, side, 3], mirrored half the time.

    Args:
        photos: uint8 [h, w, 3] each.
        side: of the crops.
        whole: show as much of the photo as fits, or a third less, brought to the side; else a piece of it, enlarged
            more often than not.
    """

    def draw(rng: np.random.Generator) -> Pixels:
        photo = photos[int(rng.integers(len(photos)))]
        least = side / min(photo.shape[:2])
        scale = max(least, float(rng.uniform(1, UPSCALE)) if rng.random() < 0.6 else 1.0)
        if whole:
            scale = least * float(rng.uniform(1, 1.5))
        height, width = (min(n, max(1, round(side / scale))) for n in photo.shape[:2])
        top, left = int(rng.integers(photo.shape[0] - height + 1)), int(rng.integers(photo.shape[1] - width + 1))
        crop = photo[top : top + height, left : left + width]
        if crop.shape[:2] != (side, side):
            crop = np.asarray(
                cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA if whole else cv2.INTER_CUBIC), np.uint8
            )
        return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)

    return draw


def hold_out(photos: Sequence[Pixels]) -> tuple[list[Pixels], list[Pixels]]:
    """(to learn from, every twentieth to judge on)."""
    kept = [photo for index, photo in enumerate(photos) if index % HELD_OUT_EACH]
    return kept, list(photos[::HELD_OUT_EACH])
