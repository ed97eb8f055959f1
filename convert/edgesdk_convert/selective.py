"""Selective quantization: which operations int8 hurts most, so that these few stay float."""

import numpy as np

from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.progress import progress
from edgesdk_convert.gate import file_outputs, logits_file
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.jobs import ToInt8
from edgesdk_convert.worker import run_job

IMAGES = 16
SHAPE_ONLY = ("RESHAPE", "SQUEEZE", "PAD", "CONCATENATION", "TRANSPOSE", "SOFTMAX")


def blame_layers(
    calibrated: bytes, float_file: bytes, photos: Pixels, image_input: ImageInput, *, quiet: bool
) -> tuple[tuple[str, float], ...]:
    """The error table: (name of an operation's output, share of the noise), worst first.

    Each operation alone is made int8, the rest stays float, and the noise that it brings to the outputs before the
    softmax is measured on 16 photos. An error measured at the operation itself would not do: what a channel that is
    small against its tensor's scale loses counts little there and much at the end.
    """
    names = [op.tensor for op in read_graph(float_file).ops if op.name not in SHAPE_ONLY]
    photos = photos[:IMAGES]
    wanted = file_outputs(logits_file(float_file), photos, image_input)
    noise = {}
    with progress("blaming", len(names), quiet=quiet) as advance:
        for name in names:
            others = tuple(other for other in names if other != name)
            alone = run_job(ToInt8(calibrated=calibrated, io="float32", float_layers=others))
            given = file_outputs(logits_file(alone), photos, image_input)
            noise[name] = float(np.square(given - wanted).mean())
            advance(1, "")
    total = sum(noise.values()) or 1.0
    return tuple(sorted(((name, power / total) for name, power in noise.items()), key=lambda item: -item[1]))
