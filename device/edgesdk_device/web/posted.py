"""What a phone sends of a measurement, checked, and the row that it becomes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgesdk import __version__
from edgesdk.measurement import Age, Conditions, Measurement, Minute, Paced, Refused
from edgesdk.modelfile import ModelFile
from edgesdk.stats import percentiles
from edgesdk_device.doubts import find_doubts
from edgesdk_device.web import litertjs

BACKENDS = {"wasm": "litertjs-wasm", "webgpu": "litertjs-webgpu"}
LONGEST_TEXT = 400
LONGEST_MS = 1e7
MOST_THREADS = 64


@dataclass(frozen=True, kw_only=True)
class Browser:
    """What the browser says of itself and the phone.

    Attributes:
        agent: its user agent.
        cores: that it admits.
        memory_gb: class of memory, 0.25 to 8 as browsers round it; 0 where it does not say.
        gpu: the adapter's name, "" where it does not say.
        isolated: whether the page had threads and fine clocks.
    """

    agent: str
    cores: int
    memory_gb: float = 0.0
    gpu: str = ""
    isolated: bool = False

    def __post_init__(self) -> None:
        _check_texts(self.agent, self.gpu)
        _check_times((self.memory_gb,))

    @property
    def board(self) -> str:
        """The phone in words."""
        memory = f", {self.memory_gb:g} GB of memory or more" if self.memory_gb else ""
        return f"{self.agent}, {self.cores} cores{memory}"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Frames at a camera's pace; as `Paced`, with the raw times."""

    fps: float
    frame_ms: tuple[float, ...]
    age: Age
    dropped: int

    def __post_init__(self) -> None:
        _check_times((*self.frame_ms, self.fps, *vars(self.age).values()), least=1)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of minutes on end: seconds from the start to its end, and its raw times."""

    end_s: float
    frame_ms: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_times((*self.frame_ms, self.end_s), least=2)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The figures of one measurement; names as in `Measurement`."""

    load_ms: float
    first_invoke_ms: float
    warmup_ms: float
    max_difference: float
    operations: int
    accelerated: bool
    turns: int
    invoke_ms: tuple[float, ...]
    blocks: tuple[int, ...]
    yardstick_ms: tuple[float, ...]
    frame_ms: tuple[float, ...]
    age: Age
    paced: Pace
    sustained: tuple[Stretch, ...] = ()

    def __post_init__(self) -> None:
        _check_times(self.invoke_ms, least=1)
        _check_times(self.frame_ms, least=1)
        _check_times((self.load_ms, self.first_invoke_ms, self.warmup_ms, self.max_difference, *self.yardstick_ms))
        _check_times(vars(self.age).values())
        if min(self.blocks, default=0) < 1 or sum(self.blocks) != len(self.invoke_ms):
            raise ValueError("blocks do not add up to the runs")
        if len(self.yardstick_ms) != len(self.blocks) or self.operations < 0:
            raise ValueError("yardstick_ms or operations do not fit")


@dataclass(frozen=True, kw_only=True)
class Posted:
    """One measurement of one file on one engine, or why there is none.

    Attributes:
        model: the file's place on the page.
        backend: "wasm" or "webgpu".
        runs: None where `refused` says why.
    """

    model: int
    backend: str
    threads: int
    browser: Browser
    quick: bool = False
    refused: str = ""
    runs: Runs | None = None

    def __post_init__(self) -> None:
        _check_texts(self.refused)
        if self.backend not in BACKENDS:
            raise ValueError(f"backend is {self.backend[:20]!r}, expected one of {', '.join(BACKENDS)}")
        if not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"threads is {self.threads}, expected 1 to {MOST_THREADS}")
        if (self.runs is None) != bool(self.refused):
            raise ValueError("expected either runs, or why they were refused")

    def row(self, file: ModelFile, place: str) -> Measurement | Refused:
        """The row of a report; `place` names the phone."""
        contract, runs = file.required_contract(), self.runs
        model, backend = f"{contract.name} {contract.recipe.precision}", BACKENDS[self.backend]
        if runs is None:
            return Refused(
                model=model,
                path=str(file.path),
                sha256=file.sha256,
                backend=backend,
                threads=self.threads,
                delegate="",
                reason=self.refused,
                place=place,
            )
        row = Measurement(
            model=model,
            path=str(file.path),
            sha256=file.sha256,
            size_bytes=file.path.stat().st_size,
            precision=contract.recipe.precision,
            backend=backend,
            threads=self.threads,
            place=place,
            family="gpu" if self.backend == "webgpu" else "cpu",
            device=self.browser.gpu if self.backend == "webgpu" else "",
            nodes=runs.operations,
            delegated_nodes=runs.operations if runs.accelerated else None,
            cpu_over_wall=None,
            load_ms=runs.load_ms,
            first_invoke_ms=runs.first_invoke_ms,
            warmup_ms=runs.warmup_ms,
            invoke_ms=percentiles(runs.invoke_ms),
            frame_ms=percentiles(runs.frame_ms),
            age=runs.age,
            paced=Paced(
                source="memory",
                fps=runs.paced.fps,
                frame_ms=percentiles(runs.paced.frame_ms),
                age=runs.paced.age,
                dropped=runs.paced.dropped,
            ),
            sustained=tuple(
                Minute(end_s=part.end_s, frame_ms=percentiles(part.frame_ms), conditions=Conditions())
                for part in runs.sustained
            ),
            peak_rss_bytes=None,
            max_difference=runs.max_difference,
            board=self.browser.board,
            versions={"litertjs": litertjs.VERSION, "edgesdk": __version__},
            turns=runs.turns,
            samples_ms=runs.invoke_ms,
            blocks=runs.blocks,
            yardstick_ms=runs.yardstick_ms,
            frame_samples_ms=runs.frame_ms,
        )
        doubts = find_doubts(row, quick=self.quick)
        if not self.browser.isolated:
            doubts += ("the page was not isolated: the browser gave one thread and coarse clocks; serve it so",)
        return replace(row, warnings=doubts)


def _check_texts(*texts: str) -> None:
    for text in texts:
        if len(text) > LONGEST_TEXT or not text.isprintable():
            raise ValueError(f"a text is longer than {LONGEST_TEXT} letters or holds what cannot be printed")


def _check_times(values: Iterable[float], least: int = 0) -> None:
    given = list(values)
    if len(given) < least or not all(0 <= value <= LONGEST_MS and math.isfinite(value) for value in given):
        raise ValueError(f"a time is missing, or is not between 0 and {LONGEST_MS:g}")
