"""The converter's settings for each precision, and the check that it did what was asked."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.contract import Recipe
from edgesdk.errors import ConversionError
from edgesdk.preprocess import ImageInput
from edgesdk_device.backends import Backend

#: Precisions whose activations need ranges.
CALIBRATED = ("int8", "int16x8")


def configure(converter: Any, recipe: Recipe, samples: npt.NDArray[np.float32] | None) -> None:
    """Set up a `tf.lite.TFLiteConverter`.

    Args:
        converter: of one frozen graph.
        recipe: precision and input/output type.
        samples: float32 [n, height, width, channels] that set the ranges of activations; see `CALIBRATED`.
    """
    import tensorflow as tf

    # Without it dense layers come out as an operation version that tflite-runtime 2.14 refuses.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if recipe.precision == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if recipe.precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if recipe.precision not in CALIBRATED:
        return
    assert samples is not None

    def representative() -> Iterator[list[npt.NDArray[np.float32]]]:
        for sample in samples:
            yield [sample[None]]

    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        if recipe.precision == "int8"
        else tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    io = {"uint8": tf.uint8, "int8": tf.int8, "float32": tf.float32}[recipe.io]
    converter.inference_input_type = io
    converter.inference_output_type = io


def check_input(backend: Backend, image_input: ImageInput, recipe: Recipe) -> None:
    """Make sure that the input tensor is what the contract will say: type, size, and the bytes' whole range.

    Raises:
        ConversionError: if calibration did not span black to white, so that bright pixels would be cut off.
    """
    tensor = backend.input
    if tensor.shape != (1, *image_input.shape) or np.dtype(tensor.dtype).name != recipe.io:
        raise ConversionError(
            f"the converter made an input of {np.dtype(tensor.dtype).name} {tensor.shape}, expected {recipe.io} "
            f"{(1, *image_input.shape)}"
        )
    if recipe.io == "float32":
        return
    scale = 1 / image_input.std
    zero_point = image_input.mean - (128 if recipe.io == "int8" else 0)
    if abs(tensor.scale - scale) > 0.005 * scale or abs(tensor.zero_point - zero_point) > 1:
        raise ConversionError(
            f"the input is quantized with scale {tensor.scale:.6f}, zero point {tensor.zero_point}, expected "
            f"{scale:.6f} and {zero_point:g}: calibration images must span black to white"
        )
