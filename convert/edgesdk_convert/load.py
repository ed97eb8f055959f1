"""Read a trained network from a file, without running code from it."""

from pathlib import Path
from typing import Any

from edgesdk.errors import RunError
from edgesdk.quiet import captured_output, import_tensorflow


def load_network(path: Path) -> Any:
    """A legacy-Keras `.keras` file as a `tf_keras.Model`; Keras' safe mode refuses code in it.

    Raises:
        RunError: if the file is missing or damaged.
    """
    import_tensorflow()
    import tf_keras as keras

    try:
        with captured_output():
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds on a damaged archive
        reason = " ".join(str(error).split())[:160]
        raise RunError(f"{path} cannot be read ({reason}): train again into another folder") from error
