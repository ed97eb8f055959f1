"""The statistics every claim here rests on."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgesdk.measurement import Percentiles

Z95 = 1.959964
DRAWS = 2000
QUANTILES = 32
Samples = npt.NDArray[np.float64]


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927): honest near 0 and 1, where the normal one is not.

    Args:
        right: successes.
        n: trials, >= 1.
    """
    p, z2 = right / n, Z95**2
    centre = p + z2 / (2 * n)
    spread = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = (centre - spread) / (1 + z2 / n), (centre + spread) / (1 + z2 / n)
    return min(p, max(0.0, low)), max(p, min(1.0, high))  # of 24 of 24, floating point makes a little less than 1


def percentiles(times_ms: Sequence[float]) -> Percentiles:
    """p50, p90, p99 and the largest of at least one time; nothing is clipped."""
    p50, p90, p99 = np.percentile(times_ms, (50, 90, 99))
    return Percentiles(p50=float(p50), p90=float(p90), p99=float(p99), max=float(max(times_ms)), n=len(times_ms))


def split_blocks(samples: Sequence[float], blocks: Sequence[int]) -> list[Samples]:
    """The samples of each block; `blocks` are lengths."""
    return np.split(np.asarray(samples, float), np.cumsum(blocks)[:-1])


def ratio_interval(
    new: Sequence[Samples], old: Sequence[Samples], *, level: float = 0.95, paired: bool = False
) -> tuple[float, float, float]:
    """(median of `new` over that of `old`, and the ends of its bootstrap interval).

    Blocks are drawn, not single runs, because runs in a row resemble each other (B. Efron, Bootstrap methods, Annals of
    Statistics 7, 1979); each draw's median is that of all runs in its blocks, so that a block in which the processor
    was away for a while weighs as little as the few runs it has.

    Args:
        new, old: runs in a row each.
        level: of the interval.
        paired: block i of both was measured at the same time: they are drawn together.
    """
    rng = np.random.default_rng(0)
    if paired:
        length = min(len(new), len(old))
        new, old = new[:length], old[:length]
    drawn = rng.multinomial(len(new), np.full(len(new), 1 / len(new)), DRAWS)
    other = drawn if paired else rng.multinomial(len(old), np.full(len(old), 1 / len(old)), DRAWS)
    ratios = _medians(new, drawn) / _medians(old, other)
    low, high = np.percentile(ratios, (50 - 50 * level, 50 + 50 * level))
    return float(np.median(np.concatenate(new)) / np.median(np.concatenate(old))), float(low), float(high)


def _medians(blocks: Sequence[Samples], drawn: npt.NDArray[np.int64]) -> Samples:
    """The median of all runs in drawn blocks, [draws]; a long block stands in by quantiles of it.

    Args:
        drawn: [draws, blocks], how often each block was drawn.
    """
    points = [
        block if len(block) <= QUANTILES else np.quantile(block, (np.arange(QUANTILES) + 0.5) / QUANTILES)
        for block in blocks
    ]
    values = np.concatenate(points)
    owner = np.repeat(np.arange(len(blocks)), [len(part) for part in points])
    weight = np.array([len(block) / len(part) for block, part in zip(blocks, points, strict=True)])
    order = np.argsort(values)
    owner, values = owner[order], values[order]
    reached = np.cumsum(drawn[:, owner] * weight[owner], axis=1)
    medians: Samples = values[np.argmax(reached >= reached[:, -1:] / 2, axis=1)]
    return medians
