"""Jobs of the worker process for networks of Keras 3 and SavedModels: the caller's process, which may use Keras 3 or
TensorFlow for its own ends, sees neither the model nor its code.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.errors import ConversionError, ModelFileError
from edgesdk_convert.export import FrozenGraph, freeze_function
from edgesdk_convert.jobs import Samples
from edgesdk_convert.load import load_keras
from edgesdk_convert.untrusted import check_saved_model

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A network that was read: its graph, how many numbers it learned, and of Keras networks each layer's weights."""

    graph: FrozenGraph
    parameters: int
    weights: dict[str, Arrays]


@dataclass(frozen=True, kw_only=True)
class FreezeKeras3:
    """A Keras 3 file -> its frozen graph. `res`: height and width where the file leaves them open."""

    path: Path
    res: int | None
    trust: bool

    def run(self) -> Frozen:
        """The network.

        Raises:
            ModelFileError: if Keras cannot read it.
            ConversionError: if it is no network of one image and one answer.
        """
        os.environ["KERAS_BACKEND"] = "tensorflow"  # the caller's own may be another
        import keras

        try:
            model = load_keras(keras, self.path, trust=self.trust)
        except Exception as error:  # Keras raises many kinds
            raise unreadable(self.path, error) from error
        only_one(self.path, "inputs", [tensor.name for tensor in model.inputs])
        only_one(self.path, "outputs", [tensor.name for tensor in model.outputs])
        check_finite(self.path, ((weight.path, np.asarray(weight)) for weight in model.weights))
        shape = image_shape(self.path, model.inputs[0].shape, self.res)
        return Frozen(
            graph=freeze_function(lambda image: model(image, training=False), shape),
            parameters=int(model.count_params()),
            weights={layer.name: layer.get_weights() for layer in model.layers},
        )


@dataclass(frozen=True, kw_only=True)
class FreezeSavedModel:
    """The signature `serving_default` of a SavedModel -> its frozen graph; `res` as in `FreezeKeras3`."""

    path: Path
    res: int | None
    trust: bool

    def run(self) -> Frozen:
        """The network.

        Raises:
            ModelFileError: if TensorFlow cannot read it, or it touches the machine.
            ConversionError: if it is no network of one image and one answer.
        """
        import tensorflow as tf

        if not self.trust:
            check_saved_model(self.path)
        try:
            loaded = tf.saved_model.load(str(self.path))
        except Exception as error:  # TensorFlow raises many kinds
            raise unreadable(self.path, error) from error
        serve = loaded.signatures.get("serving_default")
        if serve is None:
            known = ", ".join(loaded.signatures) or "none"
            raise ConversionError(f"{self.path} has no signature serving_default, but {known}: export it with one")
        inputs: dict[str, Any] = serve.structured_input_signature[1]
        outputs: dict[str, Any] = serve.structured_outputs
        only_one(self.path, "inputs", list(inputs))
        only_one(self.path, "outputs", list(outputs))
        name, answer = next(iter(inputs)), next(iter(outputs))
        image = inputs[name]
        if image.dtype != tf.float32:
            raise ConversionError(
                f"{self.path} takes {image.dtype.name}, expected float32: export it with a float image"
            )
        shape = image_shape(self.path, image.shape, self.res)
        check_finite(self.path, ((weight.name, weight.numpy()) for weight in serve.variables))
        try:
            graph = freeze_function(lambda values: serve(**{name: values})[answer], shape)
        except ValueError as error:
            raise unreadable(self.path, error) from error
        parameters = sum(int(np.prod(weight.shape)) for weight in serve.variables)
        return Frozen(graph=graph, parameters=parameters, weights={})


@dataclass(frozen=True, kw_only=True)
class AnswerSamples:
    """What TensorFlow answers with a frozen graph, image by image."""

    graph: FrozenGraph
    samples: Samples

    def run(self) -> npt.NDArray[np.float32]:
        """float32 [n, outputs]."""
        import tensorflow as tf

        definition = tf.compat.v1.GraphDef.FromString(self.graph.graph)
        network = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
        network = network.prune(self.graph.input, self.graph.output)
        answers = [network(tf.constant(value)).numpy().reshape(-1) for (value,) in self.samples.feed()()]
        return np.stack(answers).astype(np.float32)  # type: ignore[no-any-return]


def image_shape(path: Path, shape: Iterable[int | None] | None, res: int | None) -> tuple[int, int, int]:
    """(height, width, channels) of a network's input.

    Args:
        path: of the network, for the sentence.
        shape: of its input with the batch, None where open.
        res: height and width where they are open.

    Raises:
        ConversionError: if it is no image of 1 or 3 channels, its size is open or not `res`.
    """
    found = None if shape is None else tuple(shape)
    if found is None or len(found) != 4 or found[3] not in (1, 3) or found[0] not in (None, -1, 1):
        raise ConversionError(
            f"the input of {path} has shape {found}, expected one image [1, height, width, 3], or 1 channel"
        )
    sides = [None if side in (None, -1) else side for side in found[1:3]]
    if res is None and None in sides:
        raise ConversionError(f"the input of {path} has shape {found}, any size: say which with --res")
    if res is not None and any(side not in (None, res) for side in sides):
        raise ConversionError(f"res is {res}, but {path} takes images of {sides[0]}x{sides[1]} pixels: leave it out")
    height, width = (res if side is None else side for side in sides)
    assert height is not None and width is not None
    return height, width, int(found[3] or 0)


def only_one(path: Path, what: str, names: list[str]) -> None:
    """Refuse a network of several inputs or outputs."""
    if len(names) != 1:
        raise ConversionError(
            f"{path} has {len(names)} {what} ({', '.join(names)}), expected one image in and one answer out: save a "
            "model of that part"
        )


def check_finite(path: Path, weights: Iterable[tuple[str, npt.NDArray[Any]]]) -> None:
    """Refuse weights that hold NaN or infinite numbers."""
    for name, values in weights:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ConversionError(f"the weights {name} of {path} hold NaN or infinite numbers: train it again")


def unreadable(path: Path, error: Exception) -> ModelFileError:
    """The sentence for what a library's loader raises."""
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return ModelFileError(f"{path} cannot be read ({reason}): save it again")
