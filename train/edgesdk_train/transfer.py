"""A new head on a pretrained body: features once, then only the last layer.

J. Yosinski et al., How transferable are features in deep neural networks?, arXiv 1411.1792: the body's features of each
photo do not change while the body is frozen, so they are computed once and the head learns on them alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk_train.judge import JUDGED_TOGETHER, predict, tempered_losses

HEAD_EPOCHS = 100
HEAD_RATE = 3e-3
HEAD_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class HeadResult:
    """Cross-entropy and top-1 of the head's best epoch on the training and the validation photos; see `Epoch`."""

    loss: float
    top1: float
    val_loss: float
    val_top1: float
    val_calibrated: float


def freeze_batchnorm(model: Any) -> None:
    """Keep every batch-norm's statistics and scale: small data would spoil what ImageNet measured."""
    for layer in model.submodules:  # also those inside a wrapper
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def feature_extractor(model: Any, image_input: ImageInput) -> Callable[[Pixels], npt.NDArray[np.float32]]:
    """A function: pixels uint8 [n, h, w, c] -> the input of the last layer with weights, float32 [n, ...]."""
    body = keras.Model(model.input, model.get_layer("features").output)
    run = tf.function(lambda values: body(values, training=False), autograph=False)
    return lambda pixels: predict(run, pixels, image_input)


def train_head(
    model: Any,
    train: Images,
    val: Images,
    image_input: ImageInput,
    *,
    seed: int,
    flip: bool,
    epochs: int = HEAD_EPOCHS,
) -> HeadResult:
    """Train the layer `logits` of `model` in place on cached features, mirrored views included where allowed.

    It learns on features of mean 0 and deviation 1, which the first layers' are far from, and takes that in at the end.
    The epoch with the lowest validation loss is kept.
    """
    extract = feature_extractor(model, image_input)
    features, labels = extract(train.pixels), train.labels
    if flip:
        starts = range(0, len(labels), JUDGED_TOGETHER)  # all at once may be more than memory holds
        mirrored = [extract(train.pixels[start : start + JUDGED_TOGETHER][:, :, ::-1]) for start in starts]
        features, labels = np.concatenate([features, *mirrored]), np.tile(labels, 2)
    held_out = extract(val.pixels)
    every = tuple(range(features.ndim - 1))
    mean, deviation = features.mean(every), features.std(every)
    deviation += 0.1 * deviation.mean()  # a channel that hardly ever answers is not made loud
    features, held_out = (features - mean) / deviation, (held_out - mean) / deviation

    entry = keras.Input(features.shape[1:])
    logits = model.get_layer("logits")
    head = keras.Model(entry, keras.layers.Flatten()(logits(entry)))
    optimizer = keras.optimizers.Adam(HEAD_RATE)
    optimizer.build(head.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]
    def epoch(order: Any, x: Any, y: Any) -> None:
        for start in tf.range(0, tf.size(order), HEAD_BATCH):
            chunk = order[start : start + HEAD_BATCH]
            with tf.GradientTape() as tape:
                answer = head(tf.gather(x, chunk), training=True)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(y, chunk), answer))
            gradients = tape.gradient(loss, head.trainable_variables)
            optimizer.apply_gradients(zip(gradients, head.trainable_variables, strict=True))

    @tf.function  # type: ignore[untyped-decorator]
    def judge(x: Any, y: Any) -> tuple[Any, Any]:
        answer = head(x, training=False)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, answer))
        return loss, tf.reduce_mean(tf.cast(tf.argmax(answer, 1, tf.int32) == y, tf.float32))

    x, y = tf.constant(features), tf.constant(labels)
    val_x, val_y = tf.constant(held_out), tf.constant(val.labels)
    rng = np.random.default_rng(seed)
    best, worst = logits.get_weights(), float("inf")
    result = HeadResult(loss=0.0, top1=0.0, val_loss=worst, val_top1=0.0, val_calibrated=worst)
    for _ in range(epochs):
        epoch(tf.constant(rng.permutation(len(labels)).astype(np.int32)), x, y)
        val_loss, val_top1 = (float(value) for value in judge(val_x, val_y))
        if val_loss < result.val_loss:
            loss, top1 = (float(value) for value in judge(x, y))
            best = logits.get_weights()
            result = replace(result, loss=loss, top1=top1, val_loss=val_loss, val_top1=val_top1)
    logits.set_weights(best)
    tempered = tempered_losses(tf.nn.softmax(head(val_x, training=False)).numpy(), val.labels)
    kernel, bias = best
    kernel = kernel / deviation[:, None]
    logits.set_weights([kernel, bias - mean @ kernel[0, 0]])
    return replace(result, val_calibrated=float(tempered.min()))
