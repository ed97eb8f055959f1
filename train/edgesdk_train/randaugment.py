"""Views of a photo by operations drawn at random, all of one strength.

E. Cubuk et al., RandAugment: Practical Automated Data Augmentation with a Reduced Search Space, arXiv 1909.13719: of
fourteen operations, `OPERATIONS` are drawn for each photo. Differences: the strength is fixed at the paper's middle,
M = 9 of 30 for small networks (section 4.3), with the sign drawn; where a colour operation has nothing to do on a grey
photo, it does nothing.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgesdk.preprocess import Pixels

OPERATIONS = 2
STRENGTH = 9 / 30


def rand_augment(pixels: Pixels, rng: np.random.Generator, *, flip: bool) -> Pixels:
    """One random view of each image; every second mirrored where `flip` allows it.

    Args:
        pixels: uint8 [n, height, width, channels].
        rng: every random number comes from it.

    Returns:
        uint8, the same shape.
    """
    views = np.empty_like(pixels)
    mirrored = (rng.random(len(pixels)) < 0.5) & flip
    drawn = rng.integers(len(ALL), size=(len(pixels), OPERATIONS))
    signs = rng.choice((-1.0, 1.0), (len(pixels), OPERATIONS))
    for index, photo in enumerate(pixels):
        view = np.ascontiguousarray(photo[:, ::-1]) if mirrored[index] else photo
        for operation, sign in zip(drawn[index], signs[index], strict=True):
            view = ALL[operation](view, sign * STRENGTH).reshape(photo.shape)
        views[index] = view
    return views


def _warped(photo: Pixels, rows: Any) -> Pixels:
    """Each point of the result comes from `rows` [2, 3] times it, counted from the middle; the last column in sides."""
    import cv2

    height, width = photo.shape[:2]
    middle, turn = np.array([width - 1, height - 1]) / 2, np.array(rows, float)
    turn[:, 2] = middle - turn[:, :2] @ middle + turn[:, 2] * (width, height)
    return cv2.warpAffine(  # type: ignore[return-value]
        photo,
        turn,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(128, 128, 128),
    )


def _rotated(photo: Pixels, amount: float) -> Pixels:
    angle = np.deg2rad(30 * amount)
    return _warped(photo, [[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0]])


def _blended(photo: Pixels, plain: Any, amount: float) -> Pixels:
    """Away from `plain` by a positive amount, towards it by a negative one, at most 90 %."""
    factor = 1 + 0.9 * amount
    view: Pixels = np.clip(plain + factor * (photo - np.asarray(plain, np.float32)), 0, 255).astype(np.uint8)
    return view


def _grey(photo: Pixels) -> Any:
    return photo.mean(2, keepdims=True, dtype=np.float32)


def _smooth(photo: Pixels) -> Any:
    import cv2

    return cv2.blur(photo, (3, 3)).reshape(photo.shape)


def _stretched(photo: Pixels, amount: float) -> Pixels:
    low, high = photo.min((0, 1)).astype(np.float32), photo.max((0, 1)).astype(np.float32)
    view: Pixels = ((photo - low) * (255 / np.maximum(high - low, 1))).astype(np.uint8)
    return view


def _equalized(photo: Pixels, amount: float) -> Pixels:
    import cv2

    return np.stack([cv2.equalizeHist(np.ascontiguousarray(photo[..., c])) for c in range(photo.shape[2])], 2)


def _solarized(photo: Pixels, amount: float) -> Pixels:
    return np.where(photo < 256 * (1 - abs(amount)), photo, 255 - photo).astype(np.uint8)


def _posterized(photo: Pixels, amount: float) -> Pixels:
    return photo & np.uint8(0xFF << round(4 * abs(amount)) & 0xFF)


#: (photo uint8 [height, width, channels], signed strength) -> the view.
ALL: tuple[Callable[[Pixels, float], Pixels], ...] = (
    lambda photo, amount: photo,
    _stretched,
    _equalized,
    _rotated,
    _solarized,
    lambda photo, amount: _blended(photo, _grey(photo), amount),  # colour
    _posterized,
    lambda photo, amount: _blended(photo, _grey(photo).mean(), amount),  # contrast
    lambda photo, amount: _blended(photo, 0.0, amount),  # brightness
    lambda photo, amount: _blended(photo, _smooth(photo), amount),  # sharpness
    lambda photo, amount: _warped(photo, [[1, 0.3 * amount, 0], [0, 1, 0]]),
    lambda photo, amount: _warped(photo, [[1, 0, 0], [0.3 * amount, 1, 0]]),
    lambda photo, amount: _warped(photo, [[1, 0, 0.3 * amount], [0, 1, 0]]),
    lambda photo, amount: _warped(photo, [[1, 0, 0], [0, 1, 0.3 * amount]]),
)
