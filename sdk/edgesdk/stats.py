"""The statistics every claim here rests on."""

import math
from collections.abc import Sequence

import numpy as np

from edgesdk.measurement import Percentiles

Z95 = 1.959964
DRAWS = 4000


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927): honest near 0 and 1, where the normal one is not.

    Args:
        right: successes.
        n: trials, >= 1.
    """
    p, z2 = right / n, Z95**2
    centre = p + z2 / (2 * n)
    spread = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z2 / n)), min(1.0, (centre + spread) / (1 + z2 / n))


def percentiles(times_ms: Sequence[float]) -> Percentiles:
    """p50, p90, p99 and the largest of at least one time; nothing is clipped."""
    p50, p90, p99 = np.percentile(times_ms, (50, 90, 99))
    return Percentiles(p50=float(p50), p90=float(p90), p99=float(p99), max=float(max(times_ms)), n=len(times_ms))


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """(median, and its bootstrap interval's ends): B. Efron, Bootstrap methods, Annals of Statistics 7 (1979).

    Args:
        values: [n], independent: medians of blocks, not the runs within one, which resemble each other.
        level: of the interval.
    """
    medians = _drawn_medians(values, np.random.default_rng(0))
    low, high = np.percentile(medians, (50 - 50 * level, 50 + 50 * level))
    return float(np.median(values)), float(low), float(high)


def ratio_interval(new: Sequence[float], old: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """(median of `new` over that of `old`, and the ends of its bootstrap interval); as `median_interval`."""
    rng = np.random.default_rng(0)
    ratios = _drawn_medians(new, rng) / _drawn_medians(old, rng)
    low, high = np.percentile(ratios, (50 - 50 * level, 50 + 50 * level))
    return float(np.median(new) / np.median(old)), float(low), float(high)


def block_medians(samples: Sequence[float], blocks: Sequence[int]) -> list[float]:
    """The median of each block of samples; blocks are lengths."""
    ends = np.cumsum(blocks)[:-1]
    return [float(np.median(part)) for part in np.split(np.asarray(samples, float), ends)]


def _drawn_medians(values: Sequence[float], rng: np.random.Generator) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    array = np.asarray(values, float)
    drawn = array[rng.integers(0, len(array), (DRAWS, len(array)))]
    medians: np.ndarray[tuple[int], np.dtype[np.float64]] = np.median(drawn, 1)
    return medians
