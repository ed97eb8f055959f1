"""A Keras network -> one frozen graph with a batch of 1, which serves every precision."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FrozenGraph:
    """A serialized GraphDef whose weights are constants.

    Attributes:
        input, output: names of its one input and output tensor.
        shape: of one image, (height, width, channels).
    """

    graph: bytes
    input: str
    output: str
    shape: tuple[int, ...]


def freeze(model: Any) -> FrozenGraph:
    """`model` (a `tf_keras.Model` of one input and output), frozen for one image."""
    return freeze_function(lambda image: model(image, training=False), tuple(model.inputs[0].shape[1:]))


def freeze_function(function: Callable[[Any], Any], shape: tuple[int, ...]) -> FrozenGraph:
    """Trace a function of one image, [1, height, width, channels] -> [1, ...], and freeze it.

    A static batch of 1, because a dynamic one adds SHAPE and PACK operations that keep delegates away. No SavedModel
    is written on the way: that is where `TFLiteConverter.from_keras_model` spends most of its time.
    """
    import tensorflow as tf

    # The public convert_variables_to_constants_v2 does this and then traces the result once more, which took six times
    # as long and is not needed here; TensorFlow's version is pinned by the extra `train`.
    from tensorflow.python.framework import convert_to_constants as freezing

    traced = tf.function(function, autograph=False).get_concrete_function(
        tf.TensorSpec((1, *shape), tf.float32, name="image")
    )
    variables = freezing._FunctionConverterDataInEager(func=traced, lower_control_flow=False, aggressive_inlining=False)
    graph, _ = freezing._replace_variables_by_constants(variables)
    return FrozenGraph(
        graph=graph.SerializeToString(),
        input=traced.inputs[0].name,
        output=traced.outputs[0].name,
        shape=shape,
    )
