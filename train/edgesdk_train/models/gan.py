"""Generative Adversarial Nets (Goodfellow et al., arXiv 1406.2661): the GAN, with the course's layers.

A generator makes pictures from random codes, a discriminator tells them from real ones, and each learns from the
other's mistakes. Generator: code-1024-1024-784 with batch-norm, ReLU and a tanh at the end; discriminator:
784-256-256-1 with leaky ReLU.

The differences from the paper: these layers, in place of maxout and dropout; batch-norm in the generator, without which
it makes one picture of all codes (A. Radford et al., arXiv 1511.06434, section 3); Adam with a rate of 2e-4 and a first
momentum of 0.5 (DCGAN's) in place of plain momentum; the discriminator is told 0.9 for real pictures (T. Salimans et
al., Improved Techniques for Training GANs, arXiv 1606.03498, section 3.4). The generator maximizes log D(G(z)), as the
paper's section 3 advises.

Of a network that generates, `MODELS` holds the classifier that its discriminator becomes.
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.autoencoder import picture
from edgesdk_train.models.convnet import classify
from edgesdk_train.models.mobilenet_v1 import scaled

PAPER = "Generative Adversarial Nets, arXiv 1406.2661"

GENERATOR_UNITS = (1024, 1024)
DISCRIMINATOR_UNITS = (256, 256)
LEAK = 0.2


def gan(spec: ModelSpec) -> Any:
    """The GAN's discriminator as a classifier, a `tf_keras.Model`.

    Returns:
        [batch, res, res, 1] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = picture(spec)
    return classify(image, body(image, spec), spec)


def body(image: Any, spec: ModelSpec) -> Any:
    """The picture through the discriminator's two hidden layers: `features` [batch, 1, 1, 256 * width]."""
    first, second = (scaled(units, spec.width) for units in DISCRIMINATOR_UNITS)
    x = leaky_conv(image, first, image.shape[1:3], "discriminate1", padding="valid")
    return leaky_conv(x, second, 1, "discriminate2", leaky="features")


def generator(spec: ModelSpec, latent: int) -> Any:
    """A code [batch, 1, 1, latent] -> [batch, res, res, 1] float32 in -1..1."""
    code = x = keras.Input((1, 1, latent), name="code")
    for index, units in enumerate(GENERATOR_UNITS, 1):
        x = keras.layers.Conv2D(scaled(units, spec.width), 1, use_bias=False, name=f"generate{index}")(x)
        x = normed(x, f"generate{index}")
    x = keras.layers.Conv2D(spec.res**2, 1, name="pixels")(x)
    x = keras.layers.Reshape((spec.res, spec.res, 1), name="shaped")(x)
    return keras.Model(code, keras.layers.Activation("tanh", name="image")(x), name="generator")


def normed(x: Any, name: str) -> Any:
    """Batch-norm and ReLU."""
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def leaky_conv(
    x: Any,
    channels: int,
    kernel: int | tuple[int, int],
    name: str,
    *,
    strides: int = 1,
    padding: str = "same",
    leaky: str = "",
) -> Any:
    """A convolution with a bias and a leaky ReLU; arguments as `conv_relu`."""
    x = keras.layers.Conv2D(
        channels, kernel, strides=strides, padding=padding, kernel_initializer="he_normal", name=name
    )(x)
    return keras.layers.LeakyReLU(LEAK, name=leaky or f"{name}_leaky")(x)
