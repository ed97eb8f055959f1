"""How a compressor learns: bits and error at once, at every quality.

The rate is what an entropy coder with the contexts of `edgesdk.codecs.context` would need, written so that it has a
gradient: uniform noise in place of rounding (Balle 2017, arXiv 1611.01704), rounded values on the way to the decoder
(D. Minnen and S. Singh, Channel-wise Autoregressive Entropy Models, arXiv 2007.08739), and a Laplace distribution whose
scale is a linear function of the magnitudes around. Because the quantization step is always 1, one weight of the error
serves every quality.
"""

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.atomic import write_bytes
from edgesdk.bounded import DAMAGED_ARRAYS
from edgesdk.contract import Source, decode_value
from edgesdk.errors import RunError
from edgesdk.preprocess import Pixels
from edgesdk.progress import progress, remark
from edgesdk.runfolder import CODEC_CHECKPOINT_FILE, require_same
from edgesdk_train.models.compressor import Compressor, int8
from edgesdk_train.models.thumbnail import Thumbnail

CHECKPOINT_STEPS = 100
PRIOR_RATE = 2e-2
PREDICTED = 3  # channels whose value is predicted from their neighbours: the averages of three colours


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """How long and on what a compressor learns.

    Attributes:
        steps: of the optimizer.
        batch: crops a step.
        side: of a crop, in pixels.
        rate: Adam's largest learning rate; a warm-up, then a cosine to zero.
        gains: the lowest and highest contrast that is practised, drawn evenly in the logarithm.
        seed: of crops, gains and noise.
    """

    steps: int
    batch: int
    side: int
    rate: float
    gains: tuple[float, float]
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What a codec's learning was begun with, and what it has shown: all that its checkpoint says beside the numbers.

    Attributes:
        source: the photos or the video, and whose weights.
        size: (height, width) of one tile.
        history: see `learn_compression`.
    """

    lesson: Lesson
    source: Source
    size: tuple[int, int]
    history: tuple[dict[str, float], ...] = ()


class Prior(tf.Module):  # type: ignore[misc]
    """How many bits a code takes, differentiable; its contexts are those that the coder has, in one pass."""

    def __init__(self, latents: int) -> None:
        super().__init__(name="prior")
        n = latents
        below = np.triu(np.ones((n, n), np.float32), 1)  # a channel is told of those before it
        self._below = tf.constant(below)
        start = np.linspace(1.5, -2.5, n).astype(np.float32)
        self.base = tf.Variable(start, name="base")
        self.slope = tf.Variable(np.ones(n, np.float32), name="slope")
        self.here = tf.Variable(np.full((n, n), -6.0, np.float32), name="here")
        self.around = tf.Variable(np.full((n, n), -7.0, np.float32), name="around")
        self.beside = tf.Variable(np.full(n, -3.0, np.float32), name="beside")

    def bits(self, noisy: Any, rounded: Any, gain: Any) -> Any:
        """Bits of each value of a code.

        Args:
            noisy, rounded: the code [b, h, w, latents] with noise and in whole numbers.
            gain: [b, 1, 1, 1].
        """
        smooth = _average(rounded[..., :PREDICTED], corners=False)
        noisy = tf.concat([noisy[..., :PREDICTED] - smooth, noisy[..., PREDICTED:]], -1)
        large = tf.abs(tf.concat([rounded[..., :PREDICTED] - smooth, rounded[..., PREDICTED:]], -1))
        near = _average(large, corners=True)
        scale = tf.exp(self.base + self.slope * tf.math.log(gain))
        scale += tf.einsum("bhwc,cd->bhwd", large, tf.exp(self.here) * self._below)
        scale += tf.einsum("bhwc,cd->bhwd", near, tf.exp(self.around) * self._below)
        shape = tf.shape(large)
        odd = tf.cast((tf.range(shape[1])[:, None] + tf.range(shape[2])) % 2, tf.float32)[..., None]
        scale += odd * _average(large, corners=False) * tf.exp(self.beside)
        likely = 0.93 * _laplace(noisy, scale) + 0.07 * _laplace(noisy, 3 * scale + 0.2)
        return -tf.math.log(likely + 1e-9) / np.float32(np.log(2))


def _laplace(values: Any, scale: Any) -> Any:
    """Probability that a Laplace variable of this mean magnitude falls within half a step of each value."""
    scale = tf.maximum(scale, 0.02)
    low, high = tf.abs(values) - 0.5, tf.abs(values) + 0.5
    inside = 1 - 0.5 * tf.exp(tf.minimum(low, 0.0) / scale) - 0.5 * tf.exp(-high / scale)
    outside = 0.5 * (tf.exp(-tf.maximum(low, 0.0) / scale) - tf.exp(-high / scale))
    return tf.where(low < 0, inside, outside)


def _average(values: Any, *, corners: bool) -> Any:
    """The mean of the four neighbours of each position, or of all eight."""
    wide = tf.pad(values, ((0, 0), (1, 1), (1, 1), (0, 0)), "SYMMETRIC")
    sides = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    if not corners:
        return sides / 4
    return (sides + wide[:, :-2, :-2] + wide[:, :-2, 2:] + wide[:, 2:, :-2] + wide[:, 2:, 2:]) / 8


def judge(model: Compressor | Thumbnail, prior: Prior, pixels: Pixels, gain: float) -> tuple[float, float]:
    """Estimated bits a pixel and PSNR in dB at one quality.

    Args:
        pixels: uint8 [n, side, side, 3], held out.
    """
    bits, squared = [], []
    for crop in pixels:
        rate, error = _look(model, prior, tf.constant(crop[None]), tf.constant(np.full((1, 1, 1, 1), gain, np.float32)))
        bits.append(float(rate))
        squared.append(float(error))
    return float(np.mean(bits)), float(np.mean(10 * np.log10(255**2 / (np.array(squared) / gain**2 + 1e-9))))


@tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
def _look(model: Compressor | Thumbnail, prior: Prior, pixels: Any, gain: Any) -> tuple[Any, Any]:
    values = (tf.cast(pixels, tf.float32) - 128) * gain
    rounded = int8(encode_mirrored(model, values))
    rate = tf.reduce_mean(tf.reduce_sum(prior.bits(rounded, rounded, gain), -1)) / model.shape.block**2
    return rate, tf.reduce_mean((decode_mirrored(model, rounded) - values) ** 2)


def encode_mirrored(model: Compressor | Thumbnail, values: Any) -> Any:
    """The code of whole pictures, mirrored beyond their borders as the device does it."""
    margin = model.shape.encoder_margin * model.shape.block
    return model.encode(tf.pad(values, ((0, 0), (margin, margin), (margin, margin), (0, 0)), "SYMMETRIC"))


def decode_mirrored(model: Compressor | Thumbnail, code: Any) -> Any:
    """The way back: the code of a mirrored picture is mirrored, and turned over in some channels."""
    margin = model.shape.decoder_margin
    if isinstance(model, Thumbnail):
        return model.decode(code)
    down, across = model.parity[0], model.parity[1]
    first, last = code[:, margin - 1 :: -1] * down, code[:, : -margin - 1 : -1] * down
    code = tf.concat([first, code, last], 1)
    first, last = code[:, :, margin - 1 :: -1] * across, code[:, :, : -margin - 1 : -1] * across
    return model.decode(tf.concat([first, code, last], 2))


def learn_compression(
    model: Compressor | Thumbnail,
    prior: Prior,
    begun: Begun,
    draw: Callable[[np.random.Generator], Pixels],
    held_out: Pixels,
    folder: Path,
    *,
    source: str = "",
    resume: bool = False,
    quiet: bool = True,
) -> list[dict[str, float]]:
    """Train both in place; what is random in a step depends on the lesson's seed and the step's number alone.

    Args:
        begun: what it begins with; a checkpoint of anything else is not resumed.
        draw: gives one crop, uint8 [side, side, 3], RGB.
        held_out: uint8 [n, side, side, 3], judged now and then.
        folder: where the checkpoint lies; it is replaced in one step.
        source: what is learned from, which a resumed lesson must have in common with the one that it resumes.
        resume: go on from it.

    Returns:
        What the progress showed: {step, gain, bits_per_pixel, psnr_db}.

    Raises:
        RunError: on `resume`, if the checkpoint is damaged or of other settings or photos.
    """
    lesson = begun.lesson
    # What a squared grey level is worth in bits where a step of that size is the right one: dD/dR of a fine quantizer.
    error_weight = 6 / (np.log(2) * model.shape.step**2)
    optimizers = [keras.optimizers.Adam(_schedule(lesson, rate)) for rate in (lesson.rate, PRIOR_RATE)]
    parts = (model.trainable_variables, prior.trainable_variables)
    for optimizer, variables in zip(optimizers, parts, strict=True):
        optimizer.build(variables)
    kept = [*parts[0], *parts[1], *(variable for optimizer in optimizers for variable in optimizer.variables)]
    done = 0
    if resume and (folder / CODEC_CHECKPOINT_FILE).is_file():
        begun = replace(begun, history=_load(folder, begun, kept))
        done = int(optimizers[0].iterations.numpy())

    @tf.function  # type: ignore[untyped-decorator]
    def step(pixels: Any, gain: Any, seed: Any) -> tuple[Any, Any]:
        values = (tf.cast(pixels, tf.float32) - 128) * gain
        with tf.GradientTape(persistent=True) as tape:
            code = encode_mirrored(model, values)
            rounded = int8(code)
            noisy = code + tf.random.stateless_uniform(tf.shape(code), seed, -0.5, 0.5)
            rate = tf.reduce_mean(tf.reduce_sum(prior.bits(noisy, rounded, gain), -1)) / model.shape.block**2
            error = tf.reduce_mean((decode_mirrored(model, rounded) - values) ** 2)
            loss = rate + 3 * error_weight * error
        for optimizer, variables in zip(optimizers, parts, strict=True):
            gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), 1.0)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return rate, error

    history = list(begun.history)
    note = ""
    with progress("compressing", lesson.steps, quiet=quiet) as advance, ThreadPoolExecutor(1) as ahead:
        advance(done, "")
        for index, (pixels, gain) in enumerate(_batches(lesson, done, draw, ahead), done + 1):
            step(tf.constant(pixels), tf.constant(gain), tf.constant([lesson.seed, index], tf.int32))
            if index % CHECKPOINT_STEPS == 0 or index == lesson.steps:
                for level in (0.35, 1.0):
                    rate, psnr = judge(model, prior, held_out, level)
                    history.append({"step": index, "gain": level, "bits_per_pixel": rate, "psnr_db": psnr})
                note = ", ".join(f"{h['bits_per_pixel']:.2f} bit/pixel {h['psnr_db']:.1f} dB" for h in history[-2:])
                remark(f"step {index} of {lesson.steps}: {note}", quiet=quiet)
                _save(folder / CODEC_CHECKPOINT_FILE, replace(begun, history=tuple(history)), kept)
            advance(1, note)
    return history


def _schedule(lesson: Lesson, rate: float) -> Any:
    warmup = min(100, lesson.steps // 4)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0, decay_steps=lesson.steps - warmup, warmup_target=rate, warmup_steps=warmup
    )


def _batches(
    lesson: Lesson, done: int, draw: Callable[[np.random.Generator], Pixels], ahead: ThreadPoolExecutor
) -> Iterator[tuple[Pixels, npt.NDArray[np.float32]]]:
    """Each batch is prepared while the one before is learned; it depends on the seed and its number alone."""
    low, high = np.log(lesson.gains)

    def prepare(index: int) -> tuple[Pixels, npt.NDArray[np.float32]]:
        rng = np.random.default_rng([lesson.seed, index])
        gain = np.exp(rng.uniform(low, high, (lesson.batch, 1, 1, 1))).astype(np.float32)
        return np.stack([draw(rng) for _ in range(lesson.batch)]), gain

    upcoming = ahead.submit(prepare, done)
    for index in range(done, lesson.steps):
        batch = upcoming.result()
        if index + 1 < lesson.steps:
            upcoming = ahead.submit(prepare, index + 1)
        yield batch


def _save(path: Path, begun: Begun, variables: list[Any]) -> None:
    file = io.BytesIO()
    numbers = {f"v{i}": variable.numpy() for i, variable in enumerate(variables)}
    np.savez(file, begun=np.array(json.dumps(asdict(begun))), **numbers)
    write_bytes(path, file.getvalue())


def _load(folder: Path, planned: Begun, variables: list[Any]) -> tuple[dict[str, float], ...]:
    """Give the variables their values; the rows that were shown before."""
    path = folder / CODEC_CHECKPOINT_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            found: Begun = decode_value(Begun, json.loads(str(saved["begun"])), "begun")
            require_same(folder, found, planned, ("lesson", "source", "size"))
            for i, variable in enumerate(variables):
                variable.assign(saved[f"v{i}"])
    except DAMAGED_ARRAYS as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{path} is damaged or of another network ({reason}): learn into another folder") from error
    return found.history
