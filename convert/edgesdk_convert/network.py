"""A trained network on its way to a file, whatever it came from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.errors import ConversionError
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.quiet import captured_output
from edgesdk_convert.export import FrozenGraph, freeze
from edgesdk_convert.jobs import FromGraph
from edgesdk_convert.worker import run_job, shared_worker

Outputs = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A float network.

    Attributes:
        float_file: its float32 .tflite, for one image.
        answer: pixels uint8 [n, height, width, channels] -> outputs float32 [n, outputs], by the framework
            that it came from.
        parameters: how many numbers it learned.
        graph: frozen; None where the network came as a .tflite.
        layers: the `tf_keras.Model`, which the repairs and what learns need; None for a network of another kind.
    """

    float_file: bytes
    answer: Callable[[Pixels], Outputs]
    parameters: int
    graph: FrozenGraph | None = None
    layers: Any = None


def from_keras(model: Any, image_input: ImageInput) -> Network:
    """A `tf_keras.Model` of one input and one output.

    Raises:
        ConversionError: if its weights hold NaN or infinite numbers, or the converter refuses it.
    """
    shared_worker()  # it imports TensorFlow while the graph is frozen here
    _check_finite(model)
    with captured_output():  # TensorFlow tells the log what it optimizes
        graph = freeze(model)
    return Network(
        float_file=run_job(FromGraph(graph=graph)),
        answer=keras_answer(model, image_input),
        parameters=int(model.count_params()),
        graph=graph,
        layers=model,
    )


def keras_answer(model: Any, image_input: ImageInput) -> Callable[[Pixels], Outputs]:
    """The function `Network.answer` of a Keras model."""
    import tensorflow as tf

    from edgesdk_train.judge import predict

    run = tf.function(lambda values: model(values, training=False), autograph=False)
    return lambda pixels: predict(run, pixels, image_input).reshape(len(pixels), -1)


def _check_finite(model: Any) -> None:
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise ConversionError(
                f"the network's weights {weight.name} hold NaN or infinite numbers: train it again, with a smaller rate"
            )
