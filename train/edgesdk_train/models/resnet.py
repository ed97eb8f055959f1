"""Deep Residual Learning for Image Recognition (He, Zhang, Ren and Sun 2015): ResNet.

Table 1: a 7x7 convolution, maximum pooling, four groups of residual blocks, average pooling and one fully connected
layer. Basic blocks (two 3x3 convolutions) in resnet18 and resnet34, bottlenecks (1x1, 3x3, 1x1) in the deeper ones.
resnet38 is the course's own: four groups of three bottlenecks, 128/32, 256/64, 512/128 and 1024/256 channels.

Differences: where a block changes its shape, all networks project the shortcut (the paper's option B); the last
batch-norm of each block begins with a scale of 0, so that every block begins by doing nothing (Goyal et al., Accurate,
Large Minibatch SGD, arXiv 1706.02677, section 5.1); batch-norm has the epsilon of Keras' published weights; the fully
connected layer is written as the 1x1 convolution that it is.
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.convnet import classify
from edgesdk_train.models.mobilenet_v1 import batch_norm, scaled

PAPER = "Deep Residual Learning for Image Recognition, arXiv 1512.03385"

FIRST_CHANNELS = 64
EXPANSION = 4  # a bottleneck's channels out for each one inside
EPSILON = 1.001e-5

#: (blocks, channels inside) of each group.
Groups = tuple[tuple[int, int], ...]


def resnet18(spec: ModelSpec) -> Any:
    """ResNet-18, see `resnet`."""
    return resnet(spec, ((2, 64), (2, 128), (2, 256), (2, 512)), bottleneck=False)


def resnet34(spec: ModelSpec) -> Any:
    """ResNet-34, see `resnet`."""
    return resnet(spec, ((3, 64), (4, 128), (6, 256), (3, 512)), bottleneck=False)


def resnet38(spec: ModelSpec) -> Any:
    """The course's network of twelve narrow bottlenecks, see `resnet`."""
    return resnet(spec, ((3, 32), (3, 64), (3, 128), (3, 256)), bottleneck=True)


def resnet50(spec: ModelSpec) -> Any:
    """ResNet-50, see `resnet`."""
    return resnet(spec, ((3, 64), (4, 128), (6, 256), (3, 512)), bottleneck=True)


def resnet101(spec: ModelSpec) -> Any:
    """ResNet-101, see `resnet`."""
    return resnet(spec, ((3, 64), (4, 128), (23, 256), (3, 512)), bottleneck=True)


def resnet152(spec: ModelSpec) -> Any:
    """ResNet-152, see `resnet`."""
    return resnet(spec, ((3, 64), (8, 128), (36, 256), (3, 512)), bottleneck=True)


def resnet(spec: ModelSpec, groups: Groups, *, bottleneck: bool) -> Any:
    """A ResNet for `spec.width` and `spec.res`, a `tf_keras.Model`.

    The first two layers pad evenly on all sides, as the paper's code and Keras' published weights do and 'same' does
    not. Weights lie in the order of Keras' files, whose convolutions have a bias that batch-norm takes in.

    Args:
        spec: width scales every layer; res the input.
        groups: a column of Table 1.
        bottleneck: which kind of block.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = keras.Input((spec.res, spec.res, 3), name="image")
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = _conv_norm(x, scaled(FIRST_CHANNELS, spec.width), 7, 2, "conv1", padding="valid")
    x = keras.layers.ReLU(name="conv1_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    block = _bottleneck if bottleneck else _basic
    for group, (blocks, channels) in enumerate(groups, 2):
        for index in range(blocks):
            stride = 2 if group > 2 and index == 0 else 1
            x = block(x, scaled(channels, spec.width), stride, index == 0, f"conv{group}_{index + 1}")
    return classify(image, keras.layers.GlobalAveragePooling2D(keepdims=True, name="features")(x), spec)


def _basic(x: Any, channels: int, stride: int, first: bool, name: str) -> Any:
    """Figure 5 (left); the first of a group projects its shortcut where the shape changes."""
    project = first and (stride > 1 or x.shape[-1] != channels)
    shortcut = _conv_norm(x, channels, 1, stride, f"{name}_shortcut") if project else x
    x = _conv_norm(x, channels, 3, stride, f"{name}_a")
    x = keras.layers.ReLU(name=f"{name}_a_relu")(x)
    return _joined(shortcut, _conv_norm(x, channels, 3, 1, f"{name}_b", gamma="zeros"), name)


def _bottleneck(x: Any, channels: int, stride: int, first: bool, name: str) -> Any:
    """Figure 5 (right); the stride is in the first 1x1 convolution, as in the paper's code."""
    shortcut = _conv_norm(x, EXPANSION * channels, 1, stride, f"{name}_shortcut") if first else x
    x = _conv_norm(x, channels, 1, stride, f"{name}_a")
    x = keras.layers.ReLU(name=f"{name}_a_relu")(x)
    x = _conv_norm(x, channels, 3, 1, f"{name}_b")
    x = keras.layers.ReLU(name=f"{name}_b_relu")(x)
    return _joined(shortcut, _conv_norm(x, EXPANSION * channels, 1, 1, f"{name}_c", gamma="zeros"), name)


def _joined(shortcut: Any, x: Any, name: str) -> Any:
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([shortcut, x]))


def _conv_norm(
    x: Any, channels: int, kernel: int, stride: int, name: str, *, padding: str = "same", gamma: str = "ones"
) -> Any:
    x = keras.layers.Conv2D(
        channels,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    return batch_norm(x, name, epsilon=EPSILON, gamma=gamma)
