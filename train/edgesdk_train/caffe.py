"""Keras' published VGG and ResNet weights, as if they had learned from pixels as edgesdk gives them.

They were made in Caffe: blue, green and red in this order, each less its mean over ImageNet, and in ResNet a bias
before each batch-norm. Here every network sees red, green and blue as (byte - 128) / 128, so that an integer file takes
a frame's bytes as they are and other tools feed it rightly. Since byte - mean = 128 x + (128 - mean), the first
convolution takes both in: its kernel's channels in the other order and times 128, its bias more by what the kernel
makes of 128 - mean. A bias before a batch-norm is taken off its moving mean.

That is exact but for the border: beyond the picture a network sees zeros, which were the mean colour (124, 117, 104)
and now are grey (128, 128, 128). Only positions whose first kernel reaches over the edge differ.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgesdk.preprocess import ImageInput

Arrays = list[npt.NDArray[np.float32]]
#: A layer's name and its arrays.
LayerWeights = tuple[str, Arrays]

MEAN = np.array([123.68, 116.779, 103.939], np.float32)  # of ImageNet's red, green and blue
FIRST_LAYERS = ("block1_conv1", "conv1_conv")  # the names in Keras' VGG and ResNet files


def fold_caffe(layers: Sequence[LayerWeights]) -> tuple[LayerWeights, ...]:
    """The layers of a weights file, with colours and biases folded in where it is Keras' VGG or ResNet."""
    name, arrays = layers[0]
    if name not in FIRST_LAYERS or len(arrays) != 2 or arrays[0].shape[2:3] != (3,):
        return tuple(layers)
    kernel, bias = arrays[0][:, :, ::-1], arrays[1]
    bias = bias + (kernel * (ImageInput.mean - MEAN)[:, None]).sum((0, 1, 2))
    folded: dict[str, Arrays] = dict(layers) | {name: [kernel * np.float32(ImageInput.std), bias]}
    for name, arrays in list(folded.items()):
        norm = folded.get(name.removesuffix("_conv") + "_bn")
        if name.endswith("_conv") and norm is not None and len(arrays) == 2:
            gamma, beta, mean, variance = norm
            folded[name.removesuffix("_conv") + "_bn"] = [gamma, beta, mean - arrays[1], variance]
            folded[name] = arrays[:1]
    return tuple(folded.items())
