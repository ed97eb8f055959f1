"""The fresh process that measures one model: opens it at the first question, runs what each further one asks for.

`edgesdk_device.bench` asks several such processes in turns.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edgesdk.contract import Golden, blocks_frame
from edgesdk.errors import BackendError
from edgesdk.measurement import MEMORY, Age, Conditions, Judged, Minute, Paced
from edgesdk.stats import percentiles
from edgesdk_device.apart import answer_apart
from edgesdk_device.backends import BACKENDS, Delegate
from edgesdk_device.board import conditions, peak_rss_bytes
from edgesdk_device.classifier import Model

if TYPE_CHECKING:
    from edgesdk_device.cameras import Frame

WARMUP = 10
CYCLED_FRAMES = 16  # more than fit the fastest cache, as frames from a camera are
FRAME_HEIGHT, FRAME_WIDTH = 480, 640
YARDSTICK_RUNS, YARDSTICK_STEPS = 5, 120


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model that is ready; see `Measurement` for the fields."""

    nodes: int
    delegated_nodes: int
    family: str
    device: str
    version: str
    load_ms: float
    allocate_ms: float | None
    first_invoke_ms: float
    warmup_ms: float
    max_difference: float | None
    before: Conditions


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some runs in a row, then whole frames in a row.

    Attributes:
        invoke_ms, frame_ms: the times.
        cpu_s, wall_s: of the invokes together.
        yardstick_ms: what a fixed piece of work took just before, the fastest of a few.
        age: medians of the frames' parts.
        peak_rss_bytes, rss_delta_bytes: of this process so far.
    """

    invoke_ms: tuple[float, ...]
    frame_ms: tuple[float, ...]
    cpu_s: float
    wall_s: float
    yardstick_ms: float
    age: Age
    peak_rss_bytes: int
    rss_delta_bytes: int


class Process:
    """A model under measurement."""

    model: Model

    def __init__(self) -> None:
        self._frames = [blocks_frame(seed, FRAME_HEIGHT, FRAME_WIDTH) for seed in range(CYCLED_FRAMES)]
        self._yardstick = [np.linspace(0.5, 1.5, 1 << 14, dtype=np.float32) for _ in range(3)]
        self._rss_before = 0

    def answer(self, task: str, **question: Any) -> Any:
        """What is asked for: `task` names the method, the rest are its arguments."""
        work: dict[str, Callable[..., Any]] = {
            "open": self.open,
            "block": self.block,
            "pace": self.pace,
            "stretch": self.stretch,
            "judge": self.judge,
        }
        return work[task](**question)

    def open(self, path: str, backend: str, threads: int, delegate: dict[str, Any] | None) -> Opened:
        """Load, run once, check against the golden outputs, warm up.

        Raises:
            EdgeSDKError: if the runtime or the delegate refuses the file or gives other outputs than its golden ones.
        """
        _load_library(backend)
        before, self._rss_before = conditions(), peak_rss_bytes()
        start = time.perf_counter()
        added = None if delegate is None else Delegate(**delegate)
        self.model = model = Model(Path(path), backend=backend, threads=threads, delegate=added, trust=True)
        opened_ms = (time.perf_counter() - start) * 1e3
        image, runtime = model.contract.input, model.backend
        self._prepare: Callable[[Any], Any] = model.prepare
        if image.color == "latent":  # what takes a code sees no camera: codes stand for frames
            self._prepare = model.feed
            self._frames = [Golden(generator="normal", seed=seed).pixels(image) for seed in range(CYCLED_FRAMES)]
        runtime.set_input(self._prepare(self._frames[0]))
        first_invoke_ms = _timed(runtime.run)
        difference = model.require_agreement().max_difference if model.contract.golden else None
        runtime.set_input(self._prepare(self._frames[0]))
        warmup_ms = _timed(lambda: [runtime.run() for _ in range(WARMUP)])
        return Opened(
            nodes=runtime.nodes,
            delegated_nodes=runtime.delegated_nodes,
            family=runtime.family,
            device=runtime.device,
            version=runtime.version,
            load_ms=opened_ms - (runtime.allocate_ms or 0.0),
            allocate_ms=runtime.allocate_ms,
            first_invoke_ms=first_invoke_ms,
            warmup_ms=warmup_ms,
            max_difference=difference,
            before=before,
        )

    def block(self, seconds: float) -> Block:
        """Invoke for so long, then do whole frames for so long, each at least once."""
        run, clock = self.model.backend.run, time.perf_counter
        yardstick_ms = min(_timed(self._work) for _ in range(YARDSTICK_RUNS))  # the processor's pace, not its queue
        run()  # wakes the threads and fills the caches, which others used meanwhile
        times: list[float] = []
        cpu, start = time.process_time(), clock()
        end, now = start + seconds, start
        while not times or now < end:
            before = clock()
            run()
            now = clock()
            times.append(now - before)
        wall_s = now - start  # before the next line, in whose system call another process likes to take over
        cpu_s = time.process_time() - cpu
        parts: list[tuple[float, ...]] = []
        self._frame(self._frames[0])
        end = clock() + seconds
        while not parts or clock() < end:
            parts.append(self._frame(self._frames[len(parts) % CYCLED_FRAMES]))
        peak = peak_rss_bytes()
        return Block(
            invoke_ms=tuple(round(time_s * 1e3, 5) for time_s in times),
            frame_ms=tuple(round(sum(part) * 1e3, 5) for part in parts),
            cpu_s=cpu_s,
            wall_s=wall_s,
            yardstick_ms=yardstick_ms,
            age=_age([(0.0, 0.0, *part) for part in parts]),
            peak_rss_bytes=peak,
            rss_delta_bytes=peak - self._rss_before,
        )

    def pace(self, source: str, fps: float, seconds: float) -> Paced:
        """Answer a source's newest frames for so long.

        Raises:
            SourceError: if it does not open or gives no frame.
        """
        parts: list[tuple[float, ...]] = []
        start, end, dropped = 0.0, 0.0, 0
        with self._opened(source, fps) as frames:
            for frame in frames:
                queue_s = max(0.0, time.monotonic() - frame.captured_at)
                part = self._frame(frame.image)
                if not start:  # the first one waited for the source to start
                    start = time.perf_counter()
                    continue
                parts.append((frame.capture_ms / 1e3, queue_s, *part))
                dropped, end = frames.dropped, time.perf_counter()
                if end >= start + seconds:
                    break
        if not parts:
            raise BackendError(f"{source} gave one frame in {seconds:g} s: too few to measure, name another source")
        return Paced(
            source=source,
            fps=len(parts) / (end - start),
            frame_ms=percentiles([sum(part) * 1e3 for part in parts]),
            age=_age(parts),
            dropped=dropped,
        )

    def _opened(self, source: str, fps: float) -> Any:
        from edgesdk_device.cameras import CaptureOptions, open_source

        if source == MEMORY:
            return _MemorySource(self._frames, fps)
        live = source.isdecimal() or source == "picamera" or "://" in source
        return open_source(source, options=CaptureOptions() if live else CaptureOptions(paced=True, fps=fps, loop=True))

    def stretch(self, source: str, fps: float, seconds: float) -> Minute:
        """As `pace`, with what the machine is like at its end."""
        paced = self.pace(source, fps, seconds)
        return Minute(end_s=seconds, frame_ms=paced.frame_ms, conditions=conditions())

    def judge(self, data: str) -> Judged:
        """The answers to labelled photos."""
        from edgesdk_device.accuracy import judge

        return judge(self.model, data)

    def _frame(self, frame: Any) -> tuple[float, float, float]:
        """(prepare, invoke, post) of a frame to its label, in seconds."""
        clock, model = time.perf_counter, self.model
        start = clock()
        values = self._prepare(frame)
        prepared = clock()
        output = model.backend.invoke(values)
        invoked = clock()
        model.backend.dequantize(output).argmax()
        return prepared - start, invoked - prepared, clock() - invoked

    def _work(self) -> None:
        first, second, out = self._yardstick
        for _ in range(YARDSTICK_STEPS):
            np.multiply(first, second, out=out)


class _MemorySource:
    """Frames that are there already, each when a camera would give it; see `edgesdk_device.cameras.Source`."""

    live = True
    dropped = corrupt = 0

    def __init__(self, frames: list[Any], fps: float) -> None:
        self._frames, self._period_s = frames, 1 / fps

    def __iter__(self) -> "Iterator[Frame]":
        from edgesdk_device.cameras import Frame

        due = time.monotonic()
        for index in itertools.count():
            time.sleep(max(0.0, due - time.monotonic()))
            yield Frame(image=self._frames[index % len(self._frames)], index=index, captured_at=due)
            late = int((time.monotonic() - due) / self._period_s)  # frames that came meanwhile: the newest is taken
            self.dropped += max(0, late - 1)
            due += self._period_s * max(1, late)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def _load_library(backend: str) -> None:
    """Import the runtime before the clock and the memory are read; where that fails, opening says why."""
    try:
        import_module(f"{BACKENDS[backend].module}.interpreter")
    except ImportError:
        return


def _age(parts: list[tuple[float, ...]]) -> Age:
    capture, queue, prepare, invoke, post = (float(np.median(column)) * 1e3 for column in zip(*parts, strict=True))
    return Age(capture=capture, queue=queue, prepare=prepare, invoke=invoke, post=post)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    answer_apart(Process().answer)
