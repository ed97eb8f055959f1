"""Searching for MobileNetV3 (Howard et al. 2019).

Table 1 (Large) and Table 2 (Small): bottlenecks as in MobileNet V2, some with squeeze-and-excite, some with hard-swish,
and a last hidden layer that works on the pooled picture. Minimalistic, from the released code: 3x3 kernels and ReLU
throughout and no squeeze-and-excite, for hardware that is fast at nothing else. Differences from the paper: no
squeeze-and-excite after Small's last 1x1 convolution, as in the released code; the first convolution keeps its 16
channels at every width and others are rounded to multiples of 8, as in Keras' application; no dropout.
"""

from collections.abc import Callable
from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.mobilenet_v1 import batch_norm
from edgesdk_train.models.mobilenet_v2 import make_divisible

PAPER = "Searching for MobileNetV3, arXiv 1905.02244"

#: (kernel, expanded channels, channels, squeeze-and-excite, hard-swish, stride), Table 1.
LARGE = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
#: The same, Table 2.
SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
FIRST_CHANNELS = 16
SMALL_HIDDEN = 1024
LARGE_HIDDEN = 1280

Bottlenecks = tuple[tuple[int, int, int, bool, bool, int], ...]


def mobilenet_v3_small(spec: ModelSpec) -> Any:
    """MobileNet V3 Small, see `mobilenet_v3`."""
    return mobilenet_v3(spec, SMALL, SMALL_HIDDEN)


def mobilenet_v3_large(spec: ModelSpec) -> Any:
    """MobileNet V3 Large, see `mobilenet_v3`."""
    return mobilenet_v3(spec, LARGE, LARGE_HIDDEN)


def mobilenet_v3_small_minimalistic(spec: ModelSpec) -> Any:
    """MobileNet V3 Small of plain operations, see `mobilenet_v3`."""
    return mobilenet_v3(spec, _minimalistic(SMALL), SMALL_HIDDEN)


def mobilenet_v3_large_minimalistic(spec: ModelSpec) -> Any:
    """MobileNet V3 Large of plain operations, see `mobilenet_v3`."""
    return mobilenet_v3(spec, _minimalistic(LARGE), LARGE_HIDDEN)


def mobilenet_v3(spec: ModelSpec, bottlenecks: Bottlenecks, hidden: int) -> Any:
    """MobileNet V3 for `spec.width` and `spec.res`, a `tf_keras.Model`.

    Strided layers pad 'same', bit for bit what Keras' application pads in layers of its own. Weights lie in the order
    of Keras' published files; those without a head lack the hidden layer as well.

    Hard-swish converts to the one operation HARD_SWISH, squeeze-and-excite to MEAN, two CONV_2D and two MUL; both
    runtimes take them in float and int8. The converter refuses HARD_SWISH in int16x8. Quantization-aware training
    (`tfmot.quantization.keras.quantize_model`) refuses Rescaling and Multiply, of which both are built, and takes the
    minimalistic networks.

    Args:
        spec: width scales the bottlenecks and what follows, but leaves the hidden layer as it is below 1; res the
            input.
        bottlenecks: of the paper's table; the activation of the last serves the layers around them as well.
        hidden: channels of the layer after pooling.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    outer = _hard_swish if bottlenecks[-1][4] else _relu
    image = keras.Input((spec.res, spec.res, 3), name="image")
    x = keras.layers.Conv2D(FIRST_CHANNELS, 3, strides=2, padding="same", use_bias=False, name="conv1")(image)
    x = outer(batch_norm(x, "conv1"), "conv1_act")
    given = FIRST_CHANNELS
    for index, (kernel, expanded, channels, excite, hard, stride) in enumerate(bottlenecks):
        # The table's ratio, so that a layer expands what it is given, scaled and rounded as that is.
        wide, scaled = make_divisible(x.shape[-1] * (expanded / given)), make_divisible(channels * spec.width)
        activation = _hard_swish if hard else _relu
        x = _bottleneck(x, kernel, wide, scaled, excite, activation, stride, f"block_{index}")
        given = channels
    x = keras.layers.Conv2D(make_divisible(6 * x.shape[-1]), 1, use_bias=False, name="conv2")(x)
    x = outer(batch_norm(x, "conv2"), "conv2_act")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = keras.layers.Conv2D(make_divisible(hidden * max(1.0, spec.width)), 1, name="hidden")(x)
    x = outer(x, "features")
    x = keras.layers.Conv2D(spec.classes, 1, name="logits")(x)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, keras.layers.Softmax(name="probabilities")(x), name=spec.arch)


def _minimalistic(bottlenecks: Bottlenecks) -> Bottlenecks:
    return tuple((3, expanded, channels, False, False, stride) for _, expanded, channels, _, _, stride in bottlenecks)


def _bottleneck(
    x: Any,
    kernel: int,
    expanded: int,
    channels: int,
    excite: bool,
    activation: Callable[[Any, str], Any],
    stride: int,
    name: str,
) -> Any:
    """Figure 4: V2's inverted residual with squeeze-and-excite on the expanded channels."""
    shortcut, given = x, x.shape[-1]
    if expanded > given:
        x = keras.layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}_expand")(x)
        x = activation(batch_norm(x, f"{name}_expand"), f"{name}_expand_act")
    depthwise = keras.layers.DepthwiseConv2D
    x = depthwise(kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = activation(batch_norm(x, f"{name}_depthwise"), f"{name}_depthwise_act")
    if excite:
        x = _squeeze_and_excite(x, name)
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = batch_norm(x, f"{name}_project")
    return keras.layers.Add(name=f"{name}_add")([shortcut, x]) if stride == 1 and given == channels else x


def _squeeze_and_excite(x: Any, name: str) -> Any:
    """Section 5.3: each channel times a gate 0 to 1 that a quarter of the channels decide from the pooled picture."""
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    gate = keras.layers.Conv2D(make_divisible(x.shape[-1] / 4), 1, name=f"{name}_squeeze")(gate)
    gate = _relu(gate, f"{name}_squeeze_act")
    gate = keras.layers.Conv2D(x.shape[-1], 1, name=f"{name}_excite")(gate)
    return keras.layers.Multiply(name=f"{name}_scale")([x, _hard_sigmoid(gate, f"{name}_gate")])


def _hard_swish(x: Any, name: str) -> Any:
    """x * ReLU6(x + 3) / 6, section 5.2; these layers in this order are what the converter knows as HARD_SWISH."""
    return keras.layers.Multiply(name=name)([x, _hard_sigmoid(x, f"{name}_gate")])


def _hard_sigmoid(x: Any, name: str) -> Any:
    x = keras.layers.Rescaling(1.0, offset=3.0, name=f"{name}_shift")(x)
    x = keras.layers.ReLU(6.0, name=f"{name}_relu")(x)
    return keras.layers.Rescaling(1 / 6, name=name)(x)


def _relu(x: Any, name: str) -> Any:
    return keras.layers.ReLU(name=name)(x)
