"""The answers of a device: frozen values, few, because a cold start pays for each class that is made."""

from edgesdk.choice import Choice
from edgesdk.frozen import frozen


@frozen
class Classification:
    """The answer to one frame.

    Attributes:
        label, index, score: the best class; score is its probability, 0 to 1.
        top: (label, score) of the best classes, best first.
        preprocess_ms, invoke_ms, post_ms: what the answer took: fitting the frame to the model, the runtime, from its
            raw output to labels.
    """

    label: str
    index: int
    score: float
    top: tuple[tuple[str, float], ...]
    preprocess_ms: float
    invoke_ms: float
    post_ms: float = 0.0


@frozen
class Verified:
    """What replaying the golden outputs gave.

    Attributes:
        ok: every output lies within the tolerance.
        max_difference: the largest absolute difference from a golden output; None where an output was NaN.
        tolerance: what the contract allows for this family of runtimes.
        backend, delegate: the runtime that ran, and its external delegate's name, "" without one.
        nodes, delegated_nodes: operations in the graph, and how many the delegate, XNNPACK or the GPU took.
        inputs: how many golden inputs were replayed.
        choice: why this runtime and this number of threads.
    """

    ok: bool
    max_difference: float | None
    tolerance: float
    backend: str
    delegate: str
    nodes: int
    delegated_nodes: int
    inputs: int
    choice: Choice

    @property
    def disagreement(self) -> str:
        """What is wrong, in words; "" where nothing is."""
        if self.ok:
            return ""
        found = "gives NaN"
        if self.max_difference is not None:
            found = f"differs from the golden outputs by {self.max_difference:.2g}"
        return f"{found}, allowed is {self.tolerance:.2g}"


@frozen
class Check:
    """One line of `doctor`: a part, whether it works here, what was found, and how to get it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
