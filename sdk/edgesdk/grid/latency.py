"""Milliseconds of files that were not measured, from those that were: a cost for each type of operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: What a run is made of: multiply-adds of ordinary and of depthwise convolutions, weights to read, operations to start.
FEATURES = ("convolution", "depthwise", "weights", "operations")
Features = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """Milliseconds for each unit of a feature, fitted on one machine, runtime and precision.

    Attributes:
        cost_ms: per feature, >= 0.
        error: median relative error of each measured file when it is left out of the fit; None for fewer than three.
        n: files it was fitted on.
    """

    cost_ms: dict[str, float]
    error: float | None
    n: int

    def predict(self, features: Features) -> float:
        """Milliseconds of a file with these features."""
        return sum(cost * features[name] for name, cost in self.cost_ms.items())


def fit_latency(measured: Sequence[tuple[Features, float]]) -> LatencyModel:
    """Fit on (features, milliseconds) of at least one file; the relative errors are made least."""
    table = np.array([[features[name] for name in FEATURES] for features, _ in measured], float)
    times = np.array([ms for _, ms in measured], float)
    errors = []
    if len(times) > 2:
        for left_out in range(len(times)):
            rest = np.arange(len(times)) != left_out
            guess = float(table[left_out] @ _solve(table[rest], times[rest]))
            errors.append(abs(guess / times[left_out] - 1))
    cost = _solve(table, times)
    return LatencyModel(
        cost_ms=dict(zip(FEATURES, map(float, cost), strict=True)),
        error=float(np.median(errors)) if errors else None,
        n=len(times),
    )


def _solve(table: npt.NDArray[np.float64], times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Costs >= 0 with the least squares of relative errors, by coordinate descent."""
    scale = np.maximum(table.max(0), 1e-12)
    a = table / scale / times[:, None]
    cost = np.zeros(a.shape[1])
    for _ in range(3000):
        for column in range(len(cost)):
            rest = 1 - a @ cost + a[:, column] * cost[column]
            cost[column] = max(0.0, float(a[:, column] @ rest) / max(1e-12, float(a[:, column] @ a[:, column])))
    solved: npt.NDArray[np.float64] = cost / scale
    return solved
