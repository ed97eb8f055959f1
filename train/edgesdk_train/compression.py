"""From photos, or a camera's video, to a learned codec: network and tables."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk import modelfile
from edgesdk.atomic import make_folder
from edgesdk.codecs.context import Code, Tables
from edgesdk.codecs.part import QUALITIES, gain_of, level_of
from edgesdk.contract import Source
from edgesdk.errors import DataError, WeightsError
from edgesdk.flatbuffer import unpack_model
from edgesdk.photos.data import read_photos
from edgesdk.preprocess import Pixels
from edgesdk_train.codetables import Example, fit_tables
from edgesdk_train.crops import cropper, hold_out, read_pool
from edgesdk_train.models.compressor import PAPER, Compressor, Shape, int8, principal_components, reorder
from edgesdk_train.models.thumbnail import Thumbnail, ThumbnailShape, begin_thumbnail, reorder_thumbnail
from edgesdk_train.ratedistortion import PREDICTED, Begun, Lesson, Prior, encode_mirrored, learn_compression

LEVELS = 5
EXAMPLES, EXAMPLE_PLACES = 300, 60_000  # codes that the tables are fitted to; more where they are small
HELD_OUT_CROPS = 24
CAMERA_STEP = 30.0  # at contrast 1: a low contrast instead would round small differences away
LEARNED_SHARE = 0.6  # of a video's frames, the first ones
MOST_FRAMES = 600
THUMBNAIL_SIDE = 64


@dataclass(frozen=True, kw_only=True)
class LearnedCodec:
    """What export needs.

    Attributes:
        model: the network.
        tables: of its entropy coder.
        source: what it learned from.
        size: (height, width) of one tile of pixels, without margins.
        lowest_gain: contrast of quality 1.
        background: base64 of a PNG; "" unless it learned a camera.
        history: rows of what was seen on the way; see `learn_compression`.
    """

    model: Compressor | Thumbnail
    tables: Tables
    source: Source
    size: tuple[int, int]
    lowest_gain: float
    background: str
    history: list[dict[str, float]]


def learn_photos(
    data: Path | str, folder: Path, lesson: Lesson, *, init_from: Path | None, resume: bool, quiet: bool
) -> LearnedCodec:
    """A codec for photos of any size.

    Args:
        data: a folder of photos; every twentieth is held out.
        folder: where the checkpoint lies meanwhile.
        init_from: folder of a codec to go on from; None: principal components.

    Raises:
        DataError: if the photos are missing or too few.
    """
    dataset = read_photos(data)
    learned_from, judged = hold_out(read_pool(dataset.photos))
    draw = cropper(learned_from, lesson.side)
    if init_from is None:
        model = Compressor(Shape(), principal_components(_numbered(draw), Shape()), lesson.seed)
    else:
        model = load_compressor(init_from, Shape())
    held_out = _draw_many(cropper(judged, lesson.side), HELD_OUT_CROPS)
    source = Source(
        paper=PAPER,
        weights="none" if init_from is None else init_from.name,
        trained=True,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
    )
    return _learn(model, lesson, draw, held_out, folder, source, (256, 256), "", resume=resume, quiet=quiet)


def learn_thumbnails(data: Path | str, folder: Path, lesson: Lesson, *, resume: bool, quiet: bool) -> LearnedCodec:
    """A codec for whole photos brought to 64x64 pixels; arguments and errors as `learn_photos`."""
    dataset = read_photos(data)
    photos = read_pool(dataset.photos, smallest_side=3 * THUMBNAIL_SIDE // 2)
    learned_from, judged = hold_out(photos)
    draw = cropper(learned_from, THUMBNAIL_SIDE, whole=True)
    model = begin_thumbnail(_numbered(draw), ThumbnailShape(), seed=lesson.seed)
    held_out = _draw_many(cropper(judged, THUMBNAIL_SIDE, whole=True), 4 * HELD_OUT_CROPS)
    source = Source(paper=PAPER, trained=True, dataset=dataset.name, fingerprint=dataset.fingerprint)
    size = THUMBNAIL_SIDE, THUMBNAIL_SIDE
    return _learn(model, lesson, draw, held_out, folder, source, size, "", resume=resume, quiet=quiet)


def learn_camera(
    video: Path | str, width: int, folder: Path, lesson: Lesson, *, init_from: Path, resume: bool, quiet: bool
) -> LearnedCodec:
    """A codec for one fixed camera: half of each frame's difference from the background.

    Args:
        video: of the camera; its first 60 % is learned from, the rest judged on.
        width: of the frames to code; their height keeps the shape, as a multiple of 16.
        init_from: folder of the codec to go on from.

    Raises:
        DataError: if the video cannot be read or has fewer than 20 frames.
    """
    import cv2

    frames = read_frames(video, width)
    cut = int(len(frames) * LEARNED_SHARE)
    background = np.median(frames[:cut][:: max(1, cut // 60)], 0).astype(np.uint8)
    halves = ((frames.astype(np.int16) - background + 256) >> 1).astype(np.uint8)

    def draw(rng: np.random.Generator) -> Pixels:
        frame = halves[int(rng.integers(cut))]
        return np.ascontiguousarray(frame[:, ::-1] if rng.random() < 0.5 else frame)

    model = load_compressor(init_from, replace(Shape(), step=CAMERA_STEP))
    held_out = halves[cut :: max(1, (len(halves) - cut) // HELD_OUT_CROPS)]
    encoded, png = cv2.imencode(".png", background[..., ::-1])
    assert encoded
    source = Source(
        paper=PAPER,
        weights=init_from.name,
        trained=True,
        dataset=Path(video).name,
        fingerprint=hashlib.sha256(frames.data).hexdigest(),
    )
    return _learn(
        model,
        lesson,
        draw,
        held_out,
        folder,
        source,
        (frames.shape[1], frames.shape[2]),
        base64.b64encode(png.tobytes()).decode(),
        resume=resume,
        quiet=quiet,
    )


def read_frames(video: Path | str, width: int) -> Pixels:
    """At most 600 frames of a video, evenly spaced, RGB: uint8 [n, height, width, 3].

    Raises:
        DataError: if it cannot be read or has fewer than 20 frames.
    """
    import cv2

    if width % 16 or not 64 <= width <= 1024:
        raise ValueError(f"the frames' width is {width}, expected a multiple of 16 from 64 to 1024, such as 320")
    capture = cv2.VideoCapture(str(video))
    every = max(1, -(-int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) // MOST_FRAMES))
    frames: list[Pixels] = []
    index = 0
    while capture.grab():
        if len(frames) == 2 * MOST_FRAMES:  # it has more than it says, or does not say
            frames, every = frames[::2], 2 * every
        if index % every == 0:
            found, frame = capture.retrieve()
            if found:
                height = max(64, round(frame.shape[0] * width / frame.shape[1] / 16) * 16)
                small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
                frames.append(np.asarray(small[..., ::-1], np.uint8))
        index += 1
    capture.release()
    if len(frames) < 20:
        raise DataError(f"{video} gave {len(frames)} frames, expected a video of at least 20 that OpenCV reads")
    return np.stack(frames[:: -(-len(frames) // MOST_FRAMES)])


def load_compressor(folder: Path, shape: Shape) -> Compressor:
    """The network of a codec's two files: their int8 weights are exactly what it had when it was exported.

    Raises:
        ModelFileError: if a file is missing or damaged.
        WeightsError: if its layers are of other sizes than `shape`'s.
    """
    model = Compressor(shape, np.zeros((shape.pixels, shape.latents), np.float32))
    step = np.float32(Shape().step)
    layers = _read_layers(folder / "encoder.tflite") + _read_layers(folder / "decoder.tflite")
    targets = [
        (model.inner, model.inner_bias),
        (model.code, model.code_bias),
        *zip(model.outer, model.outer_biases, strict=True),
        (model.picture, model.picture_bias),
    ]
    if [weights.shape for weights, _ in layers] != [tuple(weights.shape) for weights, _ in targets]:
        raise WeightsError(f"{folder} holds a codec of other sizes: expected one of --arch compressor")
    part = modelfile.read(folder / "encoder.tflite").required_contract().codec
    assert part is not None
    model.parity.assign(part.mirrored.astype(np.float32))
    n = shape.latents
    for index, ((weights, bias), (kernel, offset)) in enumerate(zip(targets, layers, strict=True)):
        scale = np.ones(kernel.shape[2:], np.float32)
        if index == 1:
            scale *= step
        elif index == 2:
            scale /= 4
        elif index == len(targets) - 1:
            scale[:n] /= step
        weights.assign(kernel * scale)
        bias.assign(offset)
    return model


def _read_layers(path: Path) -> list[tuple[Any, Any]]:
    """(weights [h, w, in, out], bias [out]) of each convolution of an int8 file, in order."""
    tree = unpack_model(modelfile.read(path).content)
    graph, layers = tree.subgraphs[0], []
    for operator in graph.operators:
        if len(operator.inputs) == 3:
            kernel, offset = (graph.tensors[int(index)] for index in operator.inputs[1:])
            data = np.asarray(tree.buffers[kernel.buffer].data, np.uint8).view(np.int8).reshape(kernel.shape)
            scale = np.asarray(kernel.quantization.scale, np.float32)
            bias = np.asarray(tree.buffers[offset.buffer].data, np.uint8).view(np.int32)
            bias_scale = np.asarray(offset.quantization.scale, np.float32)
            layers.append(((data.transpose(1, 2, 3, 0) * scale).astype(np.float32), (bias * bias_scale)))
    return layers


def _learn(
    model: Compressor | Thumbnail,
    lesson: Lesson,
    draw: Callable[[np.random.Generator], Pixels],
    held_out: Pixels,
    folder: Path,
    source: Source,
    size: tuple[int, int],
    background: str,
    *,
    resume: bool,
    quiet: bool,
) -> LearnedCodec:
    make_folder(folder)
    prior = Prior(model.shape.latents)
    begun = Begun(lesson=lesson, source=source, size=size)
    history = learn_compression(model, prior, begun, draw, held_out, folder, resume=resume, quiet=quiet)
    tables = tables_of(model, draw, lesson.gains[0], seed=lesson.seed)
    return LearnedCodec(
        model=model,
        tables=tables,
        source=source,
        size=size,
        lowest_gain=lesson.gains[0],
        background=background,
        history=history,
    )


def tables_of(
    model: Compressor | Thumbnail, draw: Callable[[np.random.Generator], Pixels], lowest_gain: float, *, seed: int = 0
) -> Tables:
    """Put the model's channels into the order of their magnitudes, and fit the coder's tables to its codes."""
    rng = np.random.default_rng([seed, 1])
    examples: list[Example] = []
    while len(examples) < EXAMPLES or len(examples) * examples[0].code[..., 0].size < EXAMPLE_PLACES:
        quality = int(rng.integers(1, QUALITIES + 1))
        values = (draw(rng)[None].astype(np.float32) - 128) * np.float32(gain_of(quality, lowest_gain))
        code = int8(encode_mirrored(model, int8(values))).numpy()[0].astype(np.int8)
        examples.append(Example(code=code, level=level_of(quality, LEVELS)))
    order = _order([example.code for example in examples])
    if isinstance(model, Thumbnail):
        reorder_thumbnail(model, order)
    else:
        reorder(model, order)
    ordered = [replace(example, code=np.ascontiguousarray(example.code[..., order])) for example in examples]
    return fit_tables(ordered, predicted=PREDICTED, levels=LEVELS, seed=seed)


def _order(codes: list[Code]) -> npt.NDArray[np.intp]:
    """The channels that their neighbours tell most of, then the others by magnitude."""
    size, saved = np.zeros(codes[0].shape[2]), np.zeros(codes[0].shape[2])
    for code in codes:
        values = code.astype(np.float32)
        inside = values[1:-1, 1:-1]
        near = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
        size += np.abs(values).mean((0, 1))
        saved += (np.abs(inside) - np.abs(inside - np.rint(near / 4))).mean((0, 1))
    by_size = np.argsort(-size, kind="stable")
    predicted = np.argsort(-saved, kind="stable")[:PREDICTED]
    return np.concatenate([predicted, by_size[~np.isin(by_size, predicted)]])


def _numbered(draw: Callable[[np.random.Generator], Pixels]) -> Callable[[int], Pixels]:
    return lambda index: draw(np.random.default_rng([7, index]))


def _draw_many(draw: Callable[[np.random.Generator], Pixels], n: int) -> Pixels:
    return np.stack([draw(np.random.default_rng([9, index])) for index in range(n)])
