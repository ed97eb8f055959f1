"""What TFLite's benchmark_model prints, read: from a device over adb, or from a log that somebody else made."""

import re
from pathlib import Path

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
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(\d+)\]")
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
        load_ms, first_ms, mean_ms, min_ms, max_ms, std_ms = (float(x) / 1e3 for x in (*timings.groups(), *times))
        peak_bytes = None if peak is None else round(float(peak[1]) * 2**20)
    except (ValueError, OverflowError):  # what looks like a number and is none, such as 1e
        return None
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
        peak_memory_bytes=peak_bytes,
        ops=_read_ops(text),
    )


def read_log(path: Path | str) -> OnAndroid:
    """A log of benchmark_model as a row; its profile by node type (text or CSV) is read where it holds one.

    Raises:
        MeasurementError: if the file is missing or holds no timings.
    """
    path = Path(path)
    what = "expected what benchmark_model prints (--enable_op_profiling=true adds its operations)"
    try:
        if path.stat().st_size > LARGEST_LOG_BYTES:
            raise MeasurementError(f"{path} is larger than {LARGEST_LOG_BYTES >> 20} MiB, {what}")
        text = path.read_text(errors="replace")
    except OSError as error:
        raise MeasurementError(f"cannot read {path} ({error.strerror}): {what}") from error
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
