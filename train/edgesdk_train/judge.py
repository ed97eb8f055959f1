"""How good a network is."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk_train.objective import Objective

JUDGED_TOGETHER = 64  # photos
TEMPERATURES = np.geomspace(0.5, 8, 17)


def evaluator(model: Any, image_input: ImageInput) -> Callable[[Images], tuple[float, float, npt.NDArray[np.float32]]]:
    """A function that judges `model`: images -> (mean cross-entropy, top-1, probabilities float32 [n, classes])."""
    run = tf.function(lambda values: model(values, training=False))

    def measure(images: Images) -> tuple[float, float, npt.NDArray[np.float32]]:
        probabilities = predict(run, images.pixels, image_input)
        picked = probabilities[np.arange(len(images.labels)), images.labels]
        loss = float(-np.log(np.maximum(picked, 1e-7)).mean())
        return loss, float((probabilities.argmax(1) == images.labels).mean()), probabilities

    return measure


def tempered_losses(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """The mean cross-entropy of probabilities [n, classes] at each of `TEMPERATURES`.

    C. Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, section 4.2: the logits over T.
    """
    logs = np.log(np.maximum(probabilities, 1e-7))
    own = logs[np.arange(len(labels)), labels]
    losses = [np.log(np.exp(logs / t).sum(1)) - own / t for t in TEMPERATURES.astype(np.float32)]
    return np.array([loss.mean() for loss in losses], np.float64)


def predict(
    run: Callable[[Any], Any], pixels: Pixels, image_input: ImageInput, batch: int = JUDGED_TOGETHER
) -> npt.NDArray[np.float32]:
    """Pixels uint8 [n, h, w, c] through a Keras function, batch by batch -> float32 [n, ...], as on the device."""
    table = value_table(image_input, np.float32, 0.0, 0)
    parts = []
    for start in range(0, len(pixels), batch):
        chunk = pixels[start : start + batch]
        # A last batch of another size would trace the function again.
        padded = np.concatenate([chunk, np.repeat(chunk[:1], batch - len(chunk), 0)])
        parts.append(run(tf.constant(to_tensor(padded, table))).numpy()[: len(chunk)])
    return np.concatenate(parts)


def judge(objective: Objective, classes: int, image_input: ImageInput) -> Callable[[Images], tuple[float, float]]:
    """A function: images -> (mean of the objective, top-1)."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def look(pixels: Any, labels: Any) -> tuple[Any, Any]:
        values = (tf.cast(pixels, tf.float32) - image_input.mean) / image_input.std
        loss, logits = objective(values, tf.one_hot(labels, classes), False)
        return loss, tf.reduce_sum(tf.cast(tf.argmax(logits, 1, tf.int32) == labels, tf.int32))

    def measure(images: Images) -> tuple[float, float]:
        n, total, right = len(images.labels), 0.0, 0
        for start in range(0, n, JUDGED_TOGETHER):
            chunk = slice(start, start + JUDGED_TOGETHER)
            loss, correct = look(tf.constant(images.pixels[chunk]), tf.constant(images.labels[chunk]))
            total, right = total + float(loss) * len(images.labels[chunk]), right + int(correct)
        return total / n, right / n

    return measure
