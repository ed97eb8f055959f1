"""Unsupervised Representation Learning with Deep Convolutional GANs (Radford et al., arXiv 1511.06434): the DCGAN.

As `gan`, of convolutions: no pooling but strides, batch-norm in both networks but for the generator's output and the
discriminator's input, ReLU in the generator with a tanh at the end, leaky ReLU in the discriminator.

The differences from the paper's 64x64 colour network: two doublings instead of four, an eighth of the channels, 4x4
kernels in the discriminator for 5x5; the generator repeats pixels and convolves, where the paper's fractionally-strided
convolution leaves a chessboard (and, quantized, runs in fewer runtimes).
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.autoencoder import STRIDES, check_strides, picture
from edgesdk_train.models.convnet import classify
from edgesdk_train.models.gan import LEAK, leaky_conv, normed
from edgesdk_train.models.mobilenet_v1 import scaled

PAPER = "Unsupervised Representation Learning with Deep Convolutional GANs, arXiv 1511.06434"

GENERATOR_CHANNELS = (64, 32)
DISCRIMINATOR_CHANNELS = (32, 64)


def dcgan(spec: ModelSpec) -> Any:
    """The DCGAN's discriminator as a classifier, a `tf_keras.Model`.

    Returns:
        [batch, res, res, 1] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = picture(spec)
    return classify(image, body(image, spec), spec)


def body(image: Any, spec: ModelSpec) -> Any:
    """The picture through two convolutions of stride 2: `features` [batch, 1, 1, res / 4 * res / 4 * 64 * width]."""
    check_strides(spec)
    first, second = (scaled(channels, spec.width) for channels in DISCRIMINATOR_CHANNELS)
    x = leaky_conv(image, first, 4, "discriminate1", strides=2)
    x = keras.layers.Conv2D(
        second, 4, strides=2, padding="same", use_bias=False, kernel_initializer="he_normal", name="discriminate2"
    )(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="discriminate2_norm")(x)
    x = keras.layers.LeakyReLU(LEAK, name="discriminate2_leaky")(x)
    return keras.layers.Reshape((1, 1, x.shape[1] * x.shape[2] * x.shape[3]), name="features")(x)


def generator(spec: ModelSpec, latent: int) -> Any:
    """A code [batch, 1, 1, latent] -> [batch, res, res, 1] float32 in -1..1."""
    check_strides(spec)
    side = spec.res // STRIDES
    first, second = (scaled(channels, spec.width) for channels in GENERATOR_CHANNELS)
    code = keras.Input((1, 1, latent), name="code")
    x = normed(keras.layers.Conv2D(side * side * first, 1, use_bias=False, name="generate1")(code), "generate1")
    x = keras.layers.Reshape((side, side, first), name="shaped")(x)
    x = keras.layers.UpSampling2D(2, name="up1")(x)
    x = normed(keras.layers.Conv2D(second, 3, padding="same", use_bias=False, name="generate2")(x), "generate2")
    x = keras.layers.UpSampling2D(2, name="up2")(x)
    x = keras.layers.Conv2D(1, 5, padding="same", name="pixels")(x)
    return keras.Model(code, keras.layers.Activation("tanh", name="image")(x), name="generator")
