"""What the verbs return: frozen values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesdk.contract import Contract


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The answer to one frame.

    Attributes:
        label, index, score: the best class; score is the model's output for it, 0 to 1 for probabilities.
        top: (label, score) of the best classes, best first.
        preprocess_ms, invoke_ms: what the answer took.
    """

    label: str
    index: int
    score: float
    top: tuple[tuple[str, float], ...]
    preprocess_ms: float
    invoke_ms: float


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A file that `convert` wrote, with the facts that its contract holds."""

    path: Path
    contract: Contract
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The keys that scripts rely on (see the README)."""
        measured = self.contract.measured
        proved = measured.accuracy
        return {
            "path": str(self.path),
            "spec": vars(self.contract.spec) | {"name": self.contract.spec.name},
            "accuracy": None
            if proved is None
            else {
                "float": proved.float,
                "float_tflite": proved.float_tflite,
                "final": proved.final,
                "n": proved.n,
                "ci95": list(proved.ci95),
            },
            "agreement": None if proved is None else proved.agreement,
            "macs": measured.macs,
            "parameters": measured.parameters,
            "size_bytes": self.path.stat().st_size,
            "gzip_bytes": measured.gzip_bytes,
            "sparsity": measured.sparsity,
            "recipe": vars(self.contract.recipe),
            "trained": self.contract.source.trained,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What replaying the golden outputs gave.

    Attributes:
        ok: every output lies within the tolerance.
        max_difference: the largest absolute difference from a golden output.
        tolerance: what the contract allows for this family of runtimes.
        backend: the runtime that ran.
        inputs: how many golden inputs were replayed.
    """

    ok: bool
    max_difference: float
    tolerance: float
    backend: str
    inputs: int


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
        backend, threads: what ran it.
        nodes, delegated_nodes: operations in the graph, and how many of them a delegate took (XNNPACK on the CPU).
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
    nodes: int
    delegated_nodes: int
    cpu_over_wall: float
    load_ms: float
    first_invoke_ms: float
    invoke_ms: Percentiles
    frame_ms: Percentiles
    peak_rss_bytes: int
    top1: float | None = None
    top1_n: int = 0
    board: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    samples_ms: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of `doctor`: a part, whether it works here, what was found, and how to get it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
