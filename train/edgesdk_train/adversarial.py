"""How GANs learn: a generator against a discriminator, which may learn a few labels beside."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgesdk.generation import Generation
from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.spec import ModelSpec
from edgesdk_train.autoencoding import to_pixels
from edgesdk_train.generativeloop import Row, Steps, unit_codes
from edgesdk_train.judge import predict
from edgesdk_train.models import dcgan, gan

RATE = 2e-4
FIRST_MOMENTUM = 0.5
REAL = 0.9  # what the discriminator is told of a real picture: it shall not become too sure
LABELLED_BATCH = 64
LOOKED_AT = 256  # generated pictures whose diversity is measured


class Adversarial:
    """A generator and a discriminator that learn against each other.

    Semi-supervised learning is that of T. Salimans et al., Improved Techniques for Training GANs, arXiv 1606.03498: the
    discriminator tells `classes` apart, and how sure it is of any of them says whether a picture is real (section 5);
    the generator learns to give the mean features that real pictures have (section 3.1).

    Args:
        spec: of a GAN.
        generation: gives the code's size and the seed.
        labelled: the pictures whose labels it may see; None: it tells real from generated only.
        rates: of discriminator and generator.

    Attributes:
        generator: a `tf_keras.Model`, code -> picture.
        discriminator: picture -> logits, [batch, 1] or [batch, classes].
    """

    def __init__(
        self,
        spec: ModelSpec,
        generation: Generation,
        image_input: ImageInput,
        labelled: Images | None = None,
        rates: tuple[float, float] = (RATE, RATE),
    ) -> None:
        module = dcgan if spec.arch == "dcgan" else gan
        self.generator = module.generator(spec, generation.latent)
        classifier = module.dcgan(spec) if spec.arch == "dcgan" else module.gan(spec)
        features = classifier.get_layer("features").output
        if labelled is None:
            logits = keras.layers.Flatten(name="flat")(keras.layers.Conv2D(1, 1, name="real")(features))
        else:
            logits = classifier.layers[-1].input
        self.discriminator = keras.Model(classifier.input, logits, name="discriminator")
        self.classifier = classifier
        self._both = keras.Model(classifier.input, [features, logits])
        self._labelled, self._input = labelled, image_input
        if labelled is not None:
            self._known = (tf.constant(labelled.pixels), tf.constant(labelled.labels))
        self._latent = generation.latent
        self._codes = tf.constant(unit_codes(generation.seed, LOOKED_AT, generation.latent))
        self._optimizers = [keras.optimizers.Adam(rate, beta_1=FIRST_MOMENTUM) for rate in rates]
        self._trained = self.discriminator.trainable_variables, self.generator.trainable_variables
        for optimizer, variables in zip(self._optimizers, self._trained, strict=True):
            optimizer.build(variables)
        self._step = tf.function(self._learn, autograph=False)
        self._make = tf.function(lambda codes: self.generator(codes, training=False), autograph=False)
        self._before: Pixels | None = None

    @property
    def variables(self) -> list[Any]:
        """See `Learner`."""
        memories = [variable for optimizer in self._optimizers for variable in optimizer.variables]
        return [*self.discriminator.variables, *self.generator.variables, *memories]

    def begin(self) -> None:
        """See `Learner`."""
        self._before = self.generate()

    def step(self, values: Any, seed: Any) -> dict[str, Any]:
        """See `Learner`."""
        losses: dict[str, Any] = self._step(values, seed)
        return losses

    def judge(self, steps: Steps, val: Pixels) -> Row:
        """The epoch's means, and what `ganwatch` watches.

        diversity: mean distance of generated pictures from each other, that of real ones being 1; change: how far the
        pictures of the same codes moved in this epoch, in the same unit; largest_gradient: the generator's largest
        gradient over its median.
        """
        now = self.generate()
        assert self._before is not None
        unit = _mean_distance(val[:LOOKED_AT])
        gradients = steps["generator_gradient"]
        row = {name: float(values.mean()) for name, values in steps.items()}
        row["diversity"] = _mean_distance(now) / unit
        row["change"] = float(_distances(now, self._before).mean()) / unit
        row["largest_gradient"] = float(gradients.max() / max(1e-12, float(np.median(gradients))))
        self._before = now
        return row

    def note(self, row: Row) -> str:
        """See `Learner`."""
        return (
            f"discriminator {row['discriminator_loss']:.2f}, generator {row['generator_loss']:.2f}, diversity "
            f"{row['diversity']:.2f}"
        )

    def generate(self) -> Pixels:
        """The pictures of the same 256 codes each time, uint8 [256, h, w, 1]."""
        return to_pixels(self._make(self._codes).numpy(), self._input)

    def top1(self, images: Images) -> float:
        """Of a discriminator that learned labels: the share of pictures that it names rightly."""
        run = tf.function(lambda values: self.discriminator(values, training=False), autograph=False)
        return float((predict(run, images.pixels, self._input).argmax(1) == images.labels).mean())

    def _learn(self, values: Any, seed: Any) -> dict[str, Any]:
        n = values.shape[0]
        codes = tf.random.stateless_normal((2, n, 1, 1, self._latent), seed)
        with tf.GradientTape() as tape:
            fake = self.generator(codes[0], training=True)
            real_says = self._real(self.discriminator(values, training=True))
            fake_says = self._real(self.discriminator(fake, training=True))
            loss = tf.reduce_mean(_cross_entropy(real_says, REAL) + _cross_entropy(fake_says, 0.0))
            if self._labelled is not None:
                loss += self._labels_loss(seed)
        self._apply(0, tape.gradient(loss, self._trained[0]))
        with tf.GradientTape() as tape:
            fake = self.generator(codes[1], training=True)
            features, logits = self._both(fake, training=True)
            if self._labelled is None:
                deceived = tf.reduce_mean(_cross_entropy(self._real(logits), 1.0))
            else:
                wanted = tf.reduce_mean(tf.stop_gradient(self._both(values, training=True)[0]), 0)
                deceived = tf.reduce_mean(tf.abs(tf.reduce_mean(features, 0) - wanted))
        gradients = tape.gradient(deceived, self._trained[1])
        self._apply(1, gradients)
        return {
            "discriminator_loss": loss,
            "generator_loss": deceived,
            "real_right": tf.reduce_mean(tf.cast(real_says > 0, tf.float32)),
            "fake_right": tf.reduce_mean(tf.cast(fake_says < 0, tf.float32)),
            "generator_gradient": tf.linalg.global_norm(gradients),
        }

    def _apply(self, index: int, gradients: list[Any]) -> None:
        self._optimizers[index].apply_gradients(zip(gradients, self._trained[index], strict=True))

    def _real(self, logits: Any) -> Any:
        """The logit of "real", [batch]; of classes that is how much all of them together outweigh e^0."""
        return logits[:, 0] if self._labelled is None else tf.reduce_logsumexp(logits, 1)

    def _labels_loss(self, seed: Any) -> Any:
        pixels, labels = self._known
        picked = tf.random.stateless_uniform((LABELLED_BATCH,), seed + 1, 0, len(labels), tf.int32)
        values = (tf.cast(tf.gather(pixels, picked), tf.float32) - self._input.mean) / self._input.std
        logits = self.discriminator(values, training=True)
        wanted = tf.gather(labels, picked)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits))


def _cross_entropy(logits: Any, wanted: float) -> Any:
    return tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(tf.shape(logits), wanted), logits)


def _mean_distance(pixels: Pixels) -> float:
    """Mean distance of each picture from the next."""
    return float(_distances(pixels, np.roll(pixels, 1, 0)).mean())


def _distances(one: Pixels, other: Pixels) -> Any:
    difference = one.astype(np.float32) - other
    return np.sqrt(np.square(difference).mean((1, 2, 3)))
