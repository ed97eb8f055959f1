"""What TFLite's benchmark_model prints, read: from a device over adb, or from what somebody else measured.

That is its log, with the table that `--enable_op_profiling=true` adds as text or CSV, or its BenchmarkResult
(`--result_file_path`, protobuf) as JSON, as google.protobuf's json_format makes it.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from edgesdk.errors import MeasurementError
from edgesdk.measurement import OnAndroid, OpTime

LARGEST_LOG_BYTES = 2**24
_TIMINGS = re.compile(
    r"Inference timings in us: Init: ([\d.e+]+), First inference: ([\d.e+]+), Warmup \(avg\): [\d.e+]+, "
    r"Inference \(avg\): ([\d.e+]+)"
)
_RUNS = re.compile(r"count=(\d+) .*?min=([\d.e+]+) max=([\d.e+]+) avg=[\d.e+]+ std=([\d.e+]+)")
_PEAK = re.compile(r"[Pp]eak memory footprint \(MB\)(?: via periodic monitoring: |: init=\S+ overall=)([\d.e+]+)")
_TAKEN = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate")
_GRAPH = re.compile(r"Graph: \[(.+?)\]")
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(\d{1,6})\]")
_BACKENDS = (
    ("litert-gpu", re.compile(r"Use gpu: \[1\]|GPU delegate created|Created TensorFlow Lite delegate for GPU")),
    ("nnapi", re.compile(r"Use NNAPI: \[1\]|Created TensorFlow Lite delegate for NNAPI")),
)
#: A line of the summary by node type: name, count, average ms, average %, cumulative %, memory, times called.
_OP = re.compile(r"^\s*([A-Za-z].*?)\s*[\t,]\s*(\d+)[\t,]\s*([\d.]+)[\t,]\s*([\d.]+)\s*%?[\t,]")


def parse_log(
    text: str, *, model: str, path: str, sha256: str, backend: str, threads: int, delegate: str, device: str
) -> OnAndroid | None:
    """What the tool measured; None where it printed no timings. The arguments are `OnAndroid`'s."""
    timings, runs = _TIMINGS.search(text), _RUNS.findall(text)
    if timings is None or not runs:
        return None
    count, *times = runs[-1]  # those before it are the warm-up
    taken, peak = _TAKEN.search(text), _PEAK.search(text)
    try:
        load_ms, first_ms, mean_ms, min_ms, max_ms, std_ms = (_number(x) / 1e3 for x in (*timings.groups(), *times))
        return OnAndroid(
            model=model,
            path=path,
            sha256=sha256,
            backend=backend,
            threads=threads,
            delegate=delegate,
            device=device,
            load_ms=load_ms,
            first_invoke_ms=first_ms,
            mean_ms=mean_ms,
            std_ms=std_ms,
            min_ms=min_ms,
            max_ms=max_ms,
            n=int(count),
            nodes=None if taken is None else int(taken[2]),
            delegated_nodes=None if taken is None else int(taken[1]),
            peak_memory_bytes=None if peak is None else round(_number(peak[1]) * 2**20),
            ops=_read_ops(text),
        )
    except (ValueError, OverflowError):  # what looks like a number and is none, such as 1e
        return None


def _number(text: Any) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def read_log(path: Path | str) -> OnAndroid:
    """A log of benchmark_model, or its BenchmarkResult as JSON, as a row; the log's profile is read where it has one.

    Raises:
        MeasurementError: if the file is missing or holds no timings.
    """
    path = Path(path)
    what = (
        "expected what benchmark_model prints (--enable_op_profiling=true adds its operations), or its BenchmarkResult "
        "as JSON"
    )
    try:
        if path.stat().st_size > LARGEST_LOG_BYTES:
            raise MeasurementError(f"{path} is larger than {LARGEST_LOG_BYTES >> 20} MiB, {what}")
        text = path.read_text(errors="replace")
    except OSError as error:
        raise MeasurementError(f"cannot read {path} ({error.strerror}): {what}") from error
    if text.lstrip()[:1] == "{":
        return _read_result(text, path, what)
    graph, threads = _GRAPH.search(text), _THREADS.search(text)
    backend = next((name for name, pattern in _BACKENDS if pattern.search(text)), "litert")
    row = parse_log(
        text,
        model=path.stem if graph is None else Path(graph[1]).stem,
        path=str(path),
        sha256="",
        backend=backend,
        threads=max(1, int(threads[1])) if threads else 1,
        delegate="",
        device=f"the machine of {path.name}",
    )
    if row is None:
        raise MeasurementError(f"{path} holds no timings, {what}")
    return row


def _read_result(text: str, path: Path, what: str) -> OnAndroid:
    """A BenchmarkResult message in JSON; its keys are written as in the .proto file or in camel case."""

    def numbers(part: str) -> dict[str, float]:
        value = found.get(part, {})
        return {_snake(name): _number(number) for name, number in value.items()}

    try:
        found: dict[str, Any] = {_snake(name): value for name, value in json.loads(text).items()}
        latency, memory, misc = (numbers(f"{part}_metrics") for part in ("latency", "memory", "misc"))
        peak_mb = memory.get("peak_mem_mb", 0.0)
        return OnAndroid(
            model=str(found.get("name") or path.stem),
            path=str(path),
            sha256="",
            backend="litert",
            threads=1,
            delegate="",
            device=f"the machine of {path.name}",
            load_ms=latency["init_ms"],
            first_invoke_ms=latency["first_inference_ms"],
            mean_ms=latency["avg_ms"],
            std_ms=latency["stddev_ms"],
            min_ms=latency["min_ms"],
            max_ms=latency["max_ms"],
            n=int(misc["num_runs"]),
            nodes=None,
            delegated_nodes=None,
            peak_memory_bytes=round(peak_mb * 2**20) if peak_mb > 0 else None,
        )
    except KeyError as error:
        raise MeasurementError(f"{path} holds no {error.args[0]} among its metrics: {what}") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise MeasurementError(f"{path} is no result of benchmark_model ({str(error)[:80]}): {what}") from error


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _read_ops(text: str) -> tuple[OpTime, ...]:
    """The last summary by node type, which is that of the runs; () where there is none."""
    _, found, summary = text.rpartition("Summary by node type")
    ops = []
    for line in summary.splitlines()[1:] if found else ():
        if match := _OP.match(line):
            name, count, mean_ms, percent = match.groups()
            ops.append(OpTime(name=name, count=int(count), mean_ms=float(mean_ms), share=float(percent) / 100))
        elif ops and not line.strip():
            break
    return tuple(sorted(ops, key=lambda op: -op.mean_ms))
