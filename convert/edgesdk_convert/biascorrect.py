"""Bias correction: where rounding the weights moves a channel's mean, its bias moves back.

M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, arXiv 1906.04721, section 4.2
and appendix D (the empirical form). Rounding errors do not cancel within a channel: E[W x] changes by E[(W' - W) x],
which is a constant per channel and can be taken off its bias. A few unlabelled images give the means.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table

IMAGES = 64


@dataclass(frozen=True, kw_only=True)
class _Biased:
    """A layer with weights, and the layer (itself or its batch-norm) whose bias or beta moves its output."""

    layer: Any
    holder: Any


def correct_biases(
    model: Any, pixels: Pixels, image_input: ImageInput, float_layers: frozenset[str] = frozenset()
) -> Any:
    """A copy of a network whose biases make up for the int8 rounding of its weights.

    The weights themselves stay: the converter rounds them as this function assumes, per output channel (per tensor in
    dense layers). Layers are corrected from input to output, each with all before it corrected already.

    Args:
        model: a functional `tf_keras.Model`.
        pixels: uint8 [n, height, width, channels]; the first 64 are used, labels are not.
        float_layers: names of layers whose weights will not be rounded.

    Returns:
        A `tf_keras.Model` of the same architecture.
    """
    import tensorflow as tf
    import tf_keras as keras

    values = tf.constant(to_tensor(pixels[:IMAGES], value_table(image_input, np.float32, 0.0, 0)))
    rounded = keras.models.clone_model(model)
    rounded.set_weights(model.get_weights())
    pairs, originals = _biased_layers(rounded), _biased_layers(model)
    wanted = [mean.numpy() for mean in _channel_means(model, originals)(values)]
    means = _channel_means(rounded, pairs)
    kernels = [pair.layer.get_weights()[0] for pair in pairs]
    for pair, kernel in zip(pairs, kernels, strict=True):
        if pair.layer.name not in float_layers:
            _set_kernel(pair.layer, round_weights(kernel, type(pair.layer).__name__))
    for index, pair in enumerate(pairs):
        bias = pair.holder.beta if pair.holder is not pair.layer else pair.holder.bias
        bias.assign_add(wanted[index] - means(values)[index].numpy())
    for pair, kernel in zip(pairs, kernels, strict=True):
        _set_kernel(pair.layer, kernel)
    return rounded


def round_weights(kernel: npt.NDArray[np.float32], layer: str) -> npt.NDArray[np.float32]:
    """What int8 makes of a kernel: symmetric, -127 to 127, one scale per output channel (per tensor for Dense).

    Folding a batch-norm first would scale whole channels and change nothing.

    Args:
        kernel: [h, w, in, out] (Conv2D), [h, w, in, multiplier] (DepthwiseConv2D) or [in, out] (Dense).
        layer: name of the layer's class.
    """
    axes = {"Conv2D": (0, 1, 2), "DepthwiseConv2D": (0, 1), "Dense": (0, 1)}[layer]
    scale = np.abs(kernel).max(axes, keepdims=True) / 127
    scale = np.where(scale == 0, 1, scale)
    rounded: npt.NDArray[np.float32] = (np.round(kernel / scale) * scale).astype(np.float32)
    return rounded


def _biased_layers(model: Any) -> list[_Biased]:
    """The layers whose weights are rounded and whose output a bias can move, from input to output."""
    found = []
    for layer in model.layers:
        if type(layer).__name__ not in ("Conv2D", "DepthwiseConv2D", "Dense"):
            continue
        if layer.activation.__name__ != "linear":  # its output is not where the bias is added
            continue
        if layer.use_bias:
            found.append(_Biased(layer=layer, holder=layer))
            continue
        followers = [node.layer for node in layer.outbound_nodes if node.layer in model.layers]
        if len(followers) == 1 and type(followers[0]).__name__ == "BatchNormalization" and followers[0].center:
            found.append(_Biased(layer=layer, holder=followers[0]))
    return found


def _channel_means(model: Any, pairs: list[_Biased]) -> Any:
    """A function: images -> the mean of each channel of each pair's output."""
    import tensorflow as tf
    import tf_keras as keras

    probe = keras.Model(model.input, [pair.holder.output for pair in pairs])

    def means(values: Any) -> list[Any]:
        outputs = probe(values, training=False)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return [tf.reduce_mean(output, tuple(range(len(output.shape) - 1))) for output in outputs]

    return tf.function(means, autograph=False)


def _set_kernel(layer: Any, kernel: npt.NDArray[np.float32]) -> None:
    layer.set_weights([kernel, *layer.get_weights()[1:]])
