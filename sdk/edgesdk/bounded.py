"""Files that others wrote, read no further than memory should hold."""

import errno
import zipfile
import zlib
from pathlib import Path

#: What numpy.load and what uses its arrays raise where an .npz of ours is damaged.
DAMAGED_ARRAYS = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, EOFError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
SETTINGS_BYTES = 2**20  # what somebody types
RECORD_BYTES = 16 * 2**20  # what edgesdk notes of a run


def read_bounded(path: Path | str, largest_bytes: int) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: if it cannot be read, or is larger; `strerror` says so.
    """
    with Path(path).open("rb") as file:
        data = file.read(largest_bytes + 1)
    if len(data) > largest_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {largest_bytes >> 20} MiB", str(path))
    return data
