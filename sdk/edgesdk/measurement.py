"""What `bench` returns: frozen values."""

from dataclasses import dataclass, field
from typing import Literal

from edgesdk.choice import Choice


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Of a list of times in milliseconds; nothing is clipped."""

    p50: float
    p90: float
    p99: float
    max: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one model costs on this machine with one backend and number of threads.

    Attributes:
        model, path, sha256: which file.
        backend, threads, delegate: what ran it; delegate is the external one's name, "" without one.
        family, device: "cpu" or "gpu", and the GPU's name.
        choice: why this backend and number of threads, where that was left open.
        nodes, delegated_nodes: operations in the graph, and how many the delegate took; without one XNNPACK or the GPU.
        max_difference: the largest difference from a golden output; None where the contract holds none.
        cpu_over_wall: CPU seconds per second of invoke: 2 threads that really run give almost 2.
        load_ms: read, check and allocate; first_invoke_ms: the first run, before any warm-up.
        invoke_ms: the runtime alone. frame_ms: a 640x480 frame to its label.
        peak_rss_bytes: of the whole measuring process.
        top1, top1_n: accuracy on the given data, and on how many images; None without data.
        board, versions: the machine and what ran on it.
        warnings: what makes these figures doubtful, with the fix.
        samples_ms: the raw invoke times.
    """

    model: str
    path: str
    sha256: str
    size_bytes: int
    backend: str
    threads: int
    delegate: str = ""
    family: Literal["cpu", "gpu"] = "cpu"
    device: str = ""
    choice: Choice | None = None
    nodes: int
    delegated_nodes: int
    cpu_over_wall: float
    load_ms: float
    first_invoke_ms: float
    invoke_ms: Percentiles
    frame_ms: Percentiles
    peak_rss_bytes: int
    max_difference: float | None = None
    top1: float | None = None
    top1_n: int = 0
    board: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    samples_ms: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What could not be measured: `reason` is one sentence, the rest as in `Measurement`."""

    model: str
    path: str
    sha256: str
    backend: str
    threads: int | None
    delegate: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class OnAndroid:
    """What Android's benchmark_model measured on a device; it keeps no single times, so that there are no percentiles.

    Attributes:
        model, path, sha256, backend, threads, delegate: as in `Measurement`.
        device: its name, version of Android and serial.
        load_ms, first_invoke_ms: making the session, and the first run.
        mean_ms, std_ms, min_ms, max_ms, n: of the runs after the warm-up.
        nodes, delegated_nodes: as the tool says them; None where it does not.
        peak_memory_bytes: of the tool; None where it does not say.
    """

    model: str
    path: str
    sha256: str
    backend: str
    threads: int
    delegate: str
    device: str
    load_ms: float
    first_invoke_ms: float
    mean_ms: float
    std_ms: float
    min_ms: float
    max_ms: float
    n: int
    nodes: int | None
    delegated_nodes: int | None
    peak_memory_bytes: int | None
