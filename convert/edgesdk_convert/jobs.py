"""What the converter is asked for: one job a value, each run in the worker process (see `worker.py`).

float32 is the trunk: every int8 and int16x8 file is made from the float .tflite, calibrated once, so that a network
that comes as a .tflite goes the same way as one that comes from Keras.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.recipe import Io
from edgesdk_convert.export import FrozenGraph

Answer = TypeVar("Answer", covariant=True)


class Job(Protocol[Answer]):
    """A value that can be pickled, and what it does in the worker."""

    def run(self) -> Answer:
        """Do it."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Images that show the network what it will see: uint8 [n, height, width, channels], and their preprocessing."""

    pixels: Pixels
    image_input: ImageInput

    def feed(self) -> Callable[[], Iterator[list[npt.NDArray[np.float32]]]]:
        """A function that gives the images one by one as TensorFlow's tools take them."""
        values = to_tensor(self.pixels, value_table(self.image_input, np.float32, 0.0, 0))

        def images() -> Iterator[list[npt.NDArray[np.float32]]]:
            for value in values:
                yield [value[None]]

        return images


@dataclass(frozen=True, kw_only=True)
class FromGraph:
    """A frozen graph -> a file.

    `precision`: "float32", "float16" (weights), "dynamic" (int8 weights), or "trained": int8 with the ranges that
    quantization-aware training left in the graph. `io`: of a "trained" file.
    """

    graph: FrozenGraph
    precision: Literal["float32", "float16", "dynamic", "trained"] = "float32"
    io: Io = "float32"

    def run(self) -> bytes:
        """The file."""
        import tensorflow as tf

        definition = tf.compat.v1.GraphDef.FromString(self.graph.graph)

        def network(image: Any) -> Any:
            mapped = {self.graph.input: image}
            return tf.import_graph_def(definition, input_map=mapped, return_elements=[self.graph.output], name="net")[0]

        image = tf.TensorSpec((1, *self.graph.shape), tf.float32, name="image")
        function = tf.function(network, autograph=False).get_concrete_function(image)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
        # Without it dense layers come out as an operation version that tflite-runtime 2.14 refuses.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        if self.precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if self.precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if self.precision == "trained":
            converter.inference_input_type = converter.inference_output_type = _tensor_type(self.io)
        return bytes(converter.convert())


@dataclass(frozen=True, kw_only=True)
class Calibrate:
    """A float file -> the same with the smallest and largest value that each tensor takes on the samples."""

    float_file: bytes
    samples: Samples

    def run(self) -> bytes:
        """The file, whose tensors hold their ranges."""
        from tensorflow.lite.python.optimize import calibrator

        prepared = calibrator.add_intermediate_tensors(self.float_file)
        return bytes(calibrator.Calibrator(prepared).calibrate(self.samples.feed()))


@dataclass(frozen=True, kw_only=True)
class ToInt8:
    """A calibrated file -> int8.

    The converter's own step, called without the converter: it is what `TFLiteConverter` does after calibration, which
    it would repeat for every variant. `float_layers`: names of output tensors whose operations stay float32.
    """

    calibrated: bytes
    io: Io
    float_layers: tuple[str, ...] = ()

    def run(self) -> bytes:
        """The file."""
        from tensorflow.lite.python.convert import mlir_quantize

        io = _tensor_type(self.io)
        return bytes(
            mlir_quantize(
                self.calibrated,
                input_data_type=io,
                output_data_type=io,
                denylisted_nodes=list(self.float_layers),
                disable_per_channel_for_dense_layers=True,
            )
        )


@dataclass(frozen=True, kw_only=True)
class ToInt16:
    """A float file -> int8 weights, int16 activations, float input and output."""

    float_file: bytes
    samples: Samples

    def run(self) -> bytes:
        """The file."""
        import tensorflow as tf
        from tensorflow.lite.python.optimize import calibrator

        made = calibrator.Calibrator(calibrator.add_intermediate_tensors(self.float_file)).calibrate_and_quantize(
            self.samples.feed(),
            tf.float32,
            tf.float32,
            allow_float=False,
            activations_type=tf.int16,
            bias_type=tf.int64,
            disable_per_channel_quantization_for_dense_layers=True,
        )
        return bytes(made)


def _tensor_type(io: Io) -> Any:
    import tensorflow as tf

    return {"uint8": tf.uint8, "int8": tf.int8, "float32": tf.float32}[io]
