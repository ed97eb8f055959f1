"""ImageNet Classification with Deep Convolutional Neural Networks (Krizhevsky, Sutskever and Hinton 2012): AlexNet.

Figure 2: five convolutions and three fully connected layers in two towers, one a GPU, which exchange their halves in
front of the third convolution and of the fully connected layers. Rectifiers (section 3.1), local response
normalization (3.3), overlapping pooling (3.4) and dropout of a half (4.2). 60,965,224 parameters, the paper's "60
million".

Differences: the input is 227x227, from which the figure's 55x55 follows (the paper writes 224); local response
normalization is left out unless asked for, because it stays a float island in an int8 file and VGG's paper found no
use in it; weights start as in arXiv 1502.01852; the augmentation is edgesdk's. The network in one tower is
One weird trick for parallelizing convolutional neural networks (Krizhevsky 2014, arXiv 1404.5997) with this paper's
channels: 62,378,344 parameters.
"""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.convnet import classify, conv_relu, dropout
from edgesdk_train.models.mobilenet_v1 import scaled

PAPER = "ImageNet Classification with Deep Convolutional Neural Networks, NIPS 2012"

UNITS = 4096


class LocalResponseNorm(keras.layers.Layer):  # type: ignore[misc]
    """Section 3.3: each value divided by (k + alpha * the squares of n neighbouring channels) ** beta.

    k = 2, n = 5, alpha = 1e-4, beta = 0.75. One operation in a file; no runtime computes it in int8.
    """

    def call(self, x: Any) -> Any:
        """[batch, h, w, channels] -> the same shape."""
        return tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)


def alexnet(spec: ModelSpec) -> Any:
    """AlexNet in two towers, see `build_alexnet`."""
    return build_alexnet(spec, towers=2, lrn=False)


def alexnet_lrn(spec: ModelSpec) -> Any:
    """AlexNet in two towers with local response normalization, as in the paper; see `build_alexnet`."""
    return build_alexnet(spec, towers=2, lrn=True)


def alexnet_one_tower(spec: ModelSpec) -> Any:
    """AlexNet in one tower, see `build_alexnet`."""
    return build_alexnet(spec, towers=1, lrn=False)


def build_alexnet(spec: ModelSpec, *, towers: int, lrn: bool) -> Any:
    """AlexNet for `spec.width` and `spec.res`, a `tf_keras.Model`.

    Args:
        spec: width scales every layer; res is 227 in the paper, at least 67.
        towers: 2 as in the paper, or 1.
        lrn: local response normalization after the first two convolutions.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    names = ("_a", "_b") if towers == 2 else ("",)

    def convolve(given: list[Any], channels: int, kernel: int, name: str, **how: Any) -> list[Any]:
        wide = scaled(channels // towers, spec.width)
        return [conv_relu(x, wide, kernel, f"{name}{tower}", **how) for x, tower in zip(given, names, strict=True)]

    def normalize(given: list[Any], name: str) -> list[Any]:
        if not lrn:
            return given
        return [LocalResponseNorm(name=f"{name}{tower}")(x) for x, tower in zip(given, names, strict=True)]

    def pool(given: list[Any], name: str) -> list[Any]:
        pooling = [keras.layers.MaxPooling2D(3, strides=2, name=f"{name}{tower}") for tower in names]
        return [layer(x) for layer, x in zip(pooling, given, strict=True)]

    def exchange(given: list[Any], name: str) -> Any:
        return keras.layers.Concatenate(name=name)(given) if towers == 2 else given[0]

    image = keras.Input((spec.res, spec.res, 3), name="image")
    x = convolve([image] * towers, 96, 11, "conv1", strides=4, padding="valid")
    x = pool(normalize(x, "norm1"), "pool1")
    x = convolve(x, 256, 5, "conv2")
    x = pool(normalize(x, "norm2"), "pool2")
    x = convolve([exchange(x, "towers2")] * towers, 384, 3, "conv3")
    x = convolve(x, 384, 3, "conv4")
    x = convolve(x, 256, 3, "conv5")
    y = exchange(pool(x, "pool5"), "towers5")
    y = conv_relu(y, scaled(UNITS, spec.width), y.shape[1:3], "fc6", padding="valid")
    y = conv_relu(dropout(y, 0.5, "drop6"), scaled(UNITS, spec.width), 1, "fc7")
    return classify(image, dropout(y, 0.5, "features"), spec)
