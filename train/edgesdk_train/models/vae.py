"""Auto-Encoding Variational Bayes (Kingma and Welling, arXiv 1312.6114): the VAE.

The encoder answers a Gaussian instead of a point: a mean and a log-variance for each entry of the code. The decoder
makes the picture from a code drawn from it. Two losses add up: how badly the picture comes back (generation loss), and
how far the Gaussian lies from a unit one (Kullback-Leibler divergence), so that any code drawn from a unit Gaussian
decodes to a picture.

The differences from the paper's experiments: the convolutional layers of `autoencoder` in place of one hidden layer of
500 tanh units, Adam in place of Adagrad; the pixels are Bernoulli variables as in its appendix C.1, fed their grey
values. On the device the encoder answers the mean alone: drawing stays out.
"""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.autoencoder import conv_body, conv_decoder, picture
from edgesdk_train.models.convnet import classify

PAPER = "Auto-Encoding Variational Bayes, arXiv 1312.6114"


def vae(spec: ModelSpec) -> Any:
    """The VAE's encoder as a classifier, a `tf_keras.Model`.

    Returns:
        [batch, res, res, 1] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = picture(spec)
    return classify(image, conv_body(image, spec), spec)


def encoder(spec: ModelSpec, latent: int) -> Any:
    """[batch, res, res, 1] float32 in -1..1 -> (mean, log-variance), each [batch, 1, 1, latent]."""
    image = picture(spec)
    features = conv_body(image, spec)
    mean = keras.layers.Conv2D(latent, 1, name="mean")(features)
    return keras.Model(image, [mean, keras.layers.Conv2D(latent, 1, name="log_variance")(features)], name="encoder")


def decoder(spec: ModelSpec, latent: int) -> Any:
    """A code [batch, 1, 1, latent] -> [batch, res, res, 1] float32 in -1..1."""
    return conv_decoder(spec, latent)


def draw_code(mean: Any, log_variance: Any, noise: Any) -> Any:
    """The reparametrization trick (section 2.4): a code drawn so that gradients reach mean and variance."""
    return mean + tf.exp(log_variance / 2) * noise


def generation_loss(wanted: Any, given: Any) -> Any:
    """Nats a picture that comes back costs, [batch]: binary cross-entropy summed over its pixels.

    Args:
        wanted, given: [batch, h, w, 1] in -1..1.
    """
    wanted, given = (wanted + 1) / 2, tf.clip_by_value((given + 1) / 2, 1e-6, 1 - 1e-6)
    nats = wanted * tf.math.log(given) + (1 - wanted) * tf.math.log(1 - given)
    return -tf.reduce_sum(nats, (1, 2, 3))


def divergence(mean: Any, log_variance: Any) -> Any:
    """Kullback-Leibler divergence of the codes' Gaussians from a unit one in nats, [batch] (appendix B)."""
    return tf.reduce_sum(tf.square(mean) + tf.exp(log_variance) - 1 - log_variance, (1, 2, 3)) / 2
