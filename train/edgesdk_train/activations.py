"""What a network does at each layer: the feature maps of one photo, drawn, and the layers in numbers.

M. Zeiler and R. Fergus, Visualizing and Understanding Convolutional Networks, arXiv 1311.2901, look at maps to see what
a layer answers to; this draws the maps themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tf_keras as keras

from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.reports.runreport import Layer
from edgesdk_train.cut import multiply_adds
from edgesdk_train.plots import png_of

MOST_LAYERS = 18
MAPS = 12
DRAWN = ("ReLU", "Activation", "Add", "Concatenate", "MaxPooling2D", "AveragePooling2D", "LocalResponseNorm")


@dataclass(frozen=True, kw_only=True)
class Maps:
    """The feature maps of a layer for one photo, float32 [height, width, channels]."""

    layer: str
    maps: npt.NDArray[np.float32]


def list_layers(model: Any) -> tuple[Layer, ...]:
    """Every layer but the input, in order."""
    macs = multiply_adds(model)
    return tuple(
        Layer(
            name=layer.name,
            kind=type(layer).__name__,
            shape=tuple(int(side) for side in layer.output.shape[1:]),
            parameters=int(layer.count_params()),
            macs=int(macs.get(layer.name, 0)),
        )
        for layer in model.layers
        if type(layer).__name__ != "InputLayer"
    )


def look_inside(
    model: Any, pixels: Pixels, image_input: ImageInput
) -> tuple[tuple[Maps, ...], npt.NDArray[np.float32]]:
    """What the layers answer to one photo: after activations, poolings and joins, at most eighteen of them, evenly.

    Args:
        pixels: uint8 [height, width, channels], of the network's size.

    Returns:
        (the maps of each layer, the network's output [classes]).
    """
    chosen = [layer for layer in model.layers if type(layer).__name__ in DRAWN and len(layer.output.shape) == 4]
    places = np.unique(np.linspace(0, len(chosen) - 1, min(MOST_LAYERS, len(chosen))).round().astype(int))
    chosen = [chosen[place] for place in places]
    run = keras.Model(model.input, [*(layer.output for layer in chosen), model.outputs[0]])
    values = to_tensor(pixels[None], value_table(image_input, np.float32, 0.0, 0))
    *found, answer = (np.asarray(array, np.float32)[0] for array in run(values, training=False))
    return tuple(Maps(layer=layer.name, maps=maps) for layer, maps in zip(chosen, found, strict=True)), answer


def draw_activations(
    pixels: Pixels, layers: Sequence[Maps], answer: npt.NDArray[np.float32], labels: Sequence[str]
) -> bytes:
    """A picture, PNG: the photo and the likeliest labels, then a row a layer with its twelve most varied maps."""
    from matplotlib.figure import Figure

    figure = Figure((MAPS + 2.2, len(layers) + 2.2), dpi=70)
    height, width = figure.get_figheight(), figure.get_figwidth()

    def axes(left: float, top: float, wide: float, high: float) -> Any:
        return figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))

    photo = axes(2, 0.1, 1.9, 1.9)
    photo.imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, cmap="gray")
    photo.set_axis_off()
    likely = np.argsort(-answer)[: min(5, len(answer))]
    bars = axes(6.2, 0.2, 5.5, 1.7)
    bars.barh([labels[index] for index in likely][::-1], answer[likely][::-1], color="#1f6feb")
    bars.set(xlim=(0, 1))
    bars.spines[["top", "right"]].set_visible(False)
    for row, layer in enumerate(layers):
        top = 2.2 + row
        high, wide, channels = layer.maps.shape
        figure.text(
            1.9 / width,
            1 - (top + 0.45) / height,
            f"{layer.layer}\n{high}x{wide}, {channels} maps",
            ha="right",
            va="center",
            fontsize=8,
        )
        if high == wide == 1:
            strip = axes(2, top + 0.25, MAPS, 0.4)
            strip.imshow(layer.maps.reshape(1, -1), aspect="auto", cmap="magma")
            strip.set_axis_off()
            continue
        varied = np.argsort(-layer.maps.std((0, 1)), kind="stable")[:MAPS]
        for column, channel in enumerate(varied):
            picture = axes(2 + column + 0.02, top + 0.02, 0.96, 0.96)
            picture.imshow(layer.maps[..., channel], cmap="magma", interpolation="nearest")
            picture.set_axis_off()
    return png_of(figure, dpi=figure.dpi)
