"""Read a trained network from a file, without running code from it."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgesdk.errors import RunError
from edgesdk.quiet import captured_output, import_tensorflow

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def load_network(path: Path) -> Any:
    """A legacy-Keras `.keras` file as a `tf_keras.Model`; Keras' safe mode refuses code in it.

    Raises:
        RunError: if the file is missing or damaged.
    """
    import_tensorflow()
    import tf_keras as keras

    from edgesdk_train.models.alexnet import LocalResponseNorm

    try:
        return load_keras(keras, path, layers={"LocalResponseNorm": LocalResponseNorm})
    except Exception as error:  # Keras raises many kinds on a damaged archive
        reason = " ".join(str(error).split())[:160]
        raise RunError(f"{path} cannot be read ({reason}): train again into another folder") from error


def load_keras(keras: Any, path: Path, *, trust: bool = False, layers: Mapping[str, Any] | None = None) -> Any:
    """The network of a zip or HDF5 file by this Keras (`tf_keras` or `keras`), with whatever that raises.

    Keras goes by the file's name; here its first bytes decide.

    Args:
        trust: run code that the file holds; HDF5 files are not looked through for it.
        layers: name -> class of layers that are not Keras' own.
    """
    with path.open("rb") as file:
        suffix = ".h5" if file.read(8) == HDF5_SIGNATURE else ".keras"
    with tempfile.TemporaryDirectory() as folder, captured_output():
        named = path
        if path.suffix != suffix:
            named = Path(shutil.copyfile(path, Path(folder) / f"model{suffix}"))
        return keras.models.load_model(named, dict(layers or {}), compile=False, safe_mode=not trust)
