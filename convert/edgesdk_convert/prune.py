"""Pruning: weights become zero, and what stays makes up for them.

Which weights go, and what the others become, `edgesdk_convert.sparse` finds on photos without labels; then the network
learns from what it computed with all its weights, and the zeros stay. On a thousand photos learning alone does not get
there: with zeros that rise epoch by epoch (M. Zhu and S. Gupta, arXiv 1710.01878) flowers5 0.75-160 ended at a test
top-1 of 0.66, dense 0.89.

Zeros buy bytes after compression, not milliseconds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.progress import remark
from edgesdk_convert.compress import Lesson
from edgesdk_convert.finetune import copied, finetune
from edgesdk_convert.sparse import sparse_kernels
from edgesdk_train.cut import trace_channels
from edgesdk_train.reconstruct import draw_photos, measure_readers, set_kernel

# Zeros in two steps (70 %, two epochs, 80 %) were no closer to the dense network than all at once.
EPOCHS = 8
RATE = 1e-4
FEWEST_WEIGHTS = 1024  # in a layer; the first convolution's few hundred buy nothing and see every pixel


def prune(model: Any, sparsity: float, image_input: ImageInput, lesson: Lesson, *, quiet: bool) -> tuple[Any, str]:
    """A copy of a network with zeros among the weights of its large layers, and what was done in words.

    Depthwise kernels stay: they are 2 % of MobileNet V1 0.75's weights.

    Args:
        model: a functional `tf_keras.Model`.
        sparsity: share of zeros in all these layers together; those that stand it better get more.
    """
    remark(f"choosing {sparsity:.0%} of the weights that the answers need least", quiet=quiet)
    photos = draw_photos(lesson.train.pixels, lesson.seed)
    pruned = drop_weights(model, sparsity, photos, image_input, seed=lesson.seed)
    finetune(
        pruned,
        f"prune {sparsity:g}",
        model,
        image_input,
        lesson,
        epochs=lesson.epochs or EPOCHS,
        rate=RATE,
        features=True,
        after_step=_zero_keeper(pruned),
        quiet=quiet,
    )
    shares = [float((layer.kernel.numpy() == 0).mean()) for layer in pruned.layers if prunable(layer)]
    few, many = min(shares, default=0), max(shares, default=0)
    words = f"pruned {len(shares)} layers to {100 * sparsity:g} % zeros together, {few:.0%} to {many:.0%} each"
    return pruned, words


def drop_weights(model: Any, share: float, photos: Pixels, image_input: ImageInput, *, seed: int) -> Any:
    """A copy in which `share` of the prunable layers' weights are zero and the others refitted.

    Args:
        photos: uint8 [n, height, width, channels], unlabelled.
        seed: of the positions looked at.
    """
    copy, channels = copied(model), trace_channels(model)
    readers = {reader.name: reader for reader in measure_readers(model, channels, photos, image_input, seed=seed)}
    layers = [layer for layer in copy.layers if prunable(layer)]
    kernels = sparse_kernels([readers[layer.name] for layer in layers if layer.name in readers], share)
    for layer in layers:
        if layer.name in kernels:
            set_kernel(layer, readers[layer.name], kernels[layer.name])
        else:  # it reads what no photo was measured for: the image, or more rows than fit
            kernel = layer.get_weights()[0]
            keep = np.abs(kernel) > np.quantile(np.abs(kernel), share)
            layer.set_weights([np.where(keep, kernel, 0), *layer.get_weights()[1:]])
    return copy


def _zero_keeper(model: Any) -> Callable[[], None]:
    """A function that makes zero again what is zero now."""
    kernels = [layer.kernel for layer in model.layers if prunable(layer)]
    masks = [kernel != 0 for kernel in kernels]

    def keep() -> None:
        for kernel, mask in zip(kernels, masks, strict=True):
            kernel.assign(tf.where(mask, kernel, 0.0))  # times the mask, half of them would be -0.0, which packs badly

    return keep


def prunable(layer: Any) -> bool:
    """Whether a layer's kernel is pruned and clustered."""
    return type(layer).__name__ in ("Conv2D", "Dense") and int(layer.kernel.shape.num_elements()) >= FEWEST_WEIGHTS
