"""How good a picture came back, and how many bytes that takes: PSNR, SSIM, MS-SSIM, BD-rate, and BlurHash."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

Frame = npt.NDArray[np.uint8]
MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True, kw_only=True)
class Point:
    """One picture at one setting: bits a pixel of the whole file, and how good it is."""

    bits_per_pixel: float
    psnr: float
    ssim: float
    ms_ssim: float


def judge(frame: Frame, back: Frame, size_bytes: int) -> Point:
    """Compare what came back with the frame; all three measures are means over the three colours."""
    a, b = frame.astype(np.float32), back.astype(np.float32)
    error = float(np.mean((a - b) ** 2, dtype=np.float64))
    single, multi = _similarities(a, b)
    return Point(
        bits_per_pixel=8 * size_bytes / (frame.shape[0] * frame.shape[1]),
        psnr=10 * float(np.log10(255**2 / max(error, 1e-9))),
        ssim=single,
        ms_ssim=multi,
    )


def _similarities(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> tuple[float, float]:
    """SSIM, and MS-SSIM: Wang, Simoncelli, Bovik, Multiscale structural similarity (Asilomar 2003)."""
    multi, single = np.ones(3), 0.0
    for scale, weight in enumerate(MS_WEIGHTS):
        mean_a, mean_b = _blur(a), _blur(b)
        var_a, var_b, both = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2, _blur(a * b) - mean_a * mean_b
        contrast = (2 * both + C2) / (var_a + var_b + C2)
        whole = contrast * (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
        if scale == 0:
            single = float(whole.mean())
        last = scale == len(MS_WEIGHTS) - 1
        multi *= np.maximum((whole if last else contrast).mean((0, 1)), 1e-6) ** weight
        height, width = a.shape[0] // 2 * 2, a.shape[1] // 2 * 2
        a, b = (
            np.asarray(cv2.resize(x[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
            for x in (a, b)
        )
    return single, float(multi.mean())


def _blur(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    whole = cv2.GaussianBlur(values, (11, 11), 1.5)
    return np.asarray(whole[5:-5, 5:-5], np.float32)  # where the window lies inside


def bd_rate(anchor: list[Point], other: list[Point], measure: str) -> float:
    """Percent more bits than the anchor for the same quality, averaged over the range that both reach.

    G. Bjontegaard, VCEG-M33, with monotone cubic interpolation; MS-SSIM and SSIM as -10 log10(1 - x).
    """
    curves = []
    for points in (anchor, other):
        rate = np.log([point.bits_per_pixel for point in points])
        value = np.array([getattr(point, measure) for point in points])
        value = value if measure == "psnr" else -10 * np.log10(1 - value)
        order = np.argsort(value)
        curves.append((value[order], PchipInterpolator(value[order], rate[order])))
    low = max(values[0] for values, _ in curves)
    high = min(values[-1] for values, _ in curves)
    areas = [curve.integrate(low, high) for _, curve in curves]
    return float(100 * (np.exp((areas[1] - areas[0]) / (high - low)) - 1))


def mean_curve(pictures: list[list[Point]]) -> list[Point]:
    """The curve of a set of pictures: means at each setting."""
    return [
        Point(
            **{
                name: float(np.mean([getattr(points[index], name) for points in pictures]))
                for name in Point.__dataclass_fields__
            }
        )
        for index in range(len(pictures[0]))
    ]


def blurhash(frame: Frame, across: int = 4, down: int = 4) -> tuple[int, Frame]:
    """(characters, picture) of a BlurHash (woltapp/blurhash, Algorithm.md): a few cosines, 4 + 2 characters each.

    Written from the format's description; what is measured is its size and what comes back, not its text.
    """
    height, width = frame.shape[:2]
    linear = _to_linear(frame[..., ::-1].astype(np.float64) / 255)
    x = np.cos(np.pi * np.outer(np.arange(across), np.arange(width)) / width)
    y = np.cos(np.pi * np.outer(np.arange(down), np.arange(height)) / height)
    factors = np.einsum("jh,iw,hwc->jic", y, x, linear) / (height * width)
    factors[1:] *= 2
    factors[0, 1:] *= 2
    mean = _to_linear(np.rint(255 * _to_srgb(factors[0, 0])) / 255)
    ac = factors.reshape(-1, 3)[1:]
    largest = (np.clip(np.floor(np.abs(ac).max() * 166 - 0.5), 0, 82) + 1) / 166
    steps = np.clip(np.floor(np.sign(ac) * np.sqrt(np.abs(ac) / largest) * 9 + 9.5), 0, 18) - 9
    decoded = np.concatenate([mean[None], np.sign(steps) * (steps / 9) ** 2 * largest]).reshape(down, across, 3)
    back = _to_srgb(np.einsum("jh,iw,jic->hwc", y, x, decoded))
    return 6 + 2 * len(ac), np.rint(255 * back)[..., ::-1].astype(np.uint8)


def _to_linear(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _to_srgb(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
