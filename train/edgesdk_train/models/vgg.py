"""Very Deep Convolutional Networks for Large-Scale Image Recognition (Simonyan and Zisserman 2014): VGG.

Table 1: stacks of 3x3 convolutions, each stack followed by maximum pooling, then three fully connected layers. The
columns are vgg11 (A), vgg11_lrn (A-LRN), vgg13 (B), vgg16_c (C), vgg16 (D) and vgg19 (E); their parameters are those of
Table 2.

Differences: the fully connected layers are written as the convolutions that section 3.2 makes of them for testing;
weights start as in arXiv 1502.01852, where the paper took the deeper networks' first weights from A.
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.alexnet import LocalResponseNorm
from edgesdk_train.models.convnet import classify, conv_relu, dropout
from edgesdk_train.models.mobilenet_v1 import scaled

PAPER = "Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv 1409.1556"

CHANNELS = (64, 128, 256, 512, 512)  # of each stack
UNITS = 4096

#: The kernels of each stack, a column of Table 1.
Stacks = tuple[tuple[int, ...], ...]
A: Stacks = ((3,), (3,), (3, 3), (3, 3), (3, 3))
B: Stacks = ((3, 3),) * 5
C: Stacks = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
D: Stacks = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
E: Stacks = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))


def vgg11(spec: ModelSpec) -> Any:
    """Column A, see `vgg`."""
    return vgg(spec, A)


def vgg11_lrn(spec: ModelSpec) -> Any:
    """Column A-LRN, see `vgg`."""
    return vgg(spec, A, lrn=True)


def vgg13(spec: ModelSpec) -> Any:
    """Column B, see `vgg`."""
    return vgg(spec, B)


def vgg16_c(spec: ModelSpec) -> Any:
    """Column C, see `vgg`."""
    return vgg(spec, C)


def vgg16(spec: ModelSpec) -> Any:
    """Column D, see `vgg`."""
    return vgg(spec, D)


def vgg19(spec: ModelSpec) -> Any:
    """Column E, see `vgg`."""
    return vgg(spec, E)


def vgg(spec: ModelSpec, stacks: Stacks, *, lrn: bool = False) -> Any:
    """A VGG network for `spec.width` and `spec.res`, a `tf_keras.Model`. Weights lie in the order of Keras' files.

    Args:
        spec: width scales every layer; res the input, 224 in the paper, and with it the kernel of fc6.
        stacks: a column of Table 1.
        lrn: local response normalization after the first convolution, AlexNet's.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = x = keras.Input((spec.res, spec.res, 3), name="image")
    for stack, (channels, kernels) in enumerate(zip(CHANNELS, stacks, strict=True), 1):
        for index, kernel in enumerate(kernels, 1):
            x = conv_relu(x, scaled(channels, spec.width), kernel, f"conv{stack}_{index}")
            if lrn and stack == 1:
                x = LocalResponseNorm(name="norm1")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{stack}")(x)
    x = conv_relu(x, scaled(UNITS, spec.width), x.shape[1:3], "fc6", padding="valid")
    x = conv_relu(dropout(x, 0.5, "drop6"), scaled(UNITS, spec.width), 1, "fc7")
    return classify(image, dropout(x, 0.5, "features"), spec)
