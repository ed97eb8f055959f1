"""The networks, one paper a file. Every builder takes a `ModelSpec` and returns a legacy-Keras model that has

- an input of [batch, res, res, channels] float32, already mapped by the preprocessing,
- a layer `features`, the input of the last layer with weights, `logits`,
- probabilities [batch, classes] as its only output.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgesdk.spec import ModelSpec
from edgesdk_train.models import mobilenet_v1, mobilenet_v2, mobilenet_v3

__all__ = ["MODELS", "Architecture", "architecture", "build_model"]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network's builder and the paper it follows."""

    build: Callable[[ModelSpec], Any]
    paper: str


MODELS: dict[str, Architecture] = {
    "mobilenet_v1": Architecture(build=mobilenet_v1.mobilenet_v1, paper=mobilenet_v1.PAPER),
    "mobilenet_v2": Architecture(build=mobilenet_v2.mobilenet_v2, paper=mobilenet_v2.PAPER),
    "mobilenet_v3_small": Architecture(build=mobilenet_v3.mobilenet_v3_small, paper=mobilenet_v3.PAPER),
    "mobilenet_v3_large": Architecture(build=mobilenet_v3.mobilenet_v3_large, paper=mobilenet_v3.PAPER),
    "mobilenet_v3_small_minimalistic": Architecture(
        build=mobilenet_v3.mobilenet_v3_small_minimalistic, paper=mobilenet_v3.PAPER
    ),
    "mobilenet_v3_large_minimalistic": Architecture(
        build=mobilenet_v3.mobilenet_v3_large_minimalistic, paper=mobilenet_v3.PAPER
    ),
}


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in MODELS:
        raise ValueError(f"arch is {name!r}, expected one of {', '.join(MODELS)}")
    return MODELS[name]


def build_model(spec: ModelSpec) -> Any:
    """The network of `spec` with random weights, a `tf_keras.Model`; raises ValueError as `architecture`."""
    return architecture(spec.arch).build(spec)
