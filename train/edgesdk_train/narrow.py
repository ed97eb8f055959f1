"""A network that starts from the weights of a wider one: its most important channels."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import tf_keras as keras

from edgesdk.errors import WeightsError
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.spec import ModelSpec
from edgesdk_train.cut import Ids, cut, trace_channels
from edgesdk_train.models import outline_model
from edgesdk_train.reconstruct import draw_photos, measure_readers, refit, removable_groups, removal_steps
from edgesdk_train.weights import Pretrained, head_classes, match_layers, same_depth

STEP = 8  # channels
_built = cache(outline_model)  # a folder of weights asks for the same ones again and again


def wider_spec(spec: ModelSpec, pretrained: Pretrained) -> ModelSpec | None:
    """The spec of a wider network of the same architecture that the weights belong to, None where there is none.

    The width is read from the channels: each layer's number of them, divided by the layer's at width 1, suggests one,
    and the first whose network the weights fit is it.
    """
    if fits(spec, pretrained):
        return None
    outline = _outline(replace(spec, width=1.0))
    if not same_depth(outline, pretrained):
        return None
    whole = [layer for layer in outline.layers if layer.weights]
    channels = [
        (arrays[0].shape[-1], layer.weights[0].shape[-1])
        for layer, (_, arrays) in zip(whole, pretrained.layers, strict=False)
    ]
    for width in dict.fromkeys(found / base for found, base in sorted(channels, reverse=True)):
        if spec.width < width <= 4:
            wider = replace(spec, width=width, classes=head_classes(pretrained) or spec.classes)
            if fits(wider, pretrained):
                return wider
    return None


def fits(spec: ModelSpec, pretrained: Pretrained) -> bool:
    """Whether the weights belong to the network of `spec`, with or without its head."""
    try:
        match_layers(_outline(spec), pretrained)
    except WeightsError:
        return False
    return True


def _outline(spec: ModelSpec) -> Any:
    """A network of the weights of `spec` in shape: one for all resolutions where it averages over the picture."""
    anywhere = _built(replace(spec, res=224))
    pools = any(isinstance(layer, keras.layers.GlobalAveragePooling2D) for layer in anywhere.layers)
    return anywhere if pools else _built(spec)


def narrow(wider: Any, target: Any, pixels: Pixels, image_input: ImageInput, *, seed: int) -> None:
    """Fill a network with the most important channels of a wider one, refitted to compute what that computed.

    Args:
        wider: with weights; its `logits` may tell other classes apart.
        target: of the same layers with at most as many channels; filled in place, without its `logits`.
        pixels: uint8 [n, height, width, channels], unlabelled photos of what it shall see.
        image_input: their preprocessing.
        seed: of the sample taken.

    Raises:
        WeightsError: if a layer that must lose channels is read by one of too many inputs to choose by.
    """
    channels, wanted = trace_channels(wider), trace_channels(target)
    free = {int(group[0]) for group in removable_groups(wider, channels)}
    shrinking: list[tuple[Ids, list[int]]] = []
    for group in channels.groups:
        name = next(name for name, ids in channels.outputs.items() if np.isin(group, ids).all())
        size = len(wanted.outputs[name])
        if size < len(group) and int(group[0]) not in free:
            raise WeightsError(
                f"{wider.name} cannot start from a wider one: {name} is read by a layer of too many inputs to choose "
                "its channels by; take the weights' own width, or --weights none"
            )
        if size < len(group):
            shrinking.append((group, [*range(len(group) - STEP, size, -STEP), size]))
    readers = measure_readers(wider, channels, draw_photos(pixels, seed), image_input, seed=seed)
    keep = channels.everything()
    for group, sizes in shrinking:
        for step in removal_steps(group, readers, sizes):
            keep[step.channels] = False
    smaller = cut(wider, channels, keep)
    refit(smaller, channels, keep, readers)
    for layer in target.layers:
        if layer.name != "logits":
            layer.set_weights(smaller.get_layer(layer.name).get_weights())
