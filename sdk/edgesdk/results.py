"""The answers of a device: frozen values, few, because a cold start pays for each class that is made."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
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
class Check:
    """One line of `doctor`: a part, whether it works here, what was found, and how to get it."""

    name: str
    ok: bool
    found: str
    fix: str = ""
