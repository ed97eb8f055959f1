"""Other views of the same photo: mirrored, shifted, zoomed, brighter or darker."""

import numpy as np

from edgesdk.preprocess import Pixels

SHIFT = 0.08  # of the side
ZOOM = 0.15
BRIGHTNESS = 20.0  # grey levels
CONTRAST = 0.15


def augment(pixels: Pixels, rng: np.random.Generator, *, flip: bool) -> Pixels:
    """One random view of each image.

    Args:
        pixels: uint8 [n, height, width, channels].
        rng: every random number comes from it.
        flip: mirror every second image.

    Returns:
        uint8, the same shape.
    """
    import cv2

    n, height, width, channels = pixels.shape
    views = np.empty_like(pixels)
    mirrored = (rng.random(n) < 0.5) & flip
    zoom = 1 + rng.uniform(-ZOOM, ZOOM, n)
    shift = rng.uniform(-SHIFT, SHIFT, (n, 2)) * (width, height)
    gain = 1 + rng.uniform(-CONTRAST, CONTRAST, n)
    offset = rng.uniform(-BRIGHTNESS, BRIGHTNESS, n)
    for i in range(n):
        scale_x = -zoom[i] if mirrored[i] else zoom[i]
        center_x, center_y = (width - 1) / 2, (height - 1) / 2
        matrix = np.array(
            [
                [scale_x, 0, center_x * (1 - scale_x) + shift[i, 0]],
                [0, zoom[i], center_y * (1 - zoom[i]) + shift[i, 1]],
            ]
        )
        view = cv2.warpAffine(
            pixels[i], matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        levels = np.clip((np.arange(256) - 128) * gain[i] + 128 + offset[i], 0, 255).astype(np.uint8)
        views[i] = cv2.LUT(view, levels).reshape(height, width, channels)
    return views
