"""The learning between two steps, kept on disk so that it is done once."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

from edgesdk.atomic import make_folder, write_bytes
from edgesdk.bounded import DAMAGED_ARRAYS
from edgesdk.errors import RunError
from edgesdk.preprocess import ImageInput
from edgesdk_convert.compress import Lesson
from edgesdk_train.checkpoint import CHECKPOINT_FILE
from edgesdk_train.distill import distillation, every_channel
from edgesdk_train.loop import run_stage
from edgesdk_train.stage import Stage
from edgesdk_train.transfer import freeze_batchnorm

LEARNED_FILE = "learned.npz"
HASHED_TOGETHER = 64  # photos


def copied(model: Any, weights: Any = None) -> Any:
    """A model of the same layers, each with one input of its own, and the same (or the given) weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights() if weights is None else weights)
    return copy


def wrapped(model: Any, chosen: Callable[[Any], bool], wrap: Callable[[Any], Any]) -> Any:
    """A copy of a model in which `wrap` got each layer that is `chosen`."""
    copy = copied(model)

    def clone(layer: Any) -> Any:
        return wrap(layer) if chosen(layer) else type(layer).from_config(layer.get_config())

    made = keras.models.clone_model(copy, clone_function=clone)
    for before, after in zip(copy.layers, made.layers, strict=True):
        if not chosen(before):
            after.set_weights(before.get_weights())
    return made


def finetune(
    model: Any,
    name: str,
    parent: Any,
    image_input: ImageInput,
    lesson: Lesson,
    *,
    epochs: int,
    rate: float,
    features: bool = False,
    after_step: Callable[[], None] | None = None,
    quiet: bool,
) -> None:
    """Teach a wrapped model in place, or give it the weights that an earlier call taught it.

    It learns from its parent's answers, batch-norm frozen.

    Args:
        model: what learns.
        name: of the step, such as "prune 0.8".
        parent: the model before the step; other weights there are another lesson.
        epochs, rate: see `Stage`; the lesson's own epochs come first.
        features: it learns what the parent's convolutions compute too; for a model of the same layers.
        after_step: called after each step of the optimizer.

    Raises:
        RunError: if what an earlier call kept is damaged.
    """
    freeze_batchnorm(model)
    how = stage(name, lesson, epochs=epochs, rate=rate)
    folder = lesson_folder(name, parent, image_input, lesson, how)
    kept = folder / LEARNED_FILE
    if kept.is_file():
        try:
            with kept.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                model.set_weights([saved[f"weight_{i}"] for i in range(len(model.weights))])
        except DAMAGED_ARRAYS as error:
            raise RunError(f"{kept} is damaged ({error}): remove {folder} and convert again") from error
        return
    run_stage(
        model,
        how,
        lesson.train,
        lesson.val,
        image_input,
        make_folder(folder),
        objective=distillation(model, parent, every_channel(parent) if features else {}),
        resume=True,
        quiet=quiet,
        after_step=after_step,
    )
    buffer = io.BytesIO()
    np.savez(buffer, **{f"weight_{i}": array for i, array in enumerate(model.get_weights())})
    write_bytes(kept, buffer.getvalue())
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def stage(name: str, lesson: Lesson, *, epochs: int, rate: float) -> Stage:
    """A step's settings for the loop."""
    return Stage(
        name=name,
        epochs=epochs,
        rate=rate,
        epsilon=1e-7,
        batch=lesson.batch,
        patience=epochs,
        flip=lesson.flip,
        seed=lesson.seed,
    )


def lesson_folder(name: str, parent: Any, image_input: ImageInput, lesson: Lesson, how: Stage | None = None) -> Path:
    """Where a step's learning is kept: another network, other photos or settings have another folder."""
    digest = hashlib.sha256(repr((how, image_input, lesson.seed, lesson.batch, lesson.flip)).encode())
    for array in (*parent.get_weights(), lesson.train.labels, lesson.val.labels):
        digest.update(array.tobytes())
    for pixels in (lesson.train.pixels, lesson.val.pixels):
        for start in range(0, len(pixels), HASHED_TOGETHER):  # all at once may be more than memory holds
            digest.update(pixels[start : start + HASHED_TOGETHER].tobytes())
    return lesson.folder / f"{name.replace(' ', '-')}-{digest.hexdigest()[:12]}"
