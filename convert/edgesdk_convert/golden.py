"""The golden outputs: what this very file answers to a few inputs, to be replayed on the device."""

import base64
from dataclasses import replace

import cv2
import numpy as np

from edgesdk.contract import Golden, Output, encode_output
from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.recipe import Precision
from edgesdk_device.backends import Backend

MADE_INPUTS = 2
PHOTO_INPUTS = 2
MOST_ENTRIES = 4096  # of an output that are kept
PHOTO_SIDE = 48  # pixels: about 5 kB as PNG; the preprocessing enlarges it and is proved with it

#: family of runtimes -> largest difference of an output that reaches from 0 to 1. Between x86 and Arm, float differed
#: by 4e-6 and int8 by 7/255; GPUs compute in float16 where they may.
TOLERANCES: dict[Precision, dict[str, float]] = {
    "float32": {"cpu": 1e-4, "gpu": 2e-2, "npu": 5e-2},
    "float16": {"cpu": 2e-3, "gpu": 2e-2, "npu": 5e-2},
    "dynamic": {"cpu": 8 / 256, "gpu": 12 / 256, "npu": 12 / 256},
    "int16x8": {"cpu": 2 / 256, "gpu": 12 / 256, "npu": 12 / 256},
    "int8": {"cpu": 8 / 256, "gpu": 12 / 256, "npu": 12 / 256},
}


def make_golden(backend: Backend, image_input: ImageInput, photos: Pixels | None) -> tuple[Golden, ...]:
    """Two made pictures, and thumbnails of up to two photos, each with what `backend` answers; of codes four made ones.

    Args:
        backend: the final file, loaded.
        photos: uint8 [n, height, width, channels] in the model's colour order, or None.
    """
    # An odd stride, so that every channel's turn comes.
    entries = int(np.prod(backend.output.shape))
    stride = 1 if entries <= MOST_ENTRIES else (entries // MOST_ENTRIES + 1) | 1
    if image_input.color == "latent":
        inputs = [Golden(generator="normal", seed=seed) for seed in range(MADE_INPUTS + PHOTO_INPUTS)]
    else:
        inputs = [Golden(generator="blocks", seed=seed) for seed in range(MADE_INPUTS)]
    if photos is not None and image_input.color != "latent":
        chosen = np.linspace(0, len(photos) - 1, min(PHOTO_INPUTS, len(photos))).astype(int).tolist()
        inputs += [Golden(generator="png", png=_thumbnail(photos[index])) for index in chosen]
    table = value_table(image_input, backend.input.dtype, backend.input.scale, backend.input.zero_point)
    golden = []
    for item in inputs:
        output = backend.dequantize(backend.invoke(to_tensor(item.pixels(image_input), table)))
        golden.append(replace(item, stride=stride, output=encode_output(output[::stride])))
    return tuple(golden)


def tolerances(precision: Precision, golden: tuple[Golden, ...], output: Output) -> dict[str, float]:
    """Family of runtimes -> largest difference from a golden output, in that output's own units."""
    if output.kind == "probabilities":
        return TOLERANCES[precision]
    reach = max(float(np.ptp(np.append(item.expected(), 0.0))) for item in golden)
    return {family: share * (reach or 1.0) for family, share in TOLERANCES[precision].items()}


def _thumbnail(pixels: Pixels) -> str:
    small = cv2.resize(pixels, (PHOTO_SIDE, PHOTO_SIDE), interpolation=cv2.INTER_AREA)
    bgr = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return base64.b64encode(cv2.imencode(".png", bgr)[1].tobytes()).decode()
