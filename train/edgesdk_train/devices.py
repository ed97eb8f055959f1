"""Where a network learns: all graphics processors there are, in the precision that was asked for."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

KEPT_FLOAT = ("logits", "flat", "probabilities")


def all_devices() -> Any:
    """The strategy in force, or one that mirrors the network on every GPU where there are several."""
    gpus = tf.config.list_logical_devices("GPU")
    mirrored = len(gpus) > 1 and not tf.distribute.has_strategy()
    return tf.distribute.MirroredStrategy() if mirrored else tf.distribute.get_strategy()


def copy_for_learning(model: Any, *, mixed_precision: bool) -> Any:
    """What learns in place of `model`: the same layers and weights, made for the strategy in force.

    P. Micikevicius et al., Mixed Precision Training, arXiv 1710.03740, with bfloat16 for the halves: its exponent is
    float32's, so that no loss has to be scaled. Weights and the last layer stay float32.
    """

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if mixed_precision and not layer.name.endswith(KEPT_FLOAT):
            config["dtype"] = "mixed_bfloat16"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
