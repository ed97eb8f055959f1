"""Files that are either whole or not there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edgesdk.errors import WriteError


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Write `data` under `path` in one step: written aside, synced, renamed.

    Returns:
        The path as a `Path`.

    Raises:
        WriteError: if the folder is missing or not writable, or the disk is full; what stood there stays.
    """
    path = Path(path)
    with replacing(path) as aside:
        aside.write_bytes(data)
    return path


def write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text as `write_bytes` does."""
    return write_bytes(path, text.encode())


def make_folder(path: Path | str) -> Path:
    """Make a folder and its parents where they do not exist.

    Raises:
        WriteError: if that is impossible.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"cannot make the folder {path}: {error.strerror or error}; name another one") from error
    return path


def check_writable(path: Path | str) -> None:
    """Fail before the work, not after it, when nothing can be written under `path`.

    Raises:
        WriteError: if the folder of `path` does not exist or refuses a file, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise WriteError(f"cannot write {path}: it is a folder; name a file")
    probe = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror or error}; name a file in a folder that exists and is writable"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` for another's code to write to; at the block's end what lies there is synced and renamed.

    Raises:
        WriteError: if that is impossible; what stood there stays.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror or error}; name a file in a folder that exists and has room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
