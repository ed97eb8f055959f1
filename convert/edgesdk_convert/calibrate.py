"""The images that set the ranges of int8 activations, and the ranges."""

from typing import Literal

import numpy as np

from edgesdk.contract import Golden
from edgesdk.errors import ConversionError
from edgesdk.flatbuffer import pack_model, unpack_model
from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.recipe import Recipe
from edgesdk_device.backends import Backend

FEWEST = 8  # photos; fewer say nothing of a channel's mean and range
FAINTEST = 8  # bytes between the darkest and the brightest value of all photos
CLIPPED_PERCENT = 0.01  # of a tensor's values beyond each end of a clipped range
CLIP_IMAGES = 32
VALUES_A_TENSOR = 4096  # of each image, at random: enough for the percentile, little enough for memory


def check_photos(photos: Pixels) -> None:
    """Refuse photos that cannot show a network's ranges.

    Raises:
        ConversionError: if they are fewer than 8, or all of one colour.
    """
    if len(photos) < FEWEST:
        raise ConversionError(
            f"{len(photos)} photos to calibrate on are too few, expected at least {FEWEST} (100 are better): add "
            "photos to --data"
        )
    darkest, brightest = int(photos.min()), int(photos.max())
    if brightest - darkest < FAINTEST:
        raise ConversionError(
            f"the photos to calibrate on hold only values from {darkest} to {brightest}, expected pictures that use "
            "most of 0 to 255: are they the camera's own?"
        )


def add_anchors(pixels: Pixels) -> Pixels:
    """Put an all-black and an all-white image before the photos, so that the input's range is exactly 0 to 255.

    Half-bright calibration alone cut a network's top-1 from 0.88 to 0.16. Of a code only one entry is set so far out:
    a code that is extreme in all of them never comes, and would stretch every layer's range.

    Args:
        pixels: uint8 [n, height, width, channels]; codes are 1x1.
    """
    anchors = np.stack([pixels[0], pixels[0]])
    where = (..., 0) if pixels.shape[1:3] == (1, 1) else ...
    anchors[0][where], anchors[1][where] = 0, 255
    return np.concatenate([anchors, pixels])


def made_images(n: int, image_input: ImageInput) -> Pixels:
    """Generated pictures (or codes) for a network without data: enough to convert it, not to judge it.

    Returns:
        uint8 [n, height, width, channels].
    """
    generator: Literal["blocks", "normal"] = "normal" if image_input.color == "latent" else "blocks"
    return np.stack([Golden(generator=generator, seed=1000 + i).pixels(image_input) for i in range(n)])


def clip_ranges(calibrated: bytes, photos: Pixels, image_input: ImageInput) -> bytes:
    """A calibrated file whose ranges leave out the outermost 0.01 % of each tensor's values at either end.

    A finer scale for the many against a few that are cut off (percentile calibration; H. Wu et al., Integer
    Quantization for Deep Learning Inference, arXiv 2004.09602, section 3.3). Input and output keep their ranges.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    from edgesdk.quiet import captured_output

    tree = unpack_model(calibrated)
    graph = tree.subgraphs[0]
    fixed = {*map(int, graph.inputs), *map(int, graph.outputs)}
    computed = [int(operator.outputs[0]) for operator in graph.operators]
    ranged = [index for index in computed if index not in fixed and graph.tensors[index].quantization is not None]
    ranged = [index for index in ranged if graph.tensors[index].quantization.min is not None]
    with captured_output():
        interpreter = Interpreter(
            model_content=calibrated,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,  # XNNPACK keeps its own
        )
        interpreter.allocate_tensors()
    values: dict[int, list[np.ndarray]] = {index: [] for index in ranged}  # type: ignore[type-arg]
    rng = np.random.default_rng(0)
    table = value_table(image_input, np.float32, 0.0, 0)
    for photo in photos[:CLIP_IMAGES]:
        interpreter.set_tensor(int(graph.inputs[0]), to_tensor(photo, table)[None])
        interpreter.invoke()
        for index in ranged:
            flat = interpreter.get_tensor(index).reshape(-1)
            # Every so manieth value would be one channel's, where the channels divide the step.
            few = flat.size <= VALUES_A_TENSOR
            values[index].append(flat if few else flat[rng.integers(flat.size, size=VALUES_A_TENSOR)])
    for index in ranged:
        low, high = np.percentile(np.concatenate(values[index]), (CLIPPED_PERCENT, 100 - CLIPPED_PERCENT))
        quantization = graph.tensors[index].quantization
        quantization.min, quantization.max = [float(min(low, 0.0))], [float(max(high, 0.0))]
    return pack_model(tree)


def check_input(backend: Backend, image_input: ImageInput, recipe: Recipe) -> None:
    """Make sure that the input tensor is what the contract will say: type, size, and the bytes' whole range.

    Raises:
        ConversionError: if calibration did not span black to white, so that bright pixels would be cut off.
    """
    tensor = backend.input
    if tensor.shape != (1, *image_input.shape) or np.dtype(tensor.dtype).name != recipe.io:
        raise ConversionError(
            f"the converter made an input of {np.dtype(tensor.dtype).name} {tensor.shape}, expected {recipe.io} "
            f"{(1, *image_input.shape)}"
        )
    if recipe.io == "float32":
        return
    scale = 1 / image_input.std
    zero_point = image_input.mean - (128 if recipe.io == "int8" else 0)
    if abs(tensor.scale - scale) > 0.005 * scale or abs(tensor.zero_point - zero_point) > 1:
        raise ConversionError(
            f"the input is quantized with scale {tensor.scale:.6f}, zero point {tensor.zero_point}, expected "
            f"{scale:.6f} and {zero_point:g}: calibration images must span black to white"
        )
