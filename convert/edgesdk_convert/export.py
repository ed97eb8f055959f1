"""A Keras network -> one frozen graph with a batch of 1, which serves every precision."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FrozenGraph:
    """A serialized GraphDef whose weights are constants, with the names of its input and output tensors."""

    graph: bytes
    input: str
    output: str


def freeze(model: Any) -> FrozenGraph:
    """Trace `model` (a `tf_keras.Model` of one input and output) for one image and freeze it.

    A static batch of 1, because a dynamic one adds SHAPE and PACK operations that keep delegates away. No SavedModel
    is written on the way: that is where `TFLiteConverter.from_keras_model` spends most of its time.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape = (1, *model.inputs[0].shape[1:])
    traced = tf.function(lambda image: model(image, training=False)).get_concrete_function(
        tf.TensorSpec(shape, tf.float32, name="image")
    )
    frozen = convert_variables_to_constants_v2(traced)
    return FrozenGraph(
        graph=frozen.graph.as_graph_def().SerializeToString(),
        input=frozen.inputs[0].name,
        output=frozen.outputs[0].name,
    )
