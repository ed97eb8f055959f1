"""Learning without labels, epoch after epoch, from a checkpoint that any kill leaves whole."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgesdk.atomic import write_bytes
from edgesdk.bounded import DAMAGED_ARRAYS
from edgesdk.errors import RunError
from edgesdk.generation import Generation
from edgesdk.preprocess import ImageInput, Pixels, to_tensor, value_table
from edgesdk.progress import progress
from edgesdk_train.checkpoint import CHECKPOINT_FILE

#: One line of history.csv: name -> value, "epoch" first.
Row = dict[str, float]
Steps = dict[str, npt.NDArray[np.float32]]


class Learner(Protocol):
    """Networks that learn together, and how."""

    @property
    def variables(self) -> list[Any]:
        """Everything that decides how learning goes on: weights, statistics, the optimizers' memory."""

    def begin(self) -> None:
        """Called once before the first epoch, a resumed one too, with the weights as they then are."""

    def step(self, values: Any, seed: Any) -> dict[str, Any]:
        """Learn from one batch, float32 [batch, h, w, c], with a seed int32 [2]; name -> what is shown of it."""

    def judge(self, steps: Steps, val: Pixels) -> Row:
        """What an epoch's line says, from the values of its steps and the validation pictures."""

    def note(self, row: Row) -> str:
        """A few words for the progress bar."""


def learn_epochs(
    learner: Learner,
    generation: Generation,
    train: Pixels,
    val: Pixels,
    image_input: ImageInput,
    folder: Path,
    *,
    title: str,
    resume: bool,
    quiet: bool,
    after_epoch: Callable[[Sequence[Row]], None] = lambda rows: None,
) -> tuple[Row, ...]:
    """Let `learner` learn `generation.epochs` times from all of `train`; a line for each epoch.

    The checkpoint is replaced in one step after each epoch, and what is random in an epoch depends on the seed and its
    number alone: resumed learning goes on as uninterrupted learning would have.

    Args:
        train, val: uint8 [n, h, w, c].
        title: of the progress bar.
        after_epoch: is shown all lines so far.

    Raises:
        RunError: on `resume`, if the checkpoint is damaged.
    """
    assert generation.epochs is not None
    path, rows = folder / CHECKPOINT_FILE, []
    if resume and path.is_file():
        rows = _load_checkpoint(path, learner)
    learner.begin()
    batch = min(generation.batch, len(train))
    steps = len(train) // batch
    table = value_table(image_input, np.float32, 0.0, 0)
    with progress(title, generation.epochs * steps, quiet=quiet) as advance:
        advance(len(rows) * steps, "")
        for epoch in range(len(rows), generation.epochs):
            order = np.random.default_rng([generation.seed, epoch]).permutation(len(train))
            seen: dict[str, list[float]] = {}
            for index in range(steps):  # what is left over waits for another order: batch-norm wants whole batches
                values = to_tensor(train[order[index * batch : (index + 1) * batch]], table)
                seed = tf.constant([generation.seed, epoch * steps + index], tf.int32)
                for name, value in learner.step(tf.constant(values), seed).items():
                    seen.setdefault(name, []).append(float(value))
                advance(1, learner.note(rows[-1]) if rows else "")
            whole = {name: np.array(values, np.float32) for name, values in seen.items()}
            rows.append({"epoch": epoch + 1.0} | learner.judge(whole, val))
            _save_checkpoint(path, learner, rows)
            after_epoch(rows)
    return tuple(rows)


def unit_codes(seed: int, n: int, latent: int) -> npt.NDArray[np.float32]:
    """Codes drawn from a unit Gaussian, [n, 1, 1, latent], at the steps and within the reach of the decoder's bytes."""
    drawn = np.random.default_rng(seed).standard_normal((n, 1, 1, latent))
    codes: npt.NDArray[np.float32] = (np.round(drawn * 32).clip(-128, 127) / 32).astype(np.float32)
    return codes


def _save_checkpoint(path: Path, learner: Learner, rows: Sequence[Row]) -> None:
    arrays = {f"variable_{i}": variable.numpy() for i, variable in enumerate(learner.variables)}
    buffer = io.BytesIO()
    np.savez(buffer, rows=np.array(json.dumps(rows)), **arrays)
    write_bytes(path, buffer.getvalue())


def _load_checkpoint(path: Path, learner: Learner) -> list[Row]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            rows: list[Row] = json.loads(str(saved["rows"]))
            for i, variable in enumerate(learner.variables):
                variable.assign(saved[f"variable_{i}"])
    except DAMAGED_ARRAYS as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{path} is damaged ({reason}): delete it and start the run again") from error
    return rows
