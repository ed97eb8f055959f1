"""Magnitude pruning: the smallest weights become zero, more of them step by step, while the rest learns on.

M. Zhu and S. Gupta, To prune, or not to prune: exploring the efficacy of pruning for model compression, arXiv
1710.01878: the share of zeros rises as 1 - (1 - t)^3. Zeros buy bytes after compression, not milliseconds.
"""

from typing import Any

from edgesdk.preprocess import ImageInput
from edgesdk.quiet import import_tfmot
from edgesdk_convert.compress import Lesson
from edgesdk_convert.finetune import copied, finetune, wrapped

EPOCHS = 16
RATE = 3e-4
RAMP = 0.6  # of the epochs, after which the zeros stay and the rest recovers
FEWEST_WEIGHTS = 1024  # in a layer; the first convolution's few hundred buy nothing and see every pixel


def prune(model: Any, sparsity: float, image_input: ImageInput, lesson: Lesson, *, quiet: bool) -> tuple[Any, str]:
    """A copy of a network with zeros among the weights of every large layer, and what was done in words.

    Depthwise kernels stay: each has nine weights a channel, and tensorflow-model-optimization never prunes them.

    Args:
        model: a functional `tf_keras.Model`.
        sparsity: share of zeros in each layer that is pruned.
    """
    tfmot = import_tfmot()
    epochs = lesson.epochs or EPOCHS
    ramp = max(1, round(RAMP * epochs))
    steps = -(-len(lesson.train.labels) // lesson.batch)
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0, final_sparsity=sparsity, begin_step=0, end_step=ramp * steps, frequency=max(1, steps // 8)
    )

    pruning = wrapped(
        model, prunable, lambda layer: tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)
    )
    wrappers = [layer for layer in pruning.layers if hasattr(layer, "pruning_step")]
    for wrapper in wrappers:
        wrapper.pruning_step.assign(0)

    def mask() -> None:
        for wrapper in wrappers:
            wrapper.pruning_obj.weight_mask_op()

    finetune(
        pruning,
        f"prune {sparsity:g}",
        model,
        image_input,
        lesson,
        epochs=epochs,
        rate=RATE,
        keep_from=ramp,
        after_step=mask,
        quiet=quiet,
    )
    stripped = tfmot.sparsity.keras.strip_pruning(pruning)
    words = f"pruned {len(wrappers)} layers to {100 * sparsity:g} % zeros"
    return copied(model, stripped.get_weights()), words


def prunable(layer: Any) -> bool:
    """Whether a layer's kernel is pruned and clustered."""
    return type(layer).__name__ in ("Conv2D", "Dense") and int(layer.kernel.shape.num_elements()) >= FEWEST_WEIGHTS
