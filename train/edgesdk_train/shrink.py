"""A learned network with fewer multiply-adds: channels taken out, the rest taught by the whole network.

In rounds: the channels that cost the answers least for each multiply-add they save are cut, wherever they are, so
layers do not shrink alike; their readers are refitted (`reconstruct`); and the network learns from the uncut one
(`distill`). Chosen on the validation photos of flowers5 and cats_dogs, 0.75-160 at half the multiply-adds.
"""

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.atomic import make_folder, write_bytes
from edgesdk.bounded import DAMAGED_ARRAYS
from edgesdk.errors import RunError
from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.progress import remark
from edgesdk_train.cut import Channels, Ids, Mask, cut, multiply_adds, trace_channels
from edgesdk_train.distill import distillation, every_channel
from edgesdk_train.loop import run_stage
from edgesdk_train.reconstruct import (
    Reader,
    Removal,
    draw_photos,
    measure_readers,
    refit,
    removable_groups,
    removal_steps,
)
from edgesdk_train.stage import Epoch, Stage
from edgesdk_train.transfer import freeze_batchnorm

# Refitting leaves little for rounds to save: cats_dogs at a quarter ended at a validation top-1 of 0.927 with one
# round of 8 epochs, 0.893 with two (2 + 6), 0.900 with four (2 + 2 + 2 + 4).
SMALLEST_ROUND = 0.25
ROUND_EPOCHS, LAST_EPOCHS = 2, 15
# With batch-norm frozen: 3e-4 first undid what refitting had won, and ended no better.
RATE, EPSILON = 1e-4, 1e-3
MULTIPLE = 8  # channels that the kernels of XNNPACK compute at once


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """A shrunk network.

    Attributes:
        model: the `tf_keras.Model`.
        macs_before, macs_after: multiply-adds of one image.
        history: of all rounds.
    """

    model: Any
    macs_before: int
    macs_after: int
    history: tuple[Epoch, ...]


def shrink(
    model: Any,
    fraction: float,
    train: Images,
    val: Images,
    image_input: ImageInput,
    folder: Path,
    *,
    seed: int = 0,
    batch: int = 32,
    flip: bool = True,
    quiet: bool = True,
) -> Shrunk:
    """Take channels out of a network that knows its classes until `fraction` of its multiply-adds is left.

    Args:
        model: a functional `tf_keras.Model` with a layer `logits` and, last, a softmax; it stays as it is.
        fraction: above 0, below 1; what is left is at most that.
        train, val: the photos the network learned from, and those that judge each epoch.
        image_input: their preprocessing.
        folder: made if missing; every cut and every epoch is kept there, and a second call goes on from them.
        seed, batch, flip: as in `Learning`.
        quiet: no progress bar.

    Raises:
        ValueError: if `fraction` is not between 0 and 1.
        RunError: if the network cannot become that small, or `folder` holds the shrinking of another network.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction is {fraction}, expected a number between 0 and 1, such as 0.5")
    origin = _digest(model, fraction, seed, len(train.labels))
    macs_before = sum(multiply_adds(model).values())
    rounds = math.ceil(math.log(fraction) / math.log(SMALLEST_ROUND) - 1e-9)
    student = model
    kept = every_channel(model)
    sample, history = draw_photos(train.pixels, seed), list[Epoch]()
    for number in range(1, rounds + 1):
        place = make_folder(folder / f"round_{number}")
        target = int(fraction ** (number / rounds) * macs_before)
        student, channels, keep = _cut_once(student, target, sample, image_input, place / "cut.npz", origin, seed)
        kept = {name: ids[keep[channels.outputs[name]]] for name, ids in kept.items()}
        freeze_batchnorm(student)
        last = number == rounds
        left = sum(multiply_adds(student).values())
        remark(f"{left / macs_before:.0%} of the multiply-adds left: learning from the whole network", quiet=quiet)
        stage = Stage(
            name="shrink" if last else f"shrink, round {number}",
            epochs=LAST_EPOCHS if last else ROUND_EPOCHS,
            rate=RATE,
            epsilon=EPSILON,
            batch=batch,
            patience=LAST_EPOCHS,
            flip=flip,
            seed=seed,
        )
        history += run_stage(
            student,
            stage,
            train,
            val,
            image_input,
            place,
            objective=distillation(student, model, kept),
            resume=True,
            quiet=quiet,
        )
    macs_after = sum(multiply_adds(student).values())
    return Shrunk(model=student, macs_before=macs_before, macs_after=macs_after, history=tuple(history))


def choose_channels(model: Any, channels: Channels, readers: list[Reader], target: int) -> Mask:
    """The channels to keep so that at most `target` multiply-adds are left.

    Again and again the group gives up the eight channels (the remainder of eight, where it is no multiple) that cost
    the logits least for each multiply-add saved.

    Raises:
        RunError: if even eight channels a layer are more.
    """
    macs = multiply_adds(model)
    axes = {name: _varying(model.get_layer(name), channels) for name in macs}

    def count(mask: Mask) -> float:
        return sum(n * math.prod(float(mask[ids].mean()) for ids in axes[name]) for name, n in macs.items())

    keep = channels.everything()
    waiting = [removal_steps(group, readers, _sizes(len(group))) for group in removable_groups(model, channels)]
    while (left := count(keep)) > target + 0.5:
        best: tuple[float, list[Removal], Mask] | None = None
        for steps in waiting:
            if steps:
                fewer = keep.copy()
                fewer[steps[0].channels] = False
                price = steps[0].cost / max(left - count(fewer), 1e-9)
                if best is None or price < best[0]:
                    best = price, steps, fewer
        if best is None:
            raise RunError(
                f"{model.name} cannot be shrunk to {target / 1e6:.3g} million multiply-adds, {left / 1e6:.3g} are left "
                f"with {MULTIPLE} channels a layer: take a larger fraction"
            )
        best[1].pop(0)
        keep = best[2]
    return keep


def _sizes(channels: int) -> range:
    """Multiples of eight below a group's size, largest first: all of them, of large groups about every 32nd part."""
    stride = MULTIPLE * max(1, channels // 256)  # V2's 1280 channels took most of its time one eight after another
    return range((channels - 1) // stride * stride, 0, -stride)


def _varying(layer: Any, channels: Channels) -> tuple[Ids, ...]:
    """The channels whose numbers a layer's multiply-adds are proportional to."""
    made = channels.outputs[layer.name]
    return (made,) if type(layer).__name__ == "DepthwiseConv2D" else (channels.inputs[layer.name], made)


def _cut_once(
    model: Any, target: int, pixels: Pixels, image_input: ImageInput, path: Path, origin: str, seed: int
) -> tuple[Any, Channels, Mask]:
    """Cut and refit, or read what an earlier call kept at `path`."""
    channels = trace_channels(model)
    if path.is_file():
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                if str(saved["origin"]) != origin:
                    raise RunError(f"{path} belongs to another network or other settings: remove {path.parent.parent}")
                smaller = cut(model, channels, saved["keep"])
                smaller.set_weights([saved[f"weight_{i}"] for i in range(len(smaller.weights))])
                return smaller, channels, saved["keep"]
        except DAMAGED_ARRAYS as error:
            raise RunError(f"{path} is damaged ({error}): remove {path.parent.parent} and start again") from error
    readers = measure_readers(model, channels, pixels, image_input, seed=seed)
    keep = choose_channels(model, channels, readers, target)
    smaller = cut(model, channels, keep)
    refit(smaller, channels, keep, readers)
    buffer = io.BytesIO()
    arrays = {f"weight_{i}": array for i, array in enumerate(smaller.get_weights())}
    np.savez(buffer, origin=np.array(origin), keep=keep, **arrays)
    write_bytes(path, buffer.getvalue())
    return smaller, channels, keep


def _digest(model: Any, *settings: object) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()
