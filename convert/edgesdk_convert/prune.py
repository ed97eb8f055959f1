"""Pruning: weights become zero in rounds, and what stays makes up for them.

M. Zhu and S. Gupta, To prune, or not to prune, arXiv 1710.01878: the share of zeros rises round by round, and the
network learns on in between, here from what it answered with all its weights. Which weights go is found by
`edgesdk_convert.sparse`, on photos without labels. On a few hundred photos learning alone does not get there.

Zeros buy bytes after compression, not milliseconds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from edgesdk.preprocess import ImageInput, Pixels
from edgesdk_convert.compress import Lesson
from edgesdk_convert.finetune import copied, finetune
from edgesdk_convert.sparse import sparse_kernels
from edgesdk_train.cut import trace_channels
from edgesdk_train.reconstruct import draw_photos, measure_readers, set_kernel

ROUNDS = 2
ROUND_EPOCHS, LAST_EPOCHS = 2, 6
RATE = 1e-4
FEWEST_WEIGHTS = 1024  # in a layer; the first convolution's few hundred buy nothing and see every pixel


def prune(model: Any, sparsity: float, image_input: ImageInput, lesson: Lesson, *, quiet: bool) -> tuple[Any, str]:
    """A copy of a network with zeros among the weights of every large layer, and what was done in words.

    Depthwise kernels stay: they are 2 % of MobileNet V1 0.75's weights.

    Args:
        model: a functional `tf_keras.Model`.
        sparsity: share of zeros in each layer that is pruned.
    """
    photos, pruned = draw_photos(lesson.train.pixels, lesson.seed), model
    for number in range(1, ROUNDS + 1):
        share = sparsity * (1 - (1 - number / ROUNDS) ** 3)
        before, pruned = pruned, drop_weights(pruned, share, photos, image_input, seed=lesson.seed)
        finetune(
            pruned,
            f"prune {share:.4g}",
            before,
            image_input,
            lesson,
            teacher=model,
            features=True,
            epochs=lesson.epochs or (LAST_EPOCHS if number == ROUNDS else ROUND_EPOCHS),
            rate=RATE,
            after_step=_zero_keeper(pruned),
            quiet=quiet,
        )
    count = sum(prunable(layer) for layer in model.layers)
    return pruned, f"pruned {count} layers to {100 * sparsity:g} % zeros"


def drop_weights(model: Any, share: float, photos: Pixels, image_input: ImageInput, *, seed: int) -> Any:
    """A copy in which the smallest weights of each prunable layer are zero and the others refitted.

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
            layer.set_weights([kernel * keep, *layer.get_weights()[1:]])
    return copy


def _zero_keeper(model: Any) -> Callable[[], None]:
    """A function that makes zero again what is zero now."""
    kernels = [layer.kernel for layer in model.layers if prunable(layer)]
    masks = [tf.cast(kernel != 0, tf.float32) for kernel in kernels]

    def keep() -> None:
        for kernel, mask in zip(kernels, masks, strict=True):
            kernel.assign(kernel * mask)

    return keep


def prunable(layer: Any) -> bool:
    """Whether a layer's kernel is pruned and clustered."""
    return type(layer).__name__ in ("Conv2D", "Dense") and int(layer.kernel.shape.num_elements()) >= FEWEST_WEIGHTS
