"""Learning from another network's answers.

G. Hinton et al., Distilling the Knowledge in a Neural Network, arXiv 1503.02531. Where the student is its teacher with
channels taken out, its convolutions are held to the teacher's outputs of the same channels too: A. Romero et al.,
FitNets, arXiv 1412.6550, without the regressor that other widths need.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from edgesdk_train.cut import Ids
from edgesdk_train.objective import Objective, surprise

TEMPERATURE = 2.0
LABELS_SHARE = 0.1


def every_channel(model: Any) -> dict[str, Ids]:
    """The `kept` of a student that has all its teacher's channels."""
    return {
        layer.name: np.arange(layer.output_shape[-1])
        for layer in model.layers
        if type(layer).__name__ == "Conv2D" and layer.name != "logits"
    }


def distillation(student: Any, teacher: Any, kept: Mapping[str, Ids]) -> Objective:
    """What a student minimizes that is its teacher with fewer channels.

    Args:
        student: the network that learns.
        teacher: the network with all channels, of the same layers.
        kept: layer name -> the channels of the teacher's layer that the student's has, in order.

    Returns:
        The divergence of the softened answers, a tenth of the labels' cross-entropy and, averaged over the layers of
        `kept`, the squared error of a layer's outputs as a share of their variance.
    """
    taught = keras.Model(teacher.input, [teacher.layers[-1].input, *(teacher.get_layer(name).output for name in kept)])
    learned = keras.Model(student.input, [student.layers[-1].input, *(student.get_layer(name).output for name in kept)])

    def objective(values: Any, targets: Any, training: bool) -> tuple[Any, Any]:
        answer, *hints = tf.nest.flatten(taught(values, training=False))
        logits, *features = tf.nest.flatten(learned(values, training=training))
        loss = tf.reduce_mean(_divergence(answer, logits, targets))
        for ids, hint, feature in zip(kept.values(), hints, features, strict=True):
            target = tf.gather(hint, ids, axis=-1)
            axes = tf.range(tf.rank(target) - 1)
            error = tf.reduce_sum(tf.reduce_mean(tf.square(feature - target), axes))
            loss += error / (tf.reduce_sum(tf.math.reduce_variance(target, axes)) * len(kept) + 1e-6)
        return loss, logits

    return objective


def follow(student: Any, teacher: Any) -> Objective:
    """What a student minimizes that may be of another architecture and resolution than its teacher.

    Returns:
        As `distillation` without layers; each picture is brought to the teacher's size.
    """
    taught = keras.Model(teacher.input, teacher.layers[-1].input)
    learned = keras.Model(student.input, student.layers[-1].input)
    size = teacher.input_shape[1:3]

    def objective(values: Any, targets: Any, training: bool) -> tuple[Any, Any]:
        shown = values if size == student.input_shape[1:3] else tf.image.resize(values, size)
        logits = learned(values, training=training)
        return tf.reduce_mean(_divergence(taught(shown, training=False), logits, targets)), logits

    return objective


def _divergence(answer: Any, logits: Any, targets: Any) -> Any:
    """That of the softened answers, and a tenth of the targets' cross-entropy; [batch]."""
    wanted = tf.nn.softmax(answer / TEMPERATURE)
    # The divergence's gradient is the cross-entropy's; subtracting the entropy makes zero the best there is.
    soft = tf.nn.softmax_cross_entropy_with_logits(wanted, logits / TEMPERATURE)
    soft -= tf.nn.softmax_cross_entropy_with_logits(wanted, answer / TEMPERATURE)
    return (1 - LABELS_SHARE) * TEMPERATURE**2 * soft + LABELS_SHARE * surprise(targets, logits)
