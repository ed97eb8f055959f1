"""Channels taken out of a network: which belong together, and the network without some of them.

Every channel that a layer makes gets a number, and is followed through the layers that pass it on; where two tensors
are added or multiplied their channels become one. So residual connections, squeeze-and-excitation, concatenation and
flattening need no rule of their own, and nothing here knows an architecture. The input, the outputs of `logits` and
whatever enters or leaves a layer of an unknown kind stay whole.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from edgesdk.errors import RunError

Ids = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

MAKERS = ("Conv2D", "Conv2DTranspose", "Dense")
CHANNEL_BY_CHANNEL = (
    "Activation",
    "AveragePooling2D",
    "BatchNormalization",
    "Cropping2D",
    "DepthwiseConv2D",
    "Dropout",
    "ELU",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "LeakyReLU",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "SpatialDropout2D",
    "UpSampling2D",
    "ZeroPadding2D",
)
ELEMENTWISE = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The channels of a network, by number.

    Attributes:
        inputs: layer name -> the channels on the last axis of its input; only of layers with one input.
        outputs: layer name -> the channels on the last axis of its output.
        groups: those that may be removed, a group for each set that layers make together.
        count: numbers run from 0 to `count` - 1, not all are used.
    """

    inputs: dict[str, Ids]
    outputs: dict[str, Ids]
    groups: tuple[Ids, ...]
    count: int

    def everything(self) -> Mask:
        """A mask that keeps every channel."""
        return np.ones(self.count, bool)


def trace_channels(model: Any) -> Channels:
    """The channels of a functional `tf_keras.Model` whose layers are each used once.

    Raises:
        RunError: if a layer is used twice.
    """
    return _Tracer(model).channels()


def cut(model: Any, channels: Channels, keep: Mask) -> Any:
    """The network without the channels that `keep` leaves out.

    Args:
        model: the network that was traced.
        channels: of `trace_channels(model)`.
        keep: one entry a channel number; at least one channel of each group, and all that no group holds.

    Returns:
        A new `tf_keras.Model` with the same layers, names and remaining weights.

    Raises:
        ValueError: if a channel is left out that must stay, or a group would be empty.
    """
    removable = np.zeros(channels.count, bool)
    for group in channels.groups:
        removable[group] = True
        if not keep[group].any():
            raise ValueError("no channel of a group is kept, expected at least one")
    if not keep[~removable].all():
        raise ValueError("a channel of the input, of the last layer or of a layer of unknown kind is left out")

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        for size in ("filters", "units"):
            if size in config and type(layer).__name__ in MAKERS:
                config[size] = int(keep[channels.outputs[layer.name]].sum())
        return type(layer).from_config(config)

    smaller = keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if not layer.weights:
            continue
        arrays = []
        for array, axes in zip(layer.get_weights(), weight_axes(layer, channels), strict=True):
            for axis, ids in enumerate(axes):
                if ids is not None:
                    array = array.compress(keep[ids], axis)
            arrays.append(array)
        smaller.get_layer(layer.name).set_weights(arrays)
    return smaller


def weight_axes(layer: Any, channels: Channels) -> list[tuple[Ids | None, ...]]:
    """For each weight of a layer, the channels that lie along each of its axes, None where none do."""
    kind, ranks = type(layer).__name__, [weight.shape.rank for weight in layer.weights]
    if kind not in (*MAKERS, "DepthwiseConv2D", "BatchNormalization"):
        return [(None,) * rank for rank in ranks]
    made = channels.outputs[layer.name]
    if kind == "BatchNormalization":
        return [(made,)] * len(ranks)
    taken = channels.inputs[layer.name]
    last = {"DepthwiseConv2D": (taken, None), "Conv2DTranspose": (made, taken)}.get(kind, (taken, made))
    return [(*(None,) * (ranks[0] - 2), *last), *[(made,)] * (len(ranks) - 1)]


def multiply_adds(model: Any) -> dict[str, int]:
    """Layer name -> multiply-adds for one image, of every layer that has any, as the papers count."""
    counts = {}
    for layer in model.layers:
        kind = type(layer).__name__
        if kind not in (*MAKERS, "DepthwiseConv2D"):
            continue
        kernel = layer.weights[0].shape
        shape = layer.input_shape if kind == "Conv2DTranspose" else layer.output_shape
        # A depthwise kernel is [height, width, in, multiplier]; a transposed one [height, width, out, in].
        size = np.prod(kernel[:2]) if kind == "DepthwiseConv2D" else np.prod(kernel) // shape[-1]
        counts[layer.name] = int(np.prod(shape[1:]) * size)
    return counts


class _Tracer:
    """Numbers the channels layer by layer, and notes which are one and which are made together."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.count = 0
        self.same: list[tuple[Ids, Ids]] = []
        self.together: list[tuple[Ids, Ids]] = []
        self.whole: list[Ids] = []
        self.inputs: dict[str, Ids] = {}
        self.outputs: dict[str, Ids] = {}

    def channels(self) -> Channels:
        used_twice = [item["name"] for item in self.model.get_config()["layers"] if len(item["inbound_nodes"]) > 1]
        if used_twice:
            raise RunError(
                f"{self.model.name} uses its layer {used_twice[0]} more than once: its channels cannot be cut"
            )
        for layer in self.model.layers:
            parents = [node.layer.name for node in layer.inbound_nodes[0].parent_nodes]
            given = [self.outputs[name] for name in parents]
            if len(given) == 1:
                self.inputs[layer.name] = given[0]
            self.outputs[layer.name] = self._follow(layer, given)
        self.whole += [self.outputs[name] for name in self.model.output_names]
        self.whole.append(self.outputs[[layer for layer in self.model.layers if layer.weights][-1].name])

        one = _components(self.count, self.same)
        together = _components(self.count, [*self.same, *self.together])
        stays = {int(name) for ids in self.whole for name in together[ids]}
        used = np.unique(one)
        groups = [used[together[used] == name] for name in np.unique(together[used]) if int(name) not in stays]
        return Channels(
            inputs={name: one[ids] for name, ids in self.inputs.items()},
            outputs={name: one[ids] for name, ids in self.outputs.items()},
            groups=tuple(groups),
            count=self.count,
        )

    def _follow(self, layer: Any, given: list[Ids]) -> Ids:
        kind, shape = type(layer).__name__, layer.output_shape
        if kind in MAKERS and getattr(layer, "groups", 1) == 1:
            return self._new(shape[-1])
        if kind in CHANNEL_BY_CHANNEL and _acts_channel_by_channel(layer):
            return np.repeat(given[0], getattr(layer, "depth_multiplier", 1))
        if kind in ELEMENTWISE and len({len(ids) for ids in given}) == 1:
            self.same += [(given[0], other) for other in given[1:]]
            return given[0]
        if kind == "Concatenate" and layer.axis in (-1, len(shape) - 1):
            return np.concatenate(given)
        if kind == "Flatten":
            return np.tile(given[0], shape[-1] // len(given[0]))
        self.whole += given
        made = self._new((shape[0] if isinstance(shape, list) else shape)[-1])
        self.whole.append(made)
        return made

    def _new(self, n: int) -> Ids:
        made = np.arange(self.count, self.count + n)
        self.count += n
        self.together.append((np.full(n, made[0]), made))
        return made


def _acts_channel_by_channel(layer: Any) -> bool:
    """Whether no channel sees another: a softmax, an axis other than the last or numbers by channel would."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return False
    if type(layer).__name__ == "BatchNormalization":
        return list(layer.axis) == [len(layer.output_shape) - 1]
    if type(layer).__name__ == "Rescaling":
        return np.ndim(layer.scale) == np.ndim(layer.offset) == 0
    return getattr(getattr(layer, "activation", None), "__name__", "") != "softmax"


def _components(n: int, pairs: list[tuple[Ids, Ids]]) -> Ids:
    """The smallest number of each connected component, for each of `n` numbers."""
    root: Ids = np.arange(n)
    if not pairs:
        return root
    a, b = np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
    while True:
        before = root.copy()
        np.minimum.at(root, a, root[b])
        np.minimum.at(root, b, root[a])
        root = root[root]
        if np.array_equal(root, before):
            return root
