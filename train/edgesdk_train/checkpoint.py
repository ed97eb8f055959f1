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
from edgesdk_train.stage import Epoch, Progress, Stage

CHECKPOINT_FILE = "checkpoint.npz"


def save_checkpoint(path: Path, state: Progress, weights: list[Any], best: list[Any], optimizer: Any) -> None:
    """Write the state, the weights as they are, the best epoch's, and the optimizer's numbers."""
    arrays = {f"weight_{i}": array for i, array in enumerate(weights)}
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
            data = json.loads(str(saved["state"]))
            if (found := decode_value(Stage, data["stage"], "stage")) != stage:
                raise RunError(f"{path} was made with other settings: {asdict(found)}, now {asdict(stage)}")
            weights = [saved[f"weight_{i}"] for i in range(len(model.weights))]
            best = [saved[f"best_{i}"] for i in range(len(model.weights))]
            model.set_weights(weights)
            for i, variable in enumerate(optimizer.variables):
                variable.assign(saved[f"optimizer_{i}"])
        state = Progress(
            history=tuple(Epoch(**row) for row in data["history"]),
            best_loss=data["best_loss"],
            stage=stage,
            epochs=data["epochs"],
            seconds=data["seconds"],
        )
    except DAMAGED_ARRAYS as error:
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{path} is damaged ({reason}): delete it and start the run again") from error
    return state, best
