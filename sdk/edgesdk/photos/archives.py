"""Photos in one file: a tar of class folders, or an .npz of arrays.

Nothing is written to disk, unpickled or believed before it is checked.
"""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from edgesdk.errors import DataError
from edgesdk.photos.photo import Photo

SPLITS = ("train", "val", "test")
LARGEST_BYTES = 2 * 2**30  # unpacked: it is held in memory
LARGEST_LABEL = 100_000
MOST_MEMBERS = 2**20
TAR_NAME = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$")
SPLIT_TAR_NAME = re.compile(rf"(?:.*[._-])?({'|'.join(SPLITS)})(?:{TAR_NAME.pattern[:-1]})$")

Listed = tuple[tuple[str, ...], list[Photo]]


def is_tar(path: Path) -> bool:
    """Whether the file's name says that it is a tar, compressed or not."""
    return TAR_NAME.search(path.name) is not None


def split_tars(folder: Path) -> dict[str, Path]:
    """Split -> the tar of the folder that holds it, such as `test` -> `cifar10_test.tar.gz`."""
    found = {}
    for path in sorted(folder.iterdir()):
        if match := SPLIT_TAR_NAME.match(path.name):
            found[match[1]] = path
    return found


def read_tars(tars: dict[str, Path]) -> Listed:
    """The photos of a tar of class folders for each split ("" for none), as of one data set.

    In each, train/, val/ and test/ above the class folders are splits, one folder around everything is looked through,
    and files beside class folders are ignored.

    Returns:
        (names of the classes, photos with their files' bytes).

    Raises:
        DataError: if a tar is missing, damaged or too large, a name leads outside, or the splits' classes differ.
    """
    named = [(split, path, *item) for split, path in tars.items() for item in _class_members(path)]
    classes = tuple(sorted({name for _, _, _, name, _, _ in named}))
    for split in sorted({tar_split or inner for tar_split, _, inner, _, _, _ in named}):
        missing = set(classes) - {name for tar_split, _, inner, name, _, _ in named if (tar_split or inner) == split}
        if missing:
            raise DataError(f"{split or 'the tar'} has no photos of {min(missing)!r}: the splits must agree")
    photos = [
        Photo(path=path / place, label=classes.index(name), split=tar_split or inner, content=content)
        for tar_split, path, inner, name, place, content in named
    ]
    return classes, photos


def read_npz(path: Path) -> Listed:
    """The images of arrays x_train and y_train, and x_val, y_val, x_test, y_test where there are.

    x is uint8 [n, h, w] or [n, h, w, 1] grey, or [n, h, w, 3] RGB; y whole numbers [n] or [n, 1]. A `classes` array of
    text names the classes; without it they are called by their numbers.

    Raises:
        DataError: if the file is damaged or too large, or an array is missing or another.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if sum(item.file_size for item in file.infolist()) > LARGEST_BYTES:
                raise DataError(f"{path} unpacks to more than {LARGEST_BYTES >> 30} GiB: make it a folder of photos")
            arrays = {
                item.filename.removesuffix(".npy"): _read_array(file.read(item), f"{item.filename} in {path}")
                for item in file.infolist()
                if re.fullmatch(rf"(?:[xy]_(?:{'|'.join(SPLITS)})|classes)\.npy", item.filename)
            }
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"{path} is no whole .npz ({reason}), expected what numpy.savez writes") from error
    found: list[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]] = []
    for split in SPLITS:
        if f"x_{split}" in arrays:
            found.append((split, *_check_pair(path, split, arrays)))
    if not found or found[0][0] != "train":
        raise DataError(f"{path} has no x_train, expected x_train, y_train and, best, x_test and y_test")
    count = 1 + max(int(y.max()) for _, _, y in found)
    names = arrays.get("classes", np.arange(count).astype(str))
    if names.dtype.kind != "U" or names.shape != (max(count, names.size),):
        raise DataError(f"{path}: classes is {names.dtype} {names.shape}, expected text for each of {count} labels")
    photos = [
        Photo(path=path / f"x_{split}" / f"{index:06d}", label=int(label), split=split, content=image)
        for split, x, y in found
        for index, (image, label) in enumerate(zip(x, y, strict=True))
    ]
    have = {split for split, _, _ in found}
    return tuple(names.tolist()), [photo if len(have) > 1 else _unsplit(photo) for photo in photos]


def _unsplit(photo: Photo) -> Photo:
    return Photo(path=photo.path, label=photo.label, content=photo.content)


def _check_pair(
    path: Path, split: str, arrays: dict[str, npt.NDArray[Any]]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    x, y = arrays[f"x_{split}"], arrays.get(f"y_{split}")
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)) or not x.size:
        raise DataError(
            f"{path}: x_{split} is {x.dtype} {x.shape}, expected uint8 (0 to 255) [n, height, width], or with 1 or 3 "
            "channels"
        )
    if y is None or y.dtype.kind not in "iu" or y.shape not in ((len(x),), (len(x), 1)):
        found = "missing" if y is None else f"{y.dtype} {y.shape}"
        raise DataError(f"{path}: y_{split} is {found}, expected {len(x)} whole numbers, one for each of x_{split}")
    y = y.reshape(-1).astype(np.int64)
    if y.min() < 0 or y.max() > LARGEST_LABEL:
        raise DataError(f"{path}: y_{split} has labels from {y.min()} to {y.max()}, expected 0, 1, 2, ...")
    return x[..., 0] if x.ndim == 4 and x.shape[3] == 1 else x, y


def _read_array(data: bytes, where: str) -> npt.NDArray[Any]:
    """A .npy file's array, which views its bytes; the header is checked before anything is made of it."""
    stream = io.BytesIO(data)
    try:
        formats: Any = np.lib.format
        first = formats.read_magic(stream) == (1, 0)
        shape, fortran, dtype = (formats.read_array_header_1_0 if first else formats.read_array_header_2_0)(stream)
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise DataError(f"{where} is no array ({' '.join(str(error).split())[:100]})") from error
    count = int(np.prod(shape, dtype=object))
    if dtype.hasobject or fortran or min(shape, default=1) < 0 or stream.tell() + count * dtype.itemsize != len(data):
        raise DataError(f"{where} is {dtype} {shape}, expected plain numbers in C order, as long as they say")
    return np.frombuffer(data, dtype, count, stream.tell()).reshape(shape)


def _class_members(path: Path) -> list[tuple[str, str, str, bytes]]:
    """(split, class, place in the tar, content) of every photo."""
    members = [(parts, content) for parts, content in _members(path) if len(parts) > 1]
    while len({parts[0] for parts, _ in members}) == 1 and any(len(parts) > 2 for parts, _ in members):
        members = [(parts[1:], content) for parts, content in members if len(parts) > 2]
    if not members:
        raise DataError(f"{path} holds no class folders, expected one folder of photos a class")
    splits = all(parts[0] in SPLITS and len(parts) > 2 for parts, _ in members)
    return [(parts[0] if splits else "", parts[splits], "/".join(parts), content) for parts, content in members]


def _members(path: Path) -> list[tuple[tuple[str, ...], bytes]]:
    """(parts of the name, content) of every regular file that is not hidden."""
    found: list[tuple[tuple[str, ...], bytes]] = []
    try:
        with _unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for number, member in enumerate(tar):
                tar.members = []  # type: ignore[attr-defined] # it would keep all of them
                if number >= MOST_MEMBERS:
                    raise DataError(f"{path} holds more than {MOST_MEMBERS} files: unpack it into a folder")
                parts = tuple(part for part in PurePosixPath(member.name).parts if part != ".")
                if ".." in parts or parts[:1] == ("/",) or not all(part.isprintable() for part in parts):
                    raise DataError(f"{path} names {member.name[:80]!r}, expected names of class folders and photos")
                if member.issparse():  # holes take no bytes of the stream, and memory all the same
                    raise DataError(f"{path} holds {member.name[:80]!r} with holes in it: pack it without --sparse")
                file = tar.extractfile(member) if member.isreg() else None  # a link leads elsewhere
                if file is not None and parts and not any(part.startswith(".") for part in parts):
                    found.append((parts, file.read()))
    except (OSError, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise DataError(f"{path} is no whole tar ({' '.join(str(error).split())[:100]}): pack it again") from error
    return found


class _Bounded(io.RawIOBase):
    """A stream that ends in an error where more comes out of it than memory should hold."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path, self._left = stream, path, LARGEST_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._path} unpacks to more than {LARGEST_BYTES >> 30} GiB: unpack it into a folder")
        return data

    def close(self) -> None:
        self._stream.close()


def _unpacked(path: Path) -> _Bounded:
    """The tar inside, by the file's first bytes rather than its name."""
    with path.open("rb") as file:
        start = file.read(6)
    openers = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    return _Bounded(openers.get(start[:2], open)(path, "rb"), path)  # type: ignore[operator]
