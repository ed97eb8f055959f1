"""Runtimes with one model, tried side by side: which give the golden outputs, and how fast?

Each runs in a process of its own, because a runtime, a driver or a delegate may take that down. They load at once and
are measured in turns, A B A B, so that what disturbs the machine disturbs all. Run as a module it is such a process.
"""

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.choice import Trial, name_runtime
from edgesdk.contract import decode_value
from edgesdk.errors import BackendError
from edgesdk_device.apart import Apart, answer_apart
from edgesdk_device.backends import BACKENDS, Delegate
from edgesdk_device.classifier import Model
from edgesdk_device.firstrun import confine

MEASURE_S = 0.5
BLOCK_S = 0.02
BLOCK_TIMEOUT_S = 60.0
HOPELESS = 3.0  # times slower than the fastest: not measured further


@dataclass(frozen=True, kw_only=True)
class Contender:
    """What is to be tried: a runtime with a number of threads or a delegate, and how long it may take to be ready."""

    backend: str
    threads: int = 1
    delegate: Delegate | None = None
    timeout_s: float = 60.0

    @property
    def name(self) -> str:
        """In words."""
        return name_runtime(self.backend, self.threads, "" if self.delegate is None else self.delegate.name)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Some runs in a row: times in milliseconds, and the block's CPU and wall seconds."""

    samples_ms: tuple[float, ...]
    cpu_s: float
    wall_s: float


def try_contenders(path: Path, contenders: list[Contender]) -> tuple[Trial, ...]:
    """One trial a contender, in their order; what fails is a trial with its reason."""
    trials: dict[int, Trial] = {}
    blocks: dict[int, list[Block]] = {}
    with ExitStack() as stack:
        processes: dict[int, Apart] = {}
        for index, contender in enumerate(contenders):
            try:
                processes[index] = stack.enter_context(Apart("edgesdk_device.trial", contender.name))
                processes[index].send({"path": path, "contender": asdict(contender)})
            except BackendError as error:
                trials[index] = _refused(contender, error)
        for index, process in list(processes.items()):
            try:
                trials[index] = decode_value(Trial, process.receive(contenders[index].timeout_s), "trial")
            except (BackendError, ValueError) as error:
                trials[index] = _refused(contenders[index], error)
            if trials[index].reason:
                del processes[index]
        running = dict(processes)
        end = time.perf_counter() + MEASURE_S
        while running and (time.perf_counter() < end or not blocks):
            for index, process in list(running.items()):
                try:
                    process.send({})
                    block = decode_value(Block, process.receive(BLOCK_TIMEOUT_S), "block")
                except (BackendError, ValueError) as error:
                    trials[index] = _refused(contenders[index], error)
                    del running[index]
                    continue
                blocks.setdefault(index, []).append(block)
            best = min((_median(blocks[index]) for index in running), default=0.0)
            running = {index: process for index, process in running.items() if not _hopeless(blocks[index], best)}
    return tuple(_timed(trials[index], blocks.get(index, [])) for index in range(len(contenders)))


def _refused(contender: Contender, error: Exception) -> Trial:
    name = "" if contender.delegate is None else contender.delegate.name
    return Trial(backend=contender.backend, threads=contender.threads, delegate=name, reason=str(error))


def _median(blocks: list[Block]) -> float:
    return float(np.median(np.concatenate([block.samples_ms for block in blocks])))


def _hopeless(blocks: list[Block], best_ms: float) -> bool:
    """Whether even the quickest run was far slower: one that waited for the CPU says nothing."""
    return len(blocks) > 1 and min(min(block.samples_ms) for block in blocks) > HOPELESS * best_ms


def _timed(trial: Trial, blocks: list[Block]) -> Trial:
    if trial.reason or not blocks:
        return trial
    p50, p90 = np.percentile(np.concatenate([block.samples_ms for block in blocks]), (50, 90))
    share = sum(block.cpu_s for block in blocks) / sum(block.wall_s for block in blocks)
    return replace(trial, p50_ms=round(float(p50), 4), p90_ms=round(float(p90), 4), cpu_over_wall=round(share, 2))


class _Process:
    """The other side: opens and checks a model at the first question, runs a block at each further one."""

    model: Model

    def answer(self, path: str = "", contender: dict[str, Any] | None = None) -> Trial | Block:
        return self._block() if contender is None else self._open(path, **contender)

    def _open(self, path: str, backend: str, threads: int, delegate: dict[str, Any] | None, timeout_s: float) -> Trial:
        if BACKENDS[backend].family == "cpu" and delegate is None:
            confine(Path(path).stat().st_size)
        added = None if delegate is None else Delegate(**delegate)
        self.model = Model(path, backend=backend, threads=threads, delegate=added, trust=True)
        result = self.model.verify()  # its last input stays, for the blocks
        return Trial(
            backend=backend,
            threads=threads,
            delegate=result.delegate,
            nodes=result.nodes,
            delegated_nodes=result.delegated_nodes,
            max_difference=result.max_difference,
            device=self.model.backend.device,
            reason=result.disagreement,
        )

    def _block(self) -> Block:
        run, clock = self.model.backend.run, time.perf_counter
        start, cpu = clock(), time.process_time()
        run()  # wakes the threads and fills the caches, which matters to short runs only
        samples = [clock() - start] if clock() - start > BLOCK_S else []
        while not samples or clock() - start < BLOCK_S:
            before = clock()
            run()
            samples.append(clock() - before)
        return Block(
            samples_ms=tuple(seconds * 1e3 for seconds in samples),
            cpu_s=time.process_time() - cpu,
            wall_s=clock() - start,
        )


if __name__ == "__main__":
    answer_apart(_Process().answer)
