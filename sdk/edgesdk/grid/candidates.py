"""The candidates of `choose`: what they are worth and cost, which to go on with, which to take."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgesdk.errors import ChoiceError
from edgesdk.recipe import Precision
from edgesdk.spec import ModelSpec

#: Which part of the networks goes on after the short lesson: the front and its neighbours, or, under a budget, the
#: accurate end of it. Two of four and more: one alone would leave all to a short lesson.
WHOLE_FRONT, UNDER_BUDGET, FEWEST = 3 / 8, 1 / 4, 2
SAME_TOP1 = 0.005  # half a point: of candidates that near to the best, the fastest is taken
Stage = Literal["stopped", "measured"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a candidate must keep; None where anything goes.

    Attributes:
        budget_ms: of one invoke, p90.
        max_size_bytes: of the file. max_ram_bytes: that the model adds to a process.
        min_top1: of the test photos, 0 to 1.
    """

    budget_ms: float | None = None
    max_size_bytes: float | None = None
    max_ram_bytes: float | None = None
    min_top1: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}, expected a number above 0")
        if self.min_top1 is not None and self.min_top1 > 1:
            raise ValueError(f"min_top1 is {self.min_top1}, expected at most 1 (100 %)")

    def misses(self, candidate: "Candidate") -> tuple[tuple[str, float], ...]:
        """(in words, by which share of the limit) each limit that a measured candidate does not keep."""
        found = []
        sides: list[tuple[float | None, float | None, Callable[[float], str]]] = [
            (candidate.ms, self.budget_ms, lambda v: f"{v:.3g} ms"),
            (candidate.size_bytes, self.max_size_bytes, lambda v: f"{v / 1e6:.3g} MB of file"),
            (candidate.ram_bytes, self.max_ram_bytes, lambda v: f"{v / 1e6:.3g} MB of memory"),
        ]
        for value, limit, said in sides:
            if limit is not None and value is not None and value > limit:
                found.append((f"{said(value)} instead of {said(limit)}", value / limit - 1))
        top1 = candidate.top1 or 0.0
        if self.min_top1 is not None and top1 < self.min_top1:
            found.append((f"{100 * top1:.1f} % right instead of {100 * self.min_top1:.1f} %", self.min_top1 - top1))
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One cell of the grid.

    Attributes:
        spec, precision: which file it is.
        stage: "measured", or "stopped" where its short lesson showed that others do better.
        macs: multiply-adds of one inference.
        val_top1: of the validation photos after the short lesson, by which it was stopped or not.
        top1, low, high, n: of the test photos, with its 95 % interval; None where it was stopped.
        ms, frame_ms: p90 of invoke and of frame to label. Of a stopped one `ms` is predicted and `frame_ms` unknown.
        size_bytes, ram_bytes: of the file, and what it adds to a process.
        path: of the file, "" where there is none.
    """

    spec: ModelSpec
    precision: Precision
    stage: Stage
    macs: int
    val_top1: float
    top1: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    ms: float | None = None
    frame_ms: float | None = None
    size_bytes: int | None = None
    ram_bytes: int | None = None
    path: str = ""

    @property
    def name(self) -> str:
        """Such as `mobilenet_v1_0.5_160 int8`."""
        return f"{self.spec.name} {self.precision}"


def how_many(networks: int, limits: Limits) -> int:
    """Of so many networks, how many go on after the short lesson."""
    share = WHOLE_FRONT if limits.budget_ms is None else UNDER_BUDGET
    return max(1, min(FEWEST, networks // 2), math.ceil(share * networks))


def keep_promising(
    cells: Sequence[tuple[ModelSpec, float, float]], keep: int, budget_ms: float | None, error: float
) -> list[ModelSpec]:
    """The networks to go on with after the short lesson: early stopping along the front of speed and accuracy.

    K. Jamieson and A. Talwalkar, Non-stochastic Best Arm Identification, arXiv 1502.07943, drop those that score worst
    after a part of the work. Here a network is worth what the best of the faster ones lacks in accuracy: who allows no
    more milliseconds than it takes would lose so much without it. The one that is worth least is dropped until `keep`
    are left, so that the front and its neighbours stay, spread over all speeds. Under a budget what cannot keep it goes
    at once, and of the rest the most accurate stay, because a faster one is of no use.

    Args:
        cells: (spec, milliseconds of its fastest file, accuracy) each.
        keep: how many at most.
        budget_ms: None for the whole front.
        error: typical relative error of the milliseconds.
    """
    left = sorted(cells, key=lambda cell: (cell[1], -cell[2]))
    if budget_ms is not None:
        hopeful = [cell for cell in left if cell[1] <= budget_ms * (1 + 2 * error)]
        return [spec for spec, _, _ in sorted(hopeful or left[:1], key=lambda cell: -cell[2])[:keep]]
    while len(left) > keep:
        worth = [
            accuracy - max((faster for _, _, faster in left[:index]), default=-math.inf)
            for index, (_, _, accuracy) in enumerate(left)
        ]
        del left[worth.index(min(worth))]
    return [spec for spec, _, _ in left]


def find_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The measured candidates that no other beats in both milliseconds and top-1, fastest first."""
    measured = [(c, c.ms, c.top1) for c in candidates if c.ms is not None and c.top1 is not None and c.path]
    front = [
        c
        for c, ms, top1 in measured
        if not any(o_ms <= ms and o_top1 >= top1 and (o_ms < ms or o_top1 > top1) for _, o_ms, o_top1 in measured)
    ]
    return sorted(front, key=lambda c: c.ms or 0.0)


def pick(candidates: Sequence[Candidate], limits: Limits) -> tuple[Candidate, str]:
    """(the candidate to take, why): the most accurate that keeps the limits, or a faster one within half a point.

    Raises:
        ChoiceError: if none keeps them; names the nearest and what it misses.
    """
    measured = [c for c in candidates if c.path]
    if not measured:
        raise ChoiceError("no candidate could be converted and measured: see the remarks above")
    kept = [c for c in measured if not limits.misses(c)]
    if not kept:
        nearest = min(measured, key=lambda c: sum(share for _, share in limits.misses(c)))
        missed = " and ".join(words for words, _ in limits.misses(nearest))
        raise ChoiceError(
            f"none of {len(measured)} candidates keeps the limits: the nearest is {nearest.name} with {missed}; allow "
            f"that, or add smaller widths and resolutions (its file is {nearest.path})"
        )
    best = max(kept, key=lambda c: c.top1 or 0.0)
    near = [c for c in kept if (best.top1 or 0.0) - (c.top1 or 0.0) <= SAME_TOP1 + 1e-9]
    taken = min(near, key=lambda c: c.ms or 0.0)
    why = f"{100 * (taken.top1 or 0):.1f} % of {taken.n} test photos right in {taken.ms:.3g} ms: "
    why += (
        f"the most accurate of {len(kept)} that keep the limits"
        if taken is best
        else (
            f"within half a point of {best.name}, the most accurate of {len(kept)} that keep the limits, which takes "
            f"{(best.ms or 0) / (taken.ms or 1):.2f} times as long"
        )
    )
    worse = len(measured) - len(kept)
    return taken, why + (f"; {worse} miss a limit" if worse else "")


def corners(specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Of each architecture the smallest and largest width at the smallest and largest resolution, and a middle one."""
    found: list[ModelSpec] = []
    for _, group in itertools.groupby(sorted(specs, key=lambda s: (s.arch, s.width, s.res)), key=lambda s: s.arch):
        cells = list(group)
        widths, sizes = sorted({c.width for c in cells}), sorted({c.res for c in cells})
        wanted = {(w, r) for w in (widths[0], widths[-1]) for r in (sizes[0], sizes[-1])}
        wanted.add((widths[len(widths) // 2], sizes[len(sizes) // 2]))
        found += [cell for cell in cells if (cell.width, cell.res) in wanted]
    return found
