"""A packed data set: TFRecord shards, `shards.csv` that says where each photo lies in them, and `shards.json`.

Any photo is one read of its shard, without TensorFlow, and is checked against its hash. A worker that holds some of the
shards only learns from these.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgesdk.atomic import write_bytes, write_text
from edgesdk.bounded import read_bounded
from edgesdk.contract import decode_value
from edgesdk.errors import DataError
from edgesdk.photos.archives import SPLITS
from edgesdk.photos.photo import Photo, Span

if TYPE_CHECKING:
    from edgesdk.photos.data import Dataset

MANIFEST_FILE, INDEX_FILE = "shards.json", "shards.csv"
LARGEST_MANIFEST_BYTES, LARGEST_INDEX_BYTES = 64 * 2**20, 2**30  # ten million photos
SHARD_NAME = re.compile(rf"(?:{'|'.join(SPLITS)})-[0-9]{{5,}}-of-[0-9]{{5,}}\.tfrecord")
SHA256, CHECK = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{16}")
COLUMNS = ("photo", "label", "split", "digest", "shard", "offset", "size", "check", "whole")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of photos, with its whole sha256."""

    file: str
    size_bytes: int
    sha256: str
    photos: int

    def __post_init__(self) -> None:
        if not SHARD_NAME.fullmatch(self.file) or len(self.file) > 80:  # it becomes a path
            raise ValueError(f"{self.file[:80]!r} is no shard's name, expected train-00000-of-00001.tfrecord or alike")
        if self.size_bytes < 0 or self.photos < 0 or not SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.file} has an impossible size, number of photos or sha256")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What `shards.json` says.

    Attributes:
        name, classes, synsets, fingerprint: of the data set that was packed; see `Dataset`.
        index_sha256: of `shards.csv`.
        shards: those of train first, then val, then test.
    """

    name: str
    classes: tuple[str, ...]
    synsets: tuple[str, ...]
    fingerprint: str
    index_sha256: str
    shards: tuple[Shard, ...]
    format: str = "edgesdk shards 1"

    def __post_init__(self) -> None:
        if self.format != "edgesdk shards 1":
            raise ValueError(f"format is {self.format[:40]!r}, expected 'edgesdk shards 1'")
        "".join((self.name, *self.classes, *self.synsets)).encode()  # half a character would break whoever prints it
        if len(self.classes) < 2 or len(self.synsets) not in (0, len(self.classes)):
            raise ValueError(
                f"it has {len(self.classes)} classes and {len(self.synsets)} synsets, expected at least 2, and none or "
                "one of each"
            )
        if not SHA256.fullmatch(self.fingerprint) or not SHA256.fullmatch(self.index_sha256):
            raise ValueError("the fingerprint or the index's sha256 is none")
        if len({shard.file for shard in self.shards}) < len(self.shards):
            raise ValueError("a shard is named twice")


def read_shards(folder: Path) -> tuple[Manifest, list[Photo]]:
    """(the manifest, the photos in the order in which they were packed).

    Shards that are not here are found missing where a photo of theirs is read: a worker needs its own only.

    Raises:
        DataError: if the manifest or the index is missing or damaged, no shard is here, or one has another size.
    """
    manifest, index = read_manifest(folder), _read(folder / INDEX_FILE, LARGEST_INDEX_BYTES)
    if hashlib.sha256(index).hexdigest() != manifest.index_sha256:
        raise DataError(
            f"{folder / INDEX_FILE} is not the one that {MANIFEST_FILE} names: copy it again, or pack again"
        )
    here = [shard for shard in manifest.shards if (folder / shard.file).is_file()]
    if not here:
        raise DataError(
            f"{folder} holds none of the {len(manifest.shards)} shards that {MANIFEST_FILE} names: copy them here, or "
            "pack again"
        )
    for shard in here:
        if (size := (folder / shard.file).stat().st_size) != shard.size_bytes:
            raise DataError(
                f"{folder / shard.file} has {size} bytes, expected {shard.size_bytes}: it is cut short or another; "
                "copy it again, or pack again"
            )
    try:
        photos = [_photo(folder, manifest, row) for row in _rows(index, sum(shard.photos for shard in manifest.shards))]
    except (ValueError, csv.Error) as error:
        raise DataError(f"{folder / INDEX_FILE} is damaged ({error}): pack again") from error
    return manifest, photos


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a packed data set.

    Raises:
        DataError: if it is missing or damaged.
    """
    path = folder / MANIFEST_FILE
    data = _read(path, LARGEST_MANIFEST_BYTES)
    try:
        manifest = decode_value(Manifest, json.loads(data), "manifest")
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}): pack again") from error
    assert isinstance(manifest, Manifest)
    return manifest


def write_manifest(folder: Path, dataset: "Dataset", rows: list[dict[str, Any]], shards: list[Shard]) -> Manifest:
    """Write the index, then the manifest, which makes the folder a data set.

    Args:
        dataset: that was packed.
        rows: one a photo, with `COLUMNS`, in the data set's order.
        shards: in the order of their numbers.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    index = text.getvalue().encode()
    write_bytes(folder / INDEX_FILE, index)
    manifest = Manifest(
        name=dataset.name,
        classes=dataset.classes,
        synsets=dataset.synsets,
        fingerprint=dataset.fingerprint,
        index_sha256=hashlib.sha256(index).hexdigest(),
        shards=tuple(shards),
    )
    write_text(folder / MANIFEST_FILE, json.dumps(asdict(manifest), indent=1, ensure_ascii=False))
    return manifest


def _rows(index: bytes, count: int) -> Iterator[dict[str, str]]:
    """The rows of an index, each with all of `COLUMNS`."""
    rows = csv.reader(io.StringIO(index.decode(), newline=""))
    if (head := next(rows, [])) != [*COLUMNS]:
        raise ValueError(f"its columns are {','.join(head)[:80]!r}, expected {','.join(COLUMNS)}")
    found = 0
    for found, row in enumerate(rows, 1):
        if len(row) != len(COLUMNS):
            raise ValueError(f"row {found} has {len(row)} columns, expected {len(COLUMNS)}")
        yield dict(zip(COLUMNS, row, strict=True))
    if found != count:
        raise ValueError(f"it has {found} rows for {count} photos")


def _photo(folder: Path, manifest: Manifest, row: dict[str, str]) -> Photo:
    place, named = PurePosixPath(row["photo"]), repr(row["photo"][:80])
    label, number, offset, size = (int(row[name]) for name in ("label", "shard", "offset", "size"))
    if not place.name or place.is_absolute() or ".." in place.parts:
        raise ValueError(f"{named} is no name inside a folder")
    if not 0 <= number < len(manifest.shards):
        raise ValueError(f"{named} lies in shard {number} of {len(manifest.shards)}")
    shard = manifest.shards[number]
    if offset < 0 or size < 0 or offset + size > shard.size_bytes:
        raise ValueError(f"{named} lies outside {shard.file}")
    if not 0 <= label < len(manifest.classes) or row["split"] not in ("", *SPLITS):
        raise ValueError(f"{named} has label {label} and split {row['split'][:20]!r}")
    if not CHECK.fullmatch(row["check"]) or not CHECK.fullmatch(row["digest"]) or row["whole"] not in ("0", "1"):
        raise ValueError(f"{named} has a hash that is none, or is neither whole nor not")
    span = Span(
        path=folder / shard.file,
        number=number,
        offset=offset,
        size=size,
        check=row["check"],
        whole=row["whole"] == "1",
    )
    return Photo(path=folder / place, label=label, split=row["split"], digest=row["digest"], content=span)


def _read(path: Path, largest_bytes: int) -> bytes:
    try:
        return read_bounded(path, largest_bytes)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; copy it here again, or pack again") from error
