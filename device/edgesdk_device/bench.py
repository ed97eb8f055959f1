"""What a file costs here: each measurement in a fresh process, every sample kept.

Load, first invoke and warm-up are apart from the samples; invoke alone and the whole frame are timed apart; nothing is
clipped. Run as a module it measures one file and prints JSON: that is the fresh process.
"""

import itertools
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk import modelfile
from edgesdk.choice import name_runtime
from edgesdk.contract import Contract, Golden, blocks_frame, decode_value
from edgesdk.data import Dataset, load_images, read_dataset
from edgesdk.errors import BackendError, DataError
from edgesdk.measurement import Measurement, Refused
from edgesdk.modelfile import ModelFile
from edgesdk.progress import progress
from edgesdk.stats import percentiles
from edgesdk_device.apart import answer_apart, ask_apart
from edgesdk_device.auto import choose
from edgesdk_device.backends import Delegate, check_backend
from edgesdk_device.board import board_name, governor, load_average, peak_rss_bytes
from edgesdk_device.classifier import Model

WARMUP = 10
FULL_SAMPLES, FULL_SECONDS = 1024, 10.0
QUICK_SAMPLES, QUICK_SECONDS = 100, 0.5
CYCLED_FRAMES = 16  # more than fit the fastest cache, as frames from a camera are
FRAME_HEIGHT, FRAME_WIDTH = 480, 640
TIMEOUT_S = 900


def measure_all(
    paths: Sequence[Path],
    data: Path | str | None,
    backends: Sequence[str],
    threads: Sequence[int | None],
    delegate: Delegate | None = None,
    *,
    quick: bool,
    quiet: bool,
) -> list[Measurement | Refused]:
    """Every file with every backend and number of threads, then the same with the delegate; see `edgesdk.bench`."""
    for name, count in itertools.product(backends, threads):
        check_backend(name, count)
    dataset = None if data is None else read_dataset(data)
    files = [modelfile.read(path) for path in paths]
    for file in files:
        contract = file.required_contract()
        if dataset is not None:
            _check_classes(dataset, contract, file.path)
    cells = list(itertools.product(files, (None, delegate) if delegate else (None,), backends, threads))
    rows = []
    with progress("measuring", len(cells), quiet=quiet) as advance:
        for file, added, name, count in cells:
            rows.append(_measure_apart(file, data, name, count, added, quick=quick, quiet=quiet))
            advance(1, file.path.name)
    if all(isinstance(row, Refused) for row in rows):
        raise BackendError("; ".join(dict.fromkeys(row.reason for row in rows if isinstance(row, Refused))))
    return rows


def measure(
    path: Path,
    backend: str,
    threads: int,
    data: Path | str | None = None,
    delegate: Delegate | None = None,
    *,
    quick: bool,
) -> Measurement:
    """One file in this process; its peak memory is the whole process's.

    Raises:
        EdgeSDKError: if the runtime or the delegate refuses the file or gives other outputs than its golden ones.
    """
    start = time.perf_counter()
    with Model(path, backend=backend, threads=threads, delegate=delegate) as model:
        load_ms = (time.perf_counter() - start) * 1e3
        runtime, prepare = model.backend, _preparer(model)
        runtime.set_input(prepare(0))
        first_invoke_ms = _timed(runtime.run)
        difference = model.require_agreement().max_difference if model.contract.golden else None
        runtime.set_input(prepare(0))
        count, seconds = (QUICK_SAMPLES, QUICK_SECONDS) if quick else (FULL_SAMPLES, FULL_SECONDS)
        for _ in range(WARMUP):
            runtime.run()
        cpu, wall = time.process_time(), time.perf_counter()
        invoke_ms = _sample(lambda _: runtime.run(), count, seconds)
        cpu_over_wall = (time.process_time() - cpu) / (time.perf_counter() - wall)

        def frame_to_label(index: int) -> int:
            return int(runtime.dequantize(runtime.invoke(prepare(index))).argmax())

        frame_ms = _sample(frame_to_label, count, seconds)
        peak = peak_rss_bytes()
        top1, top1_n = (None, 0) if data is None else _accuracy(model, data)
        contract, sha256 = model.contract, model.sha256
    return Measurement(
        model=f"{contract.name} {contract.recipe.precision}",
        path=str(path),
        sha256=sha256,
        size_bytes=path.stat().st_size,
        backend=runtime.name,
        threads=threads,
        delegate="" if delegate is None else delegate.name,
        family=runtime.family,
        device=runtime.device,
        nodes=runtime.nodes,
        delegated_nodes=runtime.delegated_nodes,
        cpu_over_wall=round(cpu_over_wall, 3),
        load_ms=load_ms,
        first_invoke_ms=first_invoke_ms,
        invoke_ms=percentiles(invoke_ms),
        frame_ms=percentiles(frame_ms),
        peak_rss_bytes=peak,
        max_difference=difference,
        top1=top1,
        top1_n=top1_n,
        board=board_name(),
        versions={runtime.name: runtime.version, "python": platform.python_version(), "kernel": platform.release()},
        warnings=_warnings(runtime.delegated_nodes, cpu_over_wall, threads, invoke_ms, quick=quick, golden=difference),
        samples_ms=tuple(round(value, 5) for value in invoke_ms),
    )


def _preparer(model: Model) -> Callable[[int], npt.NDArray[Any]]:
    """A function that prepares a camera's frame of an index, or feeds a code where the model takes one."""
    image = model.contract.input
    if image.color == "latent":
        codes = [Golden(generator="normal", seed=seed).pixels(image) for seed in range(CYCLED_FRAMES)]
        return lambda index: model.feed(codes[index % CYCLED_FRAMES])
    frames = [blocks_frame(seed, FRAME_HEIGHT, FRAME_WIDTH) for seed in range(CYCLED_FRAMES)]
    return lambda index: model.prepare(frames[index % CYCLED_FRAMES])


def _measure_apart(
    file: ModelFile,
    data: Path | str | None,
    backend: str,
    threads: int | None,
    delegate: Delegate | None,
    *,
    quick: bool,
    quiet: bool,
) -> Measurement | Refused:
    contract = file.required_contract()
    name = "" if delegate is None else delegate.name
    try:
        choice = choose(file, backend, threads, delegate, quiet=quiet)
        backend, threads = choice.backend, choice.threads
        question = {
            "path": file.path,
            "backend": backend,
            "threads": threads,
            "data": data,
            "delegate": delegate and asdict(delegate),
            "quick": quick,
        }
        subject = f"{name_runtime(backend, threads, name)} on {file.path}"
        answer = ask_apart("edgesdk_device.bench", question, subject, TIMEOUT_S)
    except BackendError as error:
        return Refused(
            model=f"{contract.name} {contract.recipe.precision}",
            path=str(file.path),
            sha256=file.sha256,
            backend=backend,
            threads=threads,
            delegate=name,
            reason=str(error),
        )
    measurement = decode_value(Measurement, answer, "measurement")
    assert isinstance(measurement, Measurement)
    return replace(measurement, choice=choice if choice.tried else None)


def _sample(work: Callable[[int], object], count: int, seconds: float) -> list[float]:
    """Times in milliseconds: at least `count` and at least `seconds` long."""
    times: list[float] = []
    clock = time.perf_counter
    end = clock() + seconds
    while len(times) < count or clock() < end:
        start = clock()
        work(len(times))
        times.append((clock() - start) * 1e3)
    return times


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def _accuracy(model: Model, data: Path | str) -> tuple[float, int]:
    dataset = read_dataset(data)
    labels = model.contract.output.labels
    photos = [photo for photo in dataset.photos if photo.split == "test"] or list(dataset.photos)
    images = load_images(photos, model.contract.input)
    answers = [labels[int(model.infer(pixels).argmax())] for pixels in images.pixels]
    right = [answer == dataset.classes[index] for answer, index in zip(answers, images.labels, strict=True)]
    return float(np.mean(right)), len(right)


def _check_classes(dataset: Dataset, contract: Contract, path: Path) -> None:
    labels = contract.output.labels
    if not contract.output.classifies:
        raise DataError(f"{path} is no classifier, its output is {contract.output.kind}: leave out --data")
    unknown = [name for name in dataset.classes if name not in labels]
    if unknown:
        raise DataError(
            f"{dataset.name} has a class {unknown[0]!r} that the model does not know; it knows {', '.join(labels[:5])}"
        )


def _warnings(
    delegated: int, cpu_over_wall: float, threads: int, samples: list[float], *, quick: bool, golden: float | None
) -> tuple[str, ...]:
    """What makes the figures doubtful, each with its fix."""
    found = []
    if golden is None:
        found.append("the contract holds no golden outputs: what these figures compute is not proved")
    if quick:
        found.append("quick: fewer runs than a figure to publish needs; leave out --quick for that")
    if not delegated:
        found.append("no operation ran on XNNPACK: the runtime's slow reference kernels did; use --backend litert")
    if threads > 1 and cpu_over_wall < 0.5 * threads:
        found.append(
            f"{threads} threads used {cpu_over_wall:.1f} CPUs: the model is too small for them or the machine is busy"
        )
    if governor() not in ("", "performance"):
        found.append(f"the CPU governor is {governor()}: set it to performance (cpupower frequency-set -g performance)")
    spread: npt.NDArray[np.float64] = np.percentile(samples, (50, 90))
    if spread[1] > 1.5 * spread[0]:
        found.append(
            f"p90 is {spread[1] / spread[0]:.1f} times p50 (load {load_average():.1f}): something else uses this "
            "machine; stop it and measure again"
        )
    return tuple(found)


def _answer(
    path: str, backend: str, threads: int, data: str | None, delegate: dict[str, Any] | None, quick: bool
) -> Measurement:
    named = None if delegate is None else Delegate(**delegate)
    return measure(Path(path), backend, threads, data, named, quick=quick)


if __name__ == "__main__":
    answer_apart(_answer)
