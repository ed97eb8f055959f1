"""A folder that is whole or not there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgesdk.atomic import make_folder
from edgesdk.errors import WriteError


@contextmanager
def folder_aside(home: Path, fix: str) -> Iterator[Path]:
    """A new folder to fill; it takes the place of `home` when the block ends, and is gone where the block fails.

    Args:
        home: the folder's final name, what lies there is replaced.
        fix: what to do where it cannot be written.

    Raises:
        WriteError: if it, or what the block writes, cannot be written.
    """
    place = home.resolve()  # "." has no name
    parent = make_folder(place.parent)
    scratch: Path | None = None
    try:
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=parent))
        aside = scratch / "new"
        aside.mkdir()
        yield aside
        aside.chmod(0o755)
        if place.exists():
            place.rename(scratch / "old")
        try:
            aside.rename(place)
        except OSError:
            with suppress(FileNotFoundError):
                (scratch / "old").rename(place)
            raise
    except OSError as error:
        raise WriteError(f"cannot write {home} ({error.strerror or error}): {fix}") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
