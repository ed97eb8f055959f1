"""Keras models as files, whole or not there."""

import tempfile
from pathlib import Path
from typing import Any

from edgesdk.atomic import write_bytes
from edgesdk.errors import RunError
from edgesdk.quiet import captured_output


def save_model(model: Any, path: Path) -> None:
    """Write a `tf_keras.Model` as a .keras file; Keras picks its name, only the whole file gets the final one."""
    with tempfile.TemporaryDirectory() as aside:
        part = Path(aside) / "model.keras"
        model.save(part)
        write_bytes(path, part.read_bytes())


def save_weights(model: Any, path: Path) -> None:
    """Write a model's weights alone, as `edgesdk_train.weights.read_weights` reads them."""
    with tempfile.TemporaryDirectory() as aside:
        part = Path(aside) / "weights.h5"
        model.save_weights(part)
        write_bytes(path, part.read_bytes())


def load_model(path: Path) -> Any:
    """A .keras file that edgesdk wrote; Keras' safe mode refuses code in it.

    Raises:
        RunError: if the file is missing or damaged.
    """
    import tf_keras as keras

    try:
        with captured_output():
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds on a damaged archive
        reason = " ".join(str(error).split())[:160]
        raise RunError(f"{path} cannot be read ({reason}): train again into another folder") from error
