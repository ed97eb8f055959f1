"""Which weights become zero and what the others become, on layers whose best answer is known or can be bounded."""

from dataclasses import replace

import numpy as np
import pytest

from edgesdk_convert.sparse import sparse_kernels
from edgesdk_train.reconstruct import Matrix, Reader, ridged

ROWS, OUTPUTS = 40, 24


def reader(name: str, *, seed: int = 0, sensitivity: float = 1.0) -> Reader:
    """A layer whose rows are correlated, as those behind a ReLU are."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(2000, ROWS)) @ (np.eye(ROWS) + 0.3 * rng.normal(size=(ROWS, ROWS)))
    return Reader(
        name=name,
        rows=np.arange(ROWS),
        kernel=rng.normal(size=(ROWS, OUTPUTS)),
        mean=np.zeros(ROWS),
        covariance=mixed.T @ mixed / len(mixed),
        photos=200,
        samples=2000,
        sensitivity=np.full(OUTPUTS, sensitivity),
    )


def error(layer: Reader, kernel: Matrix) -> float:
    """Squared change of the layer's outputs."""
    change = kernel - layer.kernel
    return float((change * (ridged(layer.covariance) @ change)).sum())


def refitted(layer: Reader, keep: np.ndarray) -> Matrix:  # type: ignore[type-arg]
    """The least-squares kernel with these weights, one output after the other."""
    covariance, kernel = ridged(layer.covariance), np.zeros_like(layer.kernel)
    for output, rows in enumerate(keep.T):
        wanted = covariance[rows] @ layer.kernel[:, output]
        kernel[rows, output] = np.linalg.solve(covariance[np.ix_(rows, rows)], wanted)
    return kernel


def test_what_stays_has_its_least_squares_values_and_is_better_than_the_largest_weights() -> None:
    layer = reader("a")
    kernel = sparse_kernels([layer], 0.7)["a"]
    assert (kernel == 0).mean() == pytest.approx(0.7, abs=0.005)
    assert np.allclose(kernel, refitted(layer, kernel != 0), atol=0.01)
    largest = np.abs(layer.kernel) > np.quantile(np.abs(layer.kernel), 0.7)
    assert error(layer, kernel) < 0.75 * error(layer, refitted(layer, largest))


def test_layers_share_one_budget_within_bounds() -> None:
    loud, faint = reader("loud", seed=1), reader("faint", seed=2, sensitivity=0.01)
    kernels = sparse_kernels([loud, faint], 0.8)
    share = {name: float((kernel == 0).mean()) for name, kernel in kernels.items()}
    assert (share["loud"] + share["faint"]) / 2 == pytest.approx(0.8, abs=0.005)
    assert 0.5 - 0.01 <= share["loud"] < 0.75
    assert 0.85 < share["faint"] <= 0.92 + 0.01


def test_an_output_that_moves_no_answer_does_not_break_the_scale() -> None:
    still = reader("a").sensitivity.copy()
    still[:6] = 0
    kernel = sparse_kernels([replace(reader("a"), sensitivity=still)], 0.5)["a"]
    assert np.isfinite(kernel).all()
    assert (kernel[:, :6] == 0).mean() > (kernel[:, 6:] == 0).mean()
