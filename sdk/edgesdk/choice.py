"""Which runtime runs a model here, and why: frozen values."""

from edgesdk.frozen import frozen


@frozen
class Trial:
    """How one runtime did with one model on this machine, in a process of its own.

    Attributes:
        backend, threads, delegate: what ran; delegate is the library's name, "" without one.
        nodes, delegated_nodes: operations in the graph, and how many the delegate, XNNPACK or the GPU took.
        p50_ms, p90_ms: of invoke, from a short measurement; None where it was refused before.
        cpu_over_wall: CPU seconds per second of invoke.
        max_difference: the largest difference from a golden output; None where there are no numbers.
        device: the GPU's name, "" on the CPU.
        reason: one sentence where it was refused, "" where its golden outputs agree.
    """

    backend: str
    threads: int
    delegate: str = ""
    nodes: int = 0
    delegated_nodes: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    cpu_over_wall: float | None = None
    max_difference: float | None = None
    device: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """What ran, in words."""
        return name_runtime(self.backend, self.threads, self.delegate)

    @property
    def refusal(self) -> str:
        """What ran and why it was refused; "" where it was not."""
        return self.reason if not self.reason or self.reason.startswith(self.backend) else f"{self.name}: {self.reason}"


@frozen
class Choice:
    """What runs a model on this machine.

    Attributes:
        backend, threads: what was chosen.
        reason: why, in words.
        tried: everything that was measured for it, what was refused too; empty where nothing was left open.
    """

    backend: str
    threads: int
    reason: str
    tried: tuple[Trial, ...] = ()

    def __str__(self) -> str:
        return f"{name_runtime(self.backend, self.threads)}: {self.reason}"


def name_runtime(backend: str, threads: int, delegate: str = "") -> str:
    """A runtime in words: "litert, 2 threads, libarmnn.so"."""
    count = f"{threads} thread{'s' * (threads > 1)}"
    return ", ".join(part for part in (backend, "" if backend.endswith("gpu") else count, delegate) if part)


def name_place(backend: str, delegate: str = "") -> str:
    """Where the operations ran that `delegated_nodes` counts."""
    return delegate or ("the GPU" if backend.endswith("gpu") else "XNNPACK")
