"""One step of learning, on one device or on all: the gradient, the optimizer, its rate."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.preprocess import ImageInput, Pixels
from edgesdk_train.objective import Objective
from edgesdk_train.stage import Stage

WARMUP_SHARE = 0.08


class Rate:
    """The learning rate of a stage: a warm-up, then a cosine to zero over as many steps as there will be."""

    def __init__(self, stage: Stage, steps: int) -> None:
        """For `stage.epochs` of `steps` each, until `plan` says otherwise."""
        self._steps = steps
        self._warmup, self._decay = tf.Variable(0.0, trainable=False), tf.Variable(0.0, trainable=False)
        self.plan(stage.epochs)
        self.schedule = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0,
            decay_steps=self._decay,
            warmup_target=stage.rate,
            warmup_steps=self._warmup,
        )

    def plan(self, epochs: int) -> None:
        """Spread warm-up and cosine over so many epochs."""
        total = epochs * self._steps
        warmup = max(1, int(total * WARMUP_SHARE))
        self._warmup.assign(warmup)
        self._decay.assign(max(1, total - warmup))


def make_optimizer(stage: Stage, rate: Rate) -> Any:
    """Adam, which clips the gradients of all devices together and averages weights where the stage says so.

    The average is that of B. Polyak and A. Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992, with
    exponentially falling weights.
    """
    methods = stage.methods
    return keras.optimizers.Adam(
        rate.schedule,
        epsilon=stage.epsilon,
        global_clipnorm=methods.clip_norm or None,
        use_ema=methods.ema > 0,
        ema_momentum=methods.ema or 0.99,
        ema_overwrite_frequency=None,
    )


def averaged(model: Any, optimizer: Any) -> list[Any]:
    """The weights that the optimizer averaged, in the model's order; a batch-norm's statistics are the present ones."""
    present = model.get_weights()
    optimizer.finalize_variable_values(model.trainable_variables)
    found = model.get_weights()
    model.set_weights(present)
    return found  # type: ignore[no-any-return]


def train_step(
    model: Any, optimizer: Any, image_input: ImageInput, objective: Objective, members: int = 1
) -> Callable[[Pixels, npt.NDArray[np.float32], float], tuple[float, int]]:
    """A function: (pixels uint8 [n, h, w, c], targets [n, classes], share) -> (mean loss, how many were right).

    Where the model was made for several devices (`tf.distribute`), each takes its share of the photos, and the step is
    that of all photos together but for batch-norm, which sees a device's. Where several processes, `members`, learn
    together, these photos are the `share` (0 to 1) of the batch that this one has, and the answer is that of all.
    """
    strategy = tf.distribute.get_strategy()
    devices = strategy.num_replicas_in_sync // members

    def step_on_one(pixels: Any, targets: Any, share: Any) -> tuple[Any, Any]:
        values = (tf.cast(pixels, tf.float32) - image_input.mean) / image_input.std
        with tf.GradientTape() as tape:
            loss, answer = objective(values, targets, True)
            loss *= share
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        right = tf.reduce_sum(tf.cast(tf.argmax(answer, 1) == tf.argmax(targets, 1), tf.int32))
        return loss, right * tf.cast(share > 0, tf.int32)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(pixels: Any, targets: Any, share: Any) -> tuple[Any, Any]:
        each = strategy.run(step_on_one, (pixels, targets, share))
        return tuple(strategy.reduce(tf.distribute.ReduceOp.SUM, item, axis=None) for item in each)

    def spread(arrays: list[Any]) -> Any:
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(arrays[context.replica_id_in_sync_group % devices])
        )

    def take(pixels: Pixels, targets: npt.NDArray[np.float32], share: float) -> tuple[float, int]:
        parts = np.array_split(np.arange(len(pixels)), devices)
        shares = [np.float32(share * len(part) / len(pixels)) for part in parts]
        parts = [part if len(part) else np.arange(1) for part in parts]  # a mean of nothing would be NaN
        shown, wanted = ([array[part] for part in parts] for array in (pixels, targets))
        loss, right = step(spread(shown), spread(wanted), spread(shares))
        return float(loss), int(right)

    return take
