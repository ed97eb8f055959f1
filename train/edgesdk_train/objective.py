"""What a network minimizes."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

#: (values float32 [batch, h, w, c], targets float32 [batch, classes], training) -> (mean loss, logits [batch, classes])
Objective = Callable[[Any, Any, bool], tuple[Any, Any]]

AUXILIARY_SHARE = 0.3


def cross_entropy(model: Any) -> Objective:
    """The objective that knows only the targets."""
    logits = keras.Model(model.input, model.layers[-1].input)

    def objective(values: Any, targets: Any, training: bool) -> tuple[Any, Any]:
        answer = logits(values, training=training)
        return tf.reduce_mean(surprise(targets, answer)), answer

    return objective


def auxiliary_cross_entropy(model: Any) -> Objective:
    """The objective of a network whose first output is followed by the logits of auxiliary classifiers.

    They count 0.3 each while it learns and nothing where it is judged (C. Szegedy et al., Going Deeper with
    Convolutions, arXiv 1409.4842, section 5).
    """
    (softmax,) = [layer for layer in model.layers if layer.output is model.outputs[0]]
    classifiers = keras.Model(model.input, [softmax.input, *model.outputs[1:]])

    def objective(values: Any, targets: Any, training: bool) -> tuple[Any, Any]:
        answer, *others = classifiers(values, training=training)
        loss = tf.reduce_mean(surprise(targets, answer))
        for other in others if training else ():
            loss += AUXILIARY_SHARE * tf.reduce_mean(surprise(targets, other))
        return loss, answer

    return objective


def surprise(targets: Any, logits: Any) -> Any:
    """The cross-entropy of each row, [batch].

    TensorFlow's own takes the targets' sum for 1 in its gradient, which a class's weight changes.
    """
    return -tf.reduce_sum(targets * tf.nn.log_softmax(logits), -1)
