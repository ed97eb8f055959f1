"""Where learning stands, on disk: replaced in one step, so that any kill leaves a whole one."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.atomic import write_bytes
from edgesdk.bounded import DAMAGED_ARRAYS
from edgesdk.contract import decode_value
from edgesdk.errors import RunError
from edgesdk.runfolder import first_difference
from edgesdk_train.stage import Epoch, Progress, Stage

CHECKPOINT_FILE = "checkpoint.npz"


def save_checkpoint(path: Path, state: Progress, weights: list[Any], best: list[Any], optimizer: Any) -> None:
    """Write the state, the weights and, once there was an epoch, those of the best one and the optimizer's numbers."""
    arrays = {f"weight_{i}": array for i, array in enumerate(weights)}
    if state.history:
        arrays |= {f"best_{i}": array for i, array in enumerate(best)}
        arrays |= {f"optimizer_{i}": variable.numpy() for i, variable in enumerate(optimizer.variables)}
    buffer = io.BytesIO()
    np.savez(buffer, state=np.array(json.dumps(asdict(state))), **arrays)
    write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, stage: Stage, model: Any, optimizer: Any) -> tuple[Progress, list[Any]]:
    """(the state, the best epoch's weights); the model and the optimizer get theirs.

    Raises:
        RunError: if it is damaged or of other settings.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            state = _progress(saved)
            if state.stage is not None and state.stage != stage:
                differs = first_difference("stage", state.stage, stage)
                raise RunError(f"{path} was made with {differs}: delete it and start the run again")
            weights = [saved[f"weight_{i}"] for i in range(len(model.weights))]
            model.set_weights(weights)
            if not state.history:
                return state, weights
            best = [saved[f"best_{i}"] for i in range(len(model.weights))]
            for i, variable in enumerate(optimizer.variables):
                variable.assign(saved[f"optimizer_{i}"])
    except DAMAGED_ARRAYS as error:
        raise _damaged(path, error) from error
    return state, best


def read_progress(path: Path) -> Progress:
    """The state alone.

    Raises:
        RunError: if it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return _progress(saved)
    except DAMAGED_ARRAYS as error:
        raise _damaged(path, error) from error


def _progress(saved: Any) -> Progress:
    data = json.loads(str(saved["state"]))
    return Progress(
        before=tuple(Epoch(**row) for row in data["before"]),
        history=tuple(Epoch(**row) for row in data["history"]),
        best_loss=data["best_loss"],
        stage=decode_value(Stage, data["stage"], "stage"),
        epochs=data["epochs"],
        seconds=data["seconds"],
    )


def _damaged(path: Path, error: Exception) -> RunError:
    reason = " ".join(str(error).split())[:200]
    return RunError(f"{path} is damaged ({reason}): delete it and start the run again")
