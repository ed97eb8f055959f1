"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications (Howard et al. 2017).

Table 1: a full convolution, then thirteen depthwise separable blocks, average pooling and one fully connected layer.
Differences from the paper: ReLU6 as in the released checkpoints; the fully connected layer is written as the 1x1
convolution that it is, so that int8 quantizes it channel by channel; no dropout (Keras' application drops 0.1 %).
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec

PAPER = "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, arXiv 1704.04861"

#: (channels of the pointwise convolution, stride of the depthwise one), Table 1.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
FIRST_CHANNELS = 32


def scaled(channels: int, width: float) -> int:
    """Channels under the width multiplier: alpha * M rounded down, as in the released weights; at least 1."""
    return max(1, int(channels * width))


def batch_norm(x: Any, name: str, *, epsilon: float = 1e-3, gamma: str = "ones") -> Any:
    """`x` normalized, [batch, h, w, channels], by a layer `<name>_bn` whose scale begins as `gamma`."""
    # Momentum 0.9: the usual 0.99 never settles in the few hundred steps that a small data set gives.
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=epsilon, gamma_initializer=gamma, name=f"{name}_bn")(x)


def mobilenet_v1(spec: ModelSpec) -> Any:
    """MobileNet V1 for `spec.width` and `spec.res`, a `tf_keras.Model`.

    Strided layers pad 'same': at even sizes that is bit for bit the one row and column after the picture that Keras'
    application pads, and it converts without PAD operations. Weights lie in the order of Keras' published files.

    Args:
        spec: width scales every layer's channels, res the input; both as in sections 3.3 and 3.4.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = keras.Input((spec.res, spec.res, 3), name="image")
    x = keras.layers.Conv2D(
        scaled(FIRST_CHANNELS, spec.width), 3, strides=2, padding="same", use_bias=False, name="conv1"
    )(image)
    x = _normalized(x, "conv1")
    for index, (channels, stride) in enumerate(BLOCKS, 1):
        x = _depthwise_separable(x, scaled(channels, spec.width), stride, index)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="features")(x)
    x = keras.layers.Conv2D(spec.classes, 1, name="logits")(x)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, keras.layers.Softmax(name="probabilities")(x), name=spec.arch)


def _depthwise_separable(x: Any, channels: int, stride: int, index: int) -> Any:
    """Figure 3 (right): depthwise 3x3, batch-norm, ReLU, pointwise 1x1, batch-norm, ReLU."""
    x = keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"conv_dw_{index}")(x)
    x = _normalized(x, f"conv_dw_{index}")
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"conv_pw_{index}")(x)
    return _normalized(x, f"conv_pw_{index}")


def _normalized(x: Any, name: str) -> Any:
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(batch_norm(x, name))
