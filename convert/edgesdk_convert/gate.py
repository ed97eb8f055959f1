"""The proof: the same held-out images through the float network, the float .tflite and the final .tflite."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.contract import Accuracy
from edgesdk.errors import GateError
from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.progress import progress
from edgesdk.stats import wilson_interval
from edgesdk_device.backends import Backend

Outputs = npt.NDArray[np.float32]


def signal_to_noise_db(wanted: Outputs, given: Outputs) -> float:
    """Power of the network's outputs over that of a file's difference from them; infinite where they are equal.

    Args:
        wanted, given: float32 [n, outputs], of the same images, without labels.
    """
    noise = float(np.square(given - wanted).mean())
    signal = float(np.square(wanted).mean())
    return 10 * math.log10(signal / noise) if noise and signal else math.inf


def network_outputs(model: Any, pixels: Pixels, image_input: ImageInput) -> Outputs:
    """What the float network (a `tf_keras.Model`) answers.

    Args:
        model: the network.
        pixels: uint8 [n, height, width, channels].

    Returns:
        float32 [n, outputs].
    """
    import tensorflow as tf

    table = value_table(image_input, np.float32, 0.0, 0)
    run = tf.function(lambda values: model(values, training=False), reduce_retracing=True)
    parts = [
        run(tf.constant(to_tensor(pixels[start : start + 64], table))).numpy() for start in range(0, len(pixels), 64)
    ]
    outputs: Outputs = np.concatenate(parts).reshape(len(pixels), -1)
    return outputs


def file_outputs(backend: Backend, pixels: Pixels, image_input: ImageInput, *, quiet: bool = True) -> Outputs:
    """What a converted model answers, image by image, as the device will: float32 [n, outputs]."""
    table = value_table(image_input, backend.input.dtype, backend.input.scale, backend.input.zero_point)
    outputs = []
    with progress("proving", len(pixels), quiet=quiet) as advance:
        for image in pixels:
            outputs.append(backend.dequantize(backend.invoke(to_tensor(image, table))))
            advance(1, "")
    return np.stack(outputs)


def prove(
    network: Outputs, float_file: Outputs, final_file: Outputs, truth: npt.NDArray[np.int32], labels: Sequence[str]
) -> Accuracy:
    """Compare the three on the same images.

    Args:
        network, float_file, final_file: float32 [n, classes].
        truth: int32 [n].
        labels: of the classes.
    """
    answers = [outputs.argmax(1) for outputs in (network, float_file, final_file)]
    right = [answer == truth for answer in answers]
    drops = {}
    for index in np.unique(truth).tolist():
        of_class = truth == index
        drop = 100 * float(right[0][of_class].mean() - right[2][of_class].mean())
        if drop > 0:
            drops[labels[index]] = round(drop, 2)
    return Accuracy(
        float=float(right[0].mean()),
        float_tflite=float(right[1].mean()),
        final=float(right[2].mean()),
        n=len(truth),
        ci95=wilson_interval(int(right[2].sum()), len(truth)),
        agreement=float((answers[0] == answers[2]).mean()),
        per_class_drop=dict(sorted(drops.items(), key=lambda item: -item[1])),
    )


def check_drop(accuracy: Accuracy, max_drop: float | None) -> None:
    """Refuse a file that lost more top-1 than `max_drop` points against the float network.

    Raises:
        GateError: with both figures.
    """
    drop = 100 * (accuracy.float - accuracy.final)
    if max_drop is not None and drop > max_drop:
        raise GateError(
            f"the converted model lost {drop:.1f} points of top-1 ({100 * accuracy.float:.1f} % -> "
            f"{100 * accuracy.final:.1f} % on {accuracy.n} images), allowed are {max_drop:g}: nothing was written; "
            "allow more with --max-drop, or ship --quantize float32"
        )
