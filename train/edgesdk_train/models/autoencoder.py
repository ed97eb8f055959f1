"""Reducing the Dimensionality of Data with Neural Networks (Hinton and Salakhutdinov, Science 313, 2006).

An encoder squeezes a picture into a few numbers, its code; a decoder makes the picture again from them. Both learn
together to lose as little as possible, without labels.

The dense one is the paper's idea at a smaller size: 784-512-256-code and back (the paper: 784-1000-500-250-30). The
differences: ReLU and Adam from random weights take the place of logistic units pretrained as Boltzmann machines; the
code is linear as in the paper, but brought to mean 0 and deviation 1 (a batch-norm without scale and offset), so that
it fits the bytes of the decoder's input and codes can be drawn from a unit Gaussian. In the convolutional one (J. Masci
et al., Stacked Convolutional Auto-Encoders, 2011) two convolutions of stride 2 stand for their maximum pooling, and
the decoder repeats pixels and convolves, where a transposed convolution would leave a chessboard.

Of a network that generates, `MODELS` holds the classifier that its encoder becomes.
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.convnet import classify, conv_relu
from edgesdk_train.models.mobilenet_v1 import scaled

PAPER = "Reducing the Dimensionality of Data with Neural Networks, Science 313, 2006"

DENSE_UNITS = (512, 256)
CONV_CHANNELS = (32, 64)
BODY_UNITS = 256
MAPS = 32  # that a convolutional decoder begins with
STRIDES = 4  # what the two convolutions divide the resolution by


def autoencoder(spec: ModelSpec) -> Any:
    """The convolutional autoencoder's encoder as a classifier, a `tf_keras.Model`.

    Returns:
        [batch, res, res, 1] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = picture(spec)
    return classify(image, conv_body(image, spec), spec)


def autoencoder_dense(spec: ModelSpec) -> Any:
    """As `autoencoder`, of fully connected layers."""
    image = picture(spec)
    return classify(image, dense_body(image, spec), spec)


def encoder(spec: ModelSpec, latent: int) -> Any:
    """[batch, res, res, 1] float32 in -1..1 -> a code [batch, 1, 1, latent] of mean 0 and deviation 1."""
    image = picture(spec)
    body = dense_body if spec.arch == "autoencoder_dense" else conv_body
    x = keras.layers.Conv2D(latent, 1, name="code_linear")(body(image, spec))
    code = keras.layers.BatchNormalization(momentum=0.9, center=False, scale=False, name="code")(x)
    return keras.Model(image, code, name="encoder")


def decoder(spec: ModelSpec, latent: int) -> Any:
    """A code [batch, 1, 1, latent] -> [batch, res, res, 1] float32 in -1..1."""
    return dense_decoder(spec, latent) if spec.arch == "autoencoder_dense" else conv_decoder(spec, latent)


def picture(spec: ModelSpec) -> Any:
    """The input, [batch, res, res, 1]."""
    return keras.Input((spec.res, spec.res, 1), name="image")


def dense_body(image: Any, spec: ModelSpec) -> Any:
    """The picture through two fully connected layers: `features` [batch, 1, 1, 256 * width]."""
    first, second = (scaled(units, spec.width) for units in DENSE_UNITS)
    x = conv_relu(image, first, image.shape[1:3], "encode1", padding="valid")
    return conv_relu(x, second, 1, "encode2", relu="features")


def conv_body(image: Any, spec: ModelSpec) -> Any:
    """The picture through two convolutions of stride 2 and a fully connected layer: as `dense_body`."""
    check_strides(spec)
    x = image
    for index, channels in enumerate(CONV_CHANNELS, 1):
        x = conv_relu(x, scaled(channels, spec.width), 3, f"encode{index}", strides=2)
    return conv_relu(x, scaled(BODY_UNITS, spec.width), x.shape[1:3], "encode3", padding="valid", relu="features")


def dense_decoder(spec: ModelSpec, latent: int) -> Any:
    """As `decoder`, through two fully connected layers."""
    code = x = keras.Input((1, 1, latent), name="code")
    for index, units in enumerate(reversed(DENSE_UNITS), 1):
        x = conv_relu(x, scaled(units, spec.width), 1, f"decode{index}")
    x = keras.layers.Conv2D(spec.res**2, 1, name="pixels")(x)
    x = keras.layers.Reshape((spec.res, spec.res, 1), name="shaped")(x)
    return keras.Model(code, keras.layers.Activation("tanh", name="image")(x), name="decoder")


def conv_decoder(spec: ModelSpec, latent: int) -> Any:
    """As `decoder`, through small maps that twice double their size."""
    check_strides(spec)
    side, maps = spec.res // STRIDES, scaled(MAPS, spec.width)
    code = keras.Input((1, 1, latent), name="code")
    x = conv_relu(code, scaled(BODY_UNITS, spec.width), 1, "decode1")
    x = conv_relu(x, side * side * maps, 1, "decode2")
    x = keras.layers.Reshape((side, side, maps), name="shaped")(x)
    x = keras.layers.UpSampling2D(2, name="up1")(x)
    x = conv_relu(x, maps, 3, "decode3")
    x = keras.layers.UpSampling2D(2, name="up2")(x)
    x = keras.layers.Conv2D(1, 3, padding="same", name="pixels")(x)
    return keras.Model(code, keras.layers.Activation("tanh", name="image")(x), name="decoder")


def check_strides(spec: ModelSpec) -> None:
    """Refuse a picture that the strides do not divide.

    Raises:
        ValueError: says which resolutions fit.
    """
    if spec.res % STRIDES:
        near = spec.res - spec.res % STRIDES
        raise ValueError(
            f"res is {spec.res}, {spec.arch} halves it twice and doubles it again: expected a multiple of {STRIDES}, "
            f"such as {near} or {near + STRIDES}"
        )
