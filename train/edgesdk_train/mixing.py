"""Two photos as one, with both answers.

H. Zhang et al., mixup: Beyond Empirical Risk Minimization, arXiv 1710.09412: the pixels' and the answers' weighted sum.
S. Yun et al., CutMix, arXiv 1905.04899: a rectangle of one in the other, the answers by area.
"""

import math

import numpy as np
import numpy.typing as npt

from edgesdk.preprocess import Pixels
from edgesdk.runfolder import Mix

MIXUP_ALPHA = 0.2  # section 3.1
CUTMIX_ALPHA = 1.0  # section 3.1

Targets = npt.NDArray[np.float32]


def mix(pixels: Pixels, targets: Targets, rng: np.random.Generator, *, kind: Mix) -> tuple[Pixels, Targets]:
    """Each photo of a batch with another of it, by one share for all; "both" draws one of the two ways.

    Args:
        pixels: uint8 [n, height, width, channels].
        targets: [n, classes].
        rng: every random number comes from it.

    Returns:
        The same shapes and types.
    """
    if kind == "none":
        return pixels, targets
    way = ("mixup", "cutmix")[rng.integers(2)] if kind == "both" else kind
    other = rng.permutation(len(pixels))
    if way == "mixup":
        share = np.float32(rng.beta(MIXUP_ALPHA, MIXUP_ALPHA))
        blended = share * pixels + (1 - share) * pixels[other]
        return np.rint(blended).astype(np.uint8), share * targets + (1 - share) * targets[other]
    mixed, height, width = pixels.copy(), pixels.shape[1], pixels.shape[2]
    side = math.sqrt(1 - rng.beta(CUTMIX_ALPHA, CUTMIX_ALPHA))
    center_y, center_x = rng.integers(height), rng.integers(width)
    top, bottom = (int(np.clip(center_y + sign * side * height / 2, 0, height)) for sign in (-1, 1))
    left, right = (int(np.clip(center_x + sign * side * width / 2, 0, width)) for sign in (-1, 1))
    mixed[:, top:bottom, left:right] = pixels[other, top:bottom, left:right]
    share = np.float32(1 - (bottom - top) * (right - left) / (height * width))
    return mixed, share * targets + (1 - share) * targets[other]
