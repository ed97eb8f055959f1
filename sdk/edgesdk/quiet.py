"""Keep the noise of native libraries off the user's terminal."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgesdk.errors import MissingPackageError


@contextlib.contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Send everything written to descriptors 1 and 2 to a file while the block runs, native code included.

    TensorFlow, libjpeg and XNNPACK write past `sys.stderr`, so Python's own redirection does not reach them.

    Yields:
        A function that returns what was written so far.
    """
    import tempfile  # a millisecond that `silenced`, which a cold start runs through, need not pay

    with tempfile.TemporaryFile() as log:

        def text() -> str:
            os.lseek(log.fileno(), 0, os.SEEK_SET)
            return log.read().decode(errors="replace")

        with _sent_to(log.fileno()):
            yield text


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """As `captured_output`, where nobody will look at what was written."""
    with Path(os.devnull).open("wb") as nowhere, _sent_to(nowhere.fileno()):
        yield


_lock = threading.Lock()
_places: list[int] = []  # of the blocks that run now, in all threads
_kept: list[int] = []  # what descriptors 1 and 2 were before the first of them


@contextlib.contextmanager
def _sent_to(place: int) -> Iterator[None]:
    """Let descriptors 1 and 2 be that one while the block runs.

    They are the whole process's: of blocks that overlap in several threads the last to end gives them back.
    """
    with _lock:
        if not _places:
            _kept[:] = os.dup(1), os.dup(2)
        _places.append(place)
        _let_be(place, place)
    try:
        yield
    finally:
        with _lock:
            _places.remove(place)
            if _places:
                _let_be(_places[-1], _places[-1])
            else:
                _let_be(*_kept)
                for descriptor in _kept:
                    os.close(descriptor)


def _let_be(out: int, err: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(out, 1)
    os.dup2(err, 2)


def last_words(log: bytes, most: int) -> str:
    """The end of what a process wrote before it died, as a part of a sentence: of a traceback its error alone."""
    text = log.decode(errors="replace").rstrip()
    if "Traceback (most recent call last):" in text:
        text = text.splitlines()[-1]
    return " ".join(text.split())[-most:]


def import_tensorflow() -> None:
    """Import TensorFlow and legacy Keras without their noise; later imports find them loaded.

    Raises:
        MissingPackageError: if they are not installed.
    """
    if "tf_keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with captured_output():
        try:
            import tensorflow as tf
            import tf_keras  # noqa: F401
        except ImportError as error:
            raise MissingPackageError("TensorFlow", "train", "training and converting") from error
        tf.get_logger().setLevel("ERROR")
        for gpu in tf.config.list_physical_devices("GPU"):
            # TensorFlow takes the whole card otherwise, also from the worker process beside it.
            tf.config.experimental.set_memory_growth(gpu, True)


def import_tfmot() -> Any:
    """The module `tensorflow_model_optimization`, without what its import does to the process.

    It sets TF_USE_LEGACY_KERAS, which would hand legacy Keras to a caller who uses Keras 3 beside us.

    Raises:
        MissingPackageError: if it is not installed.
    """
    import_tensorflow()
    import tensorflow as tf

    _ = tf.keras.__name__  # decides now which Keras `tf.keras` is in this process
    before = os.environ.get("TF_USE_LEGACY_KERAS")
    try:
        with captured_output():
            import tensorflow_model_optimization as tfmot
    except ImportError as error:
        raise MissingPackageError(
            "tensorflow-model-optimization", "train", "pruning, clustering and quantization-aware training"
        ) from error
    finally:
        if before is None:
            os.environ.pop("TF_USE_LEGACY_KERAS", None)
        else:
            os.environ["TF_USE_LEGACY_KERAS"] = before
    return tfmot
