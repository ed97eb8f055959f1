"""One process at a time in a folder that learning fills."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgesdk.atomic import make_folder
from edgesdk.errors import RunError
from edgesdk.progress import remark

try:
    import fcntl
except ImportError:  # Windows has other locks
    fcntl = None  # type: ignore[assignment]


@contextmanager
def occupied(folder: Path, *, wait: bool, quiet: bool) -> Iterator[None]:
    """Keep others from learning in the folder for as long as the block runs; any end of this process lets them in.

    Args:
        folder: made if missing; gone again where the block left it empty.
        wait: until who learns there is done, to go on from what it made; else that is an error.

    Raises:
        RunError: if another process learns there.
        WriteError: if the folder cannot be made.
    """
    new = not folder.exists()
    held = os.open(make_folder(folder), os.O_RDONLY) if fcntl else None
    try:
        if held is not None:
            _lock(held, folder, wait=wait, quiet=quiet)
        yield
    finally:
        if held is not None:
            os.close(held)
        if new:
            with suppress(OSError):  # it holds something
                folder.rmdir()


def _lock(held: int, folder: Path, *, wait: bool, quiet: bool) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if not wait:
            raise RunError(
                f"another process is learning in {folder}: wait until it is done, or name another folder with -o"
            ) from error
        remark(f"waiting for another process that is learning in {folder}", quiet=quiet)
        fcntl.flock(held, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: as if nobody else were there
        pass
