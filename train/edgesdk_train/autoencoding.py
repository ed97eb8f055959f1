"""How autoencoders and VAEs learn: each picture to a code and back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgesdk.generation import Generation
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.spec import ModelSpec
from edgesdk_train.generativeloop import Row, Steps
from edgesdk_train.judge import predict
from edgesdk_train.models import autoencoder, vae

RATE = 1e-3

#: (wanted, given), each [batch, h, w, 1] in -1..1 -> [batch] what the difference costs.
Comparison = Callable[[Any, Any], Any]


class Autoencoding:
    """An encoder and a decoder that learn together.

    Args:
        spec: of an autoencoder or a VAE.
        generation: gives the code's size, the VAE's weight of the divergence, and the number of epochs.
        steps: of the optimizer in all, for the rate's cosine.
        compare: what a picture that does not come back costs; None: by its pixels.

    Attributes:
        encoder: a `tf_keras.Model`, picture -> code (of a VAE its mean).
        decoder: code -> picture.
    """

    def __init__(
        self,
        spec: ModelSpec,
        generation: Generation,
        image_input: ImageInput,
        steps: int,
        compare: Comparison | None = None,
    ) -> None:
        self._variational, self._kl = spec.arch == "vae", generation.kl
        module = vae if self._variational else autoencoder
        self._learned = module.encoder(spec, generation.latent)
        self.encoder = self._learned
        if self._variational:
            self.encoder = keras.Model(self._learned.input, self._learned.outputs[0], name="encoder")
        self.decoder = module.decoder(spec, generation.latent)
        self._compare = compare or (vae.generation_loss if self._variational else squared_error)
        self._input = image_input
        schedule = keras.optimizers.schedules.CosineDecay(RATE, max(1, steps))
        self._optimizer = keras.optimizers.Adam(schedule)
        self._trained = self._learned.trainable_variables + self.decoder.trainable_variables
        self._optimizer.build(self._trained)
        self._step = tf.function(self._learn, autograph=False)
        self._back = tf.function(lambda values: self.decoder(self.encoder(values)), autograph=False)

    @property
    def variables(self) -> list[Any]:
        """See `Learner`."""
        return [*self._learned.variables, *self.decoder.variables, *self._optimizer.variables]

    def begin(self) -> None:
        """See `Learner`."""

    def step(self, values: Any, seed: Any) -> dict[str, Any]:
        """See `Learner`."""
        losses: dict[str, Any] = self._step(values, seed)
        return losses

    def judge(self, steps: Steps, val: Pixels) -> Row:
        """The mean losses, and how well validation pictures come back."""
        return {name: float(values.mean()) for name, values in steps.items()} | {"val_psnr_db": self.psnr_db(val)}

    def note(self, row: Row) -> str:
        """See `Learner`."""
        return f"loss {row['loss']:.4g}, {row['val_psnr_db']:.1f} dB"

    def reconstruct(self, pixels: Pixels) -> Pixels:
        """Pictures uint8 [n, h, w, 1] to their codes and back."""
        return to_pixels(predict(self._back, pixels, self._input), self._input)

    def psnr_db(self, pixels: Pixels) -> float:
        """Peak signal to noise of pictures that went to their codes and back."""
        difference = self.reconstruct(pixels).astype(np.float64) - pixels
        return float(10 * np.log10(255**2 / max(1e-9, np.square(difference).mean())))

    def _learn(self, values: Any, seed: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            if self._variational:
                mean, log_variance = self._learned(values, training=True)
                noise = tf.random.stateless_normal(tf.shape(mean), seed)
                given = self.decoder(vae.draw_code(mean, log_variance, noise), training=True)
                generation = tf.reduce_mean(self._compare(values, given))
                kl = tf.reduce_mean(vae.divergence(mean, log_variance))
                losses = {"loss": generation + self._kl * kl, "generation": generation, "kl": kl}
            else:
                given = self.decoder(self._learned(values, training=True), training=True)
                losses = {"loss": tf.reduce_mean(self._compare(values, given))}
        gradients = tape.gradient(losses["loss"], self._trained)
        self._optimizer.apply_gradients(zip(gradients, self._trained, strict=True))
        return losses


def squared_error(wanted: Any, given: Any) -> Any:
    """Mean squared difference of the values, [batch]."""
    return tf.reduce_mean(tf.square(wanted - given), (1, 2, 3))


def feature_comparison(discriminator: Any, pixels: Pixels, image_input: ImageInput) -> Comparison:
    """Pictures compared by what a GAN's discriminator sees in them, in place of their pixels.

    A. Larsen et al., Autoencoding beyond pixels using a learned similarity metric, arXiv 1512.09300: a Gaussian around
    the features of a hidden layer. One difference: the discriminator has learned before and stays as it is.

    Args:
        discriminator: a `tf_keras.Model` with a layer `features`.
        pixels: uint8 [n, h, w, 1], which show how much each feature varies.
    """
    model = keras.Model(discriminator.input, discriminator.get_layer("features").output)
    see = tf.function(lambda values: model(values, training=False), autograph=False)
    variance = predict(see, pixels, image_input).var(0)
    weight = tf.constant(1 / np.maximum(variance, 0.01 * variance.mean()), tf.float32)

    def compare(wanted: Any, given: Any) -> Any:
        difference = model(wanted, training=False) - model(given, training=False)
        return tf.reduce_sum(tf.square(difference) * weight, (1, 2, 3)) / 2

    return compare


def to_pixels(values: Any, image_input: ImageInput) -> Pixels:
    """A network's pictures, float [n, h, w, c], as bytes."""
    scaled = np.asarray(values) * image_input.std + image_input.mean
    pixels: Pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return pixels
