"""Which weights of a network become zero, and what the others become, so that its answers change least.

X. Meng et al., ALPS, arXiv 2406.07831: what a layer computes on photos without labels is to stay, as a least-squares
problem whose solution may have few weights that are not zero. The alternating direction method of multipliers (ADMM)
finds which; conjugate gradients then find their values, all outputs at once. Two differences: the errors of a layer's
outputs are weighted by what they do to the network's answers (`edgesdk_train.reconstruct`), and so all layers share one
budget of weights and those that need fewer get fewer.

flowers5 0.75-160 at 80 % zeros, before any learning, divergence of the validation photos' answers from the dense
network's: 1.04 for the smallest weights of each layer with the others refitted, 0.33 by ADMM in each layer, 0.11 with
one budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesdk_train.reconstruct import Matrix, Reader, ridged

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

STEPS = 40
# The penalty on what is to become zero, against the unit a weight's own error counts: it grows until nothing moves.
PENALTY, GROWTH = 0.03, 1.15
REFIT_STEPS = 60
UNEVEN = 2.5  # no layer keeps more than this times, or less than one part in this of, the weights of an even share
FAINTEST = 1e-3  # of the mean sensitivity: an output that moves no answer on these photos may do so on others


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """One layer, in units in which a change of any single weight costs the answers its square.

    Attributes:
        gram: [rows, rows] how changes of rows add up; ones on its diagonal.
        dense: [rows, outputs] the kernel.
        unit: [rows, outputs] what to divide by for a kernel in its own units.
    """

    gram: Array
    dense: Array
    unit: Matrix


def sparse_kernels(readers: Sequence[Reader], share: float) -> dict[str, Matrix]:
    """Layer name -> its kernel [rows, outputs] with zeros, `share` of all these layers' weights together."""
    problems = [_problem(reader) for reader in readers]
    solved = []
    for problem, (keep, start) in zip(problems, _search(problems, share), strict=True):
        solved.append(_refitted(problem, keep, start) / problem.unit)
    return {reader.name: kernel for reader, kernel in zip(readers, solved, strict=True)}


def _problem(reader: Reader) -> _Problem:
    covariance = ridged(reader.covariance)
    rows = np.sqrt(np.diag(covariance))
    outputs = np.sqrt(np.maximum(reader.sensitivity, FAINTEST * reader.sensitivity.mean() + 1e-12))
    unit = np.outer(rows, outputs)
    return _Problem(
        gram=(covariance / np.outer(rows, rows)).astype(np.float32),
        dense=(reader.kernel * unit).astype(np.float32),
        unit=unit,
    )


def _search(problems: Sequence[_Problem], share: float) -> list[tuple[Mask, Array]]:
    """For each problem which weights stay, and values that they could have."""
    spectra = [np.linalg.eigh(problem.gram) for problem in problems]
    wanted = [problem.gram @ problem.dense for problem in problems]
    sparse = [problem.dense for problem in problems]
    duals = [np.zeros_like(problem.dense) for problem in problems]
    keep: list[Mask] = []
    for step in range(STEPS):
        penalty = np.float32(PENALTY * GROWTH**step)
        full = []
        for (values, vectors), target, near, dual in zip(spectra, wanted, sparse, duals, strict=True):
            turned = vectors.T @ (target + penalty * near - dual)
            full.append(vectors @ (turned / (np.maximum(values, 0)[:, None] + penalty)))
        moved = [solution + dual / penalty for solution, dual in zip(full, duals, strict=True)]
        keep = _largest([np.abs(array) for array in moved], share)
        sparse = [np.where(mask, array, 0) for mask, array in zip(keep, moved, strict=True)]
        duals = [dual + penalty * (a - b) for dual, a, b in zip(duals, full, sparse, strict=True)]
    return list(zip(keep, sparse, strict=True))


def _largest(sizes: Sequence[Array], share: float) -> list[Mask]:
    """The largest of all arrays' elements, but for `share` of them and within each array's bounds."""
    least, most = max(0.0, 1 - UNEVEN * (1 - share)), 1 - (1 - share) / UNEVEN
    bounded = []
    for size in sizes:
        low, high = np.quantile(size, (least, most))
        bounded.append(np.where(size > high, np.inf, np.where(size <= low, 0, size)))
    together = np.concatenate([size.ravel() for size in bounded])
    limit = np.quantile(together, share, method="lower")
    return [size > limit for size in bounded]


def _refitted(problem: _Problem, keep: Mask, start: Array) -> Array:
    """The least-squares values of the weights that stay, by conjugate gradients from `start`."""
    kernel = np.where(keep, start, 0)
    residual = np.where(keep, problem.gram @ (problem.dense - kernel), 0)
    direction, power = residual, np.square(residual).sum(0)
    for _ in range(REFIT_STEPS):
        pushed = np.where(keep, problem.gram @ direction, 0)
        length = power / np.maximum((direction * pushed).sum(0), 1e-20)
        kernel, residual = kernel + length * direction, residual - length * pushed
        before, power = power, np.square(residual).sum(0)
        direction = residual + power / np.maximum(before, 1e-20) * direction
    refitted: Array = kernel
    return refitted
