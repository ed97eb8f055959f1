"""A plain ConvNet, the course's first: blocks of convolution, ReLU and pooling, then fully connected layers.

No paper of its own; it is what LeNet-5 (LeCun et al. 1998) became with ReLU and maximum pooling. Here also stand the
three things that the networks without batch-norm share: a convolution with its ReLU, dropout, and the softmax at the
end.
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.mobilenet_v1 import scaled

PAPER = "none: the course's plain ConvNet, after Gradient-Based Learning Applied to Document Recognition, 1998"

BLOCKS = (32, 64, 128)  # channels
DENSE_UNITS = 128


def convnet(spec: ModelSpec) -> Any:
    """The ConvNet for `spec.width` and `spec.res`, a `tf_keras.Model`.

    Args:
        spec: width scales every layer; res the input, and with it the kernel of the first fully connected layer.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = x = keras.Input((spec.res, spec.res, 3), name="image")
    for index, channels in enumerate(BLOCKS, 1):
        x = conv_relu(x, scaled(channels, spec.width), 3, f"conv{index}")
        x = keras.layers.MaxPooling2D(2, name=f"pool{index}")(x)
    x = conv_relu(x, scaled(DENSE_UNITS, spec.width), x.shape[1:3], "dense", padding="valid", relu="dense_relu")
    return classify(image, dropout(x, 0.5, "features"), spec)


def conv_relu(
    x: Any,
    channels: int,
    kernel: int | tuple[int, int],
    name: str,
    *,
    strides: int = 1,
    padding: str = "same",
    relu: str = "",
) -> Any:
    """A convolution with a bias, and its ReLU, [batch, h, w, in] -> [batch, h', w', channels].

    A fully connected layer is one whose kernel covers all of its input, without padding: the same numbers, but int8
    quantizes it channel by channel.

    Weights start as in Delving Deep into Rectifiers, arXiv 1502.01852: with those of these networks' own papers, deep
    ones did not learn without starting from shallower ones.

    Args:
        name: of the convolution.
        relu: name of the ReLU, `<name>_relu` if "".
    """
    x = keras.layers.Conv2D(
        channels, kernel, strides=strides, padding=padding, kernel_initializer="he_normal", name=name
    )(x)
    return keras.layers.ReLU(name=relu or f"{name}_relu")(x)


def dropout(x: Any, rate: float, name: str) -> Any:
    """`x` with a share `rate` of it zero while learning; answering, and in a file, it is not there.

    Its random numbers come from a generator that the loop seeds anew with every epoch, so that a resumed run draws
    what the uninterrupted one did.
    """
    return keras.layers.Dropout(rate, rng_type="stateful", name=name)(x)


def classify(image: Any, features: Any, spec: ModelSpec) -> Any:
    """The network from `image` on: a last layer `logits` reads `features`, [batch, 1, 1, n], and a softmax follows."""
    x = keras.layers.Conv2D(spec.classes, 1, name="logits")(features)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, keras.layers.Softmax(name="probabilities")(x), name=spec.arch)
