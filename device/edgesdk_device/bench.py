"""What a file costs here: each measurement in a fresh process.

Load, allocation, first invoke and warm-up are apart from the samples; invoke alone and the whole frame are timed apart,
back to back and at a camera's pace; nothing is clipped. Measurements take turns in short blocks, in a new random order
each round, so that what disturbs the machine disturbs all of them.
"""

import platform
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from edgesdk import __version__, modelfile
from edgesdk.choice import Choice, name_runtime
from edgesdk.contract import Contract, decode_value
from edgesdk.errors import BackendError, DataError, NothingMeasuredError
from edgesdk.measurement import MEMORY, Age, Judged, Measurement, Minute, Paced, Refused
from edgesdk.modelfile import ModelFile
from edgesdk.photos.data import Dataset, read_dataset
from edgesdk.progress import progress
from edgesdk.stats import percentiles
from edgesdk_device.apart import Apart
from edgesdk_device.auto import choose
from edgesdk_device.backends import Delegate, check_backend
from edgesdk_device.board import board_name, conditions
from edgesdk_device.doubts import find_doubts
from edgesdk_device.measuring import Block, Opened

TOGETHER = 8  # processes that take turns; each holds its model in memory
CAMERA_FPS = 30.0
TIMEOUT_S = 900
KEPT = 20_000  # of a measurement's raw times, which a report holds; a model of 10 us runs a million times
_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is measured: of invokes and of frames at least so many and for so long, in blocks of `block_s`."""

    samples: int
    seconds: float
    block_s: float
    paced_s: float


#: A figure to publish, and a glance.
FULL = Effort(samples=1024, seconds=10.0, block_s=0.25, paced_s=5.0)
QUICK = Effort(samples=100, seconds=0.5, block_s=0.05, paced_s=0.5)


@dataclass(frozen=True, kw_only=True)
class Extra:
    """What is measured beside the runs.

    Attributes:
        data: labelled photos, None for no accuracy.
        source: frames at their own pace; files, folders, "synthetic" and "memory" (frames that are there), 30 a second.
        sustained_minutes: 0 for none.
    """

    data: Path | str | None = None
    source: str = MEMORY
    sustained_minutes: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sustained_minutes < 24 * 60:
            raise ValueError(f"sustained is {self.sustained_minutes}, expected minutes below a day, such as 10")


@dataclass(kw_only=True)
class _Cell:
    """One measurement on its way."""

    file: ModelFile
    backend: str
    threads: int | None
    delegate: Delegate | None
    choice: Choice | None = None
    process: Apart | None = None
    opened: Opened | None = None
    blocks: list[Block] = field(default_factory=list)
    refused: str = ""

    @property
    def library(self) -> str:
        return "" if self.delegate is None else self.delegate.name

    def enough(self, effort: Effort) -> bool:
        runs = min(sum(len(b.invoke_ms) for b in self.blocks), sum(len(b.frame_ms) for b in self.blocks))
        return runs >= effort.samples and sum(b.wall_s for b in self.blocks) >= effort.seconds

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Where a process dies or refuses, keep why."""
        try:
            yield
        except BackendError as error:
            self.refused = str(error)

    def ask(self, kind: type[_Value], **question: Any) -> _Value:
        """The process' answer to a question of `measuring.Process`; raises BackendError."""
        assert self.process is not None
        self.process.send(question)
        answer = self.process.receive(TIMEOUT_S + float(question.get("seconds", 0)))
        value = decode_value(kind, answer, "answer")
        assert isinstance(value, kind)
        return value


def measure_all(
    paths: Sequence[Path],
    backends: Sequence[str],
    threads: Sequence[int | None],
    delegate: Delegate | None = None,
    *,
    extra: Extra,
    quick: bool,
    quiet: bool,
) -> list[Measurement | Refused]:
    """Every file with every backend and number of threads, then the same with the delegate; see `edgesdk.bench`."""
    for name in backends:
        for count in threads:
            check_backend(name, count)
    dataset = None if extra.data is None else read_dataset(extra.data)
    files = [modelfile.read(path) for path in paths]
    for file in files:
        contract = file.required_contract()
        if dataset is not None:
            _check_classes(dataset, contract, file.path)
    cells = [
        _Cell(file=file, backend=name, threads=count, delegate=added)
        for file in files
        for added in ((None, delegate) if delegate else (None,))
        for name in backends
        for count in threads
    ]
    effort, rng = QUICK if quick else FULL, random.Random(0)
    order = rng.sample(cells, len(cells))
    rows: dict[int, Measurement | Refused] = {}
    with progress("measuring", len(cells), quiet=quiet) as advance:
        for start in range(0, len(order), TOGETHER):
            for cell, row in _measure_together(order[start : start + TOGETHER], effort, extra, rng, quiet=quiet):
                rows[id(cell)] = replace(row, turns=start // TOGETHER) if isinstance(row, Measurement) else row
                advance(1, cell.file.path.name)
    found = [rows[id(cell)] for cell in cells]
    if all(isinstance(row, Refused) for row in found):
        raise NothingMeasuredError(found)
    return found


def _measure_together(
    cells: list[_Cell], effort: Effort, extra: Extra, rng: random.Random, *, quiet: bool
) -> Iterator[tuple[_Cell, Measurement | Refused]]:
    """One row a cell, as they are finished."""
    with ExitStack() as stack:
        for cell in cells:
            with cell.refusing():
                _open(cell, stack, quiet=quiet)
        running = [cell for cell in cells if not cell.refused]
        while running:
            for cell in rng.sample(running, len(running)):
                with cell.refusing():
                    cell.blocks.append(cell.ask(Block, task="block", seconds=effort.block_s))
            running = [cell for cell in running if not cell.refused and not cell.enough(effort)]
        for cell in cells:
            row: Measurement | Refused | None = None
            with cell.refusing():
                row = None if cell.refused else _finish(cell, effort, extra)
            yield cell, row or _refusal(cell)


def _open(cell: _Cell, stack: ExitStack, *, quiet: bool) -> None:
    cell.choice = choose(cell.file, cell.backend, cell.threads, cell.delegate, quiet=quiet)
    cell.backend, cell.threads = cell.choice.backend, cell.choice.threads
    subject = f"{name_runtime(cell.backend, cell.threads, cell.library)} on {cell.file.path}"
    cell.process = stack.enter_context(Apart("edgesdk_device.measuring", subject))
    cell.opened = cell.ask(
        Opened,
        task="open",
        path=cell.file.path,
        backend=cell.backend,
        threads=cell.threads,
        delegate=None if cell.delegate is None else asdict(cell.delegate),
    )


def _finish(cell: _Cell, effort: Effort, extra: Extra) -> Measurement:
    """Pace, sustain, judge, and put everything together."""
    opened, choice, contract = cell.opened, cell.choice, cell.file.required_contract()
    assert opened is not None and choice is not None
    quick = effort is QUICK
    paced = cell.ask(Paced, task="pace", source=extra.source, fps=CAMERA_FPS, seconds=effort.paced_s)
    minutes = _sustain(cell, extra)
    judged = None if extra.data is None else cell.ask(Judged, task="judge", data=extra.data)
    invoke_ms = [block.invoke_ms for block in cell.blocks]
    frame_ms = [block.frame_ms for block in cell.blocks]
    kept = thin_out(invoke_ms)
    row = Measurement(
        model=f"{contract.name} {contract.recipe.precision}",
        path=str(cell.file.path),
        sha256=cell.file.sha256,
        size_bytes=cell.file.path.stat().st_size,
        precision=contract.recipe.precision,
        backend=choice.backend,
        threads=choice.threads,
        delegate=cell.library,
        family="gpu" if opened.family == "gpu" else "cpu",
        device=opened.device,
        choice=choice if choice.tried else None,
        nodes=opened.nodes,
        delegated_nodes=opened.delegated_nodes,
        cpu_over_wall=round(sum(b.cpu_s for b in cell.blocks) / sum(b.wall_s for b in cell.blocks), 3),
        load_ms=opened.load_ms,
        allocate_ms=opened.allocate_ms,
        first_invoke_ms=opened.first_invoke_ms,
        warmup_ms=opened.warmup_ms,
        invoke_ms=percentiles(_joined(invoke_ms)),
        frame_ms=percentiles(_joined(frame_ms)),
        age=_median_age([block.age for block in cell.blocks]),
        paced=paced,
        sustained=minutes,
        peak_rss_bytes=cell.blocks[-1].peak_rss_bytes,
        rss_delta_bytes=cell.blocks[-1].rss_delta_bytes,
        max_difference=opened.max_difference,
        top1=None if judged is None else judged.top1,
        top1_n=0 if judged is None else judged.n,
        judged=judged,
        board=board_name(),
        versions={
            choice.backend: opened.version,
            "edgesdk": __version__,
            "python": platform.python_version(),
            "kernel": platform.release(),
        },
        before=opened.before,
        after=conditions(),
        samples_ms=_joined(kept),
        blocks=tuple(len(block) for block in kept),
        yardstick_ms=tuple(round(block.yardstick_ms, 5) for block in cell.blocks),
        frame_samples_ms=_joined(thin_out(frame_ms)),
    )
    return replace(row, warnings=find_doubts(row, quick=quick))


def thin_out(blocks: Sequence[Sequence[float]], kept: int = KEPT) -> list[Sequence[float]]:
    """The same blocks with every k-th time of each, k the smallest for which about `kept` are left; at least one each.

    One k for all of them, so that a block in which the processor was away stays as short beside the others.
    """
    k = max(1, -(-sum(map(len, blocks)) // kept))
    return [block[::k] for block in blocks]


def _joined(blocks: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(value for block in blocks for value in block)


def _sustain(cell: _Cell, extra: Extra) -> tuple[Minute, ...]:
    """A value a minute, or a single one of a shorter stretch."""
    if not extra.sustained_minutes:
        return ()
    count = max(1, round(extra.sustained_minutes))
    seconds = 60 * extra.sustained_minutes / count
    found = []
    for index in range(count):
        minute = cell.ask(Minute, task="stretch", source=extra.source, fps=CAMERA_FPS, seconds=seconds)
        found.append(replace(minute, end_s=round((index + 1) * seconds, 3)))
    return tuple(found)


def _median_age(ages: list[Age]) -> Age:
    def middle(values: list[float]) -> float:
        return percentiles(values).p50

    return Age(
        prepare=middle([age.prepare for age in ages]),
        invoke=middle([age.invoke for age in ages]),
        post=middle([age.post for age in ages]),
    )


def _refusal(cell: _Cell) -> Refused:
    contract = cell.file.required_contract()
    return Refused(
        model=f"{contract.name} {contract.recipe.precision}",
        path=str(cell.file.path),
        sha256=cell.file.sha256,
        backend=cell.backend,
        threads=cell.threads,
        delegate=cell.library,
        reason=cell.refused,
    )


def _check_classes(dataset: Dataset, contract: Contract, path: Path) -> None:
    labels = contract.output.labels
    if not contract.output.classifies:
        raise DataError(f"{path} is no classifier, its output is {contract.output.kind}: leave out --data")
    known = ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
    unknown = [name for name in dataset.classes if name not in labels]
    if unknown:
        raise DataError(
            f"{dataset.name} has a class {unknown[0]!r} that the model does not know: name photos of {known}"
        )
