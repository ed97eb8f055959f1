"""The golden outputs: what this very file answers to a few inputs, to be replayed on the device."""

import base64
from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np

from edgesdk.contract import Golden, Output, encode_output
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.recipe import Precision
from edgesdk_convert.gate import backend_outputs
from edgesdk_device.backends import Backend

MADE_INPUTS = 2
PHOTO_INPUTS = 2
MOST_ENTRIES = 4096  # of an output that are kept
PHOTO_SIDE = 48  # pixels: about 5 kB as PNG; the preprocessing enlarges it and is proved with it

#: family of runtimes -> largest difference of an output that reaches from 0 to 1. Between x86 and Arm, float differed
#: by 4e-6 and int8 by 7/255; between LiteRT and tflite-runtime int8 by 11/256, and both were as right; GPUs compute in
#: float16 where they may.
TOLERANCES: dict[Precision, dict[str, float]] = {
    "float32": {"cpu": 1e-4, "gpu": 2e-2, "npu": 5e-2},
    "float16": {"cpu": 2e-3, "gpu": 2e-2, "npu": 5e-2},
    "dynamic": {"cpu": 12 / 256, "gpu": 12 / 256, "npu": 12 / 256},
    "int16x8": {"cpu": 2 / 256, "gpu": 12 / 256, "npu": 12 / 256},
    "int8": {"cpu": 12 / 256, "gpu": 12 / 256, "npu": 12 / 256},
}
MOST_ROUNDING = 24 / 256


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
    outputs = backend_outputs(backend, golden_pixels(inputs, image_input), image_input)
    return tuple(
        replace(item, stride=stride, output=encode_output(output[::stride]))
        for item, output in zip(inputs, outputs, strict=True)
    )


def golden_pixels(golden: Iterable[Golden], image_input: ImageInput) -> Pixels:
    """The golden inputs as the model is shown them, uint8 [golden, height, width, channels]."""
    return np.stack([item.pixels(image_input) for item in golden])


def tolerances(precision: Precision, golden: tuple[Golden, ...], output: Output, rounding: float) -> dict[str, float]:
    """Family of runtimes -> largest difference from a golden output, in that output's own units.

    Two runtimes round inside a quantized network differently: tflite-runtime's reference kernels and XNNPACK differed
    by up to 0.086 on files that lost no accuracy. If each is as far from the float network as the file was seen to be,
    they are up to twice that apart; so much is allowed, up to `MOST_ROUNDING`.

    Args:
        rounding: largest difference of the file's answers from those of the network it was quantized from.
    """
    reach = 1.0
    if output.kind != "probabilities":
        reach = max(float(np.ptp(np.append(item.expected(), 0.0))) for item in golden) or 1.0
    least = min(2 * rounding, MOST_ROUNDING * reach)
    return {family: max(share * reach, least) for family, share in TOLERANCES[precision].items()}


def _thumbnail(pixels: Pixels) -> str:
    small = cv2.resize(pixels, (PHOTO_SIDE, PHOTO_SIDE), interpolation=cv2.INTER_AREA)
    bgr = small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return base64.b64encode(cv2.imencode(".png", bgr)[1].tobytes()).decode()
