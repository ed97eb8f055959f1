"""MobileNetV2: Inverted Residuals and Linear Bottlenecks (Sandler et al. 2018).

Table 2: a full convolution, seventeen bottlenecks, a 1x1 convolution, average pooling and one fully connected layer.
Differences from the paper: channels are rounded to multiples of 8, as in its released code; the fully connected layer
is written as the 1x1 convolution that it is, so that int8 quantizes it channel by channel; no dropout.
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.mobilenet_v1 import batch_norm

PAPER = "MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv 1801.04381"

#: (expansion t, channels c, repeats n, stride s of the first), Table 2.
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIRST_CHANNELS = 32
LAST_CHANNELS = 1280


def make_divisible(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, at least 8, never a tenth below: as the released code."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenet_v2(spec: ModelSpec) -> Any:
    """MobileNet V2 for `spec.width` and `spec.res`, a `tf_keras.Model`.

    Strided layers pad 'same', which at every size is bit for bit what Keras' application pads in layers of its own,
    and converts without PAD operations. Weights lie in the order of Keras' published files. Quantization-aware
    training (`tfmot.quantization.keras.quantize_model`) takes every layer.

    Args:
        spec: width scales every layer's channels but leaves the last convolution at 1280 where it is below 1, as in
            section 6.1; res the input.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = keras.Input((spec.res, spec.res, 3), name="image")
    first = make_divisible(FIRST_CHANNELS * spec.width)
    x = keras.layers.Conv2D(first, 3, strides=2, padding="same", use_bias=False, name="conv1")(image)
    x = _activated(x, "conv1")
    index = 0
    for expansion, channels, repeats, stride in BOTTLENECKS:
        for repeat in range(repeats):
            scaled = make_divisible(int(channels * spec.width))
            x = _bottleneck(x, expansion, scaled, 1 if repeat else stride, f"block_{index}")
            index += 1
    last = make_divisible(LAST_CHANNELS * max(1.0, spec.width))
    x = keras.layers.Conv2D(last, 1, use_bias=False, name="conv2")(x)
    x = _activated(x, "conv2")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="features")(x)
    x = keras.layers.Conv2D(spec.classes, 1, name="logits")(x)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, keras.layers.Softmax(name="probabilities")(x), name=spec.arch)


def _bottleneck(x: Any, expansion: int, channels: int, stride: int, name: str) -> Any:
    """Table 1: expand 1x1, depthwise 3x3, project 1x1 without an activation; added to its input where both fit."""
    shortcut, given = x, x.shape[-1]
    if expansion > 1:
        x = keras.layers.Conv2D(expansion * given, 1, use_bias=False, name=f"{name}_expand")(x)
        x = _activated(x, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = _activated(x, f"{name}_depthwise")
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = batch_norm(x, f"{name}_project")
    return keras.layers.Add(name=f"{name}_add")([shortcut, x]) if stride == 1 and given == channels else x


def _activated(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(batch_norm(x, name))
