"""The two statistics every claim here rests on."""

import math
from collections.abc import Sequence

import numpy as np

from edgesdk.measurement import Percentiles

Z95 = 1.959964


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
