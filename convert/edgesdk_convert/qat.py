"""Quantization-aware training: the network learns with the rounding in it.

B. Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, arXiv
1712.05877: weights and activations are rounded in the forward pass, and the gradient passes the rounding as if it were
not there.
"""

from typing import Any

import numpy as np

from edgesdk.errors import ConversionError
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.quiet import captured_output, import_tfmot
from edgesdk_convert.compress import Lesson
from edgesdk_convert.finetune import copied, finetune

EPOCHS = 8
RATE = 3e-5
MOVED = 1e-3  # of the way to a batch's range, by tfmot's moving averages
RANGE_BATCH = 32
SETTLING = AVERAGED = 6  # batches


def train_quantized(
    model: Any,
    image_input: ImageInput,
    lesson: Lesson,
    *,
    keep_zeros: bool,
    keep_clusters: bool,
    quiet: bool,
) -> Any:
    """A copy of a network that carries the ranges and the rounding of int8, taught with them.

    Args:
        model: a functional `tf_keras.Model`.
        keep_zeros, keep_clusters: what pruning and clustering achieved stays.

    Raises:
        ConversionError: names the layer that cannot be trained this way.
    """
    tfmot = import_tfmot()
    try:
        annotated = tfmot.quantization.keras.quantize_annotate_model(copied(model))
        with captured_output():  # of a layer without zeros it says so on stderr
            aware = tfmot.quantization.keras.quantize_apply(annotated, _scheme(tfmot, keep_zeros, keep_clusters))
    except (ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConversionError(
            f"quantization-aware training refuses {model.name} ({reason}): leave out --qat, plain int8 is repaired as "
            "far as it can be"
        ) from error
    find_ranges(aware, image_input, lesson.train.pixels)
    kept = (" zeros" if keep_zeros else "") + (" clusters" if keep_clusters else "")
    epochs = lesson.epochs or EPOCHS
    finetune(aware, f"qat{kept}", model, image_input, lesson, epochs=epochs, rate=RATE, quiet=quiet)
    return tfmot.experimental.combine.strip_clustering_cqat(aware) if keep_clusters else aware


def find_ranges(aware: Any, image_input: ImageInput, pixels: Pixels) -> None:
    """Set the ranges of the activations, in place, to what batches of photos give on average.

    They begin at -6..6 and follow by a thousandth a step (`MOVED`), which a short lesson ends long before they arrive:
    MobileNet V2's linear bottlenecks reach further, and its top-1 on flowers fell from 85 to 78 %. Here each batch
    moves them all the way; the first batches only serve the layers before.
    """
    ranges = [
        variable
        for variable in aware.non_trainable_variables
        if variable.name.endswith(("_min:0", "_max:0"))
        and "kernel" not in variable.name  # these and the input's are no averages
        and not variable.name.startswith("quantize_layer")
    ]
    averages = [np.zeros(v.shape, np.float32) for v in ranges]
    for index in range(SETTLING + AVERAGED):
        chosen = np.arange(index * RANGE_BATCH, (index + 1) * RANGE_BATCH) % len(pixels)
        before = [v.numpy() for v in ranges]
        aware((pixels[chosen].astype(np.float32) - image_input.mean) / image_input.std, training=True)
        for variable, was, average in zip(ranges, before, averages, strict=True):
            variable.assign(was + (variable.numpy() - was) / MOVED)
            average += variable.numpy() / AVERAGED if index >= SETTLING else 0.0
    for variable, average in zip(ranges, averages, strict=True):
        variable.assign(average)


def _scheme(tfmot: Any, keep_zeros: bool, keep_clusters: bool) -> Any:
    """Plain training would undo both: it took a pruned network's zeros from 50 % to 31 %."""
    if keep_clusters:
        return tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=keep_zeros)
    if keep_zeros:
        return tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    return tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme()
