"""A packed data set: TFRecord shards, `shards.csv` that says where each photo lies in them, and `shards.json`.

Any photo is one read of its shard, without TensorFlow, and is checked against its hash. A worker that holds some of the
shards only learns from these.
"""

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgesdk.atomic import write_bytes, write_text
from edgesdk.contract import decode_value
from edgesdk.errors import DataError
from edgesdk.photos.archives import SPLITS
from edgesdk.photos.photo import Photo, Span

if TYPE_CHECKING:
    from edgesdk.photos.data import Dataset

MANIFEST_FILE, INDEX_FILE = "shards.json", "shards.csv"
LARGEST_MANIFEST_BYTES = 64 * 2**20
COLUMNS = ("photo", "label", "split", "digest", "shard", "offset", "size", "check", "whole")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One file of photos, with its whole sha256."""

    file: str
    size_bytes: int
    sha256: str
    photos: int


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
        bad = [shard.file for shard in self.shards if Path(shard.file).name != shard.file or not shard.file]
        if bad:
            raise ValueError(f"{bad[0][:80]!r} is no file name")


def read_shards(folder: Path) -> tuple[Manifest, list[Photo]]:
    """(the manifest, the photos in the order in which they were packed).

    Shards that are not here are found missing where a photo of theirs is read: a worker needs its own only.

    Raises:
        DataError: if the manifest or the index is missing or damaged, no shard is here, or one has another size.
    """
    manifest, index = read_manifest(folder), _read(folder / INDEX_FILE)
    if hashlib.sha256(index).hexdigest() != manifest.index_sha256:
        raise DataError(
            f"{folder / INDEX_FILE} is not the one that {MANIFEST_FILE} names: copy it again, or pack again"
        )
    here = [shard for shard in manifest.shards if (folder / shard.file).is_file()]
    if not here:
        raise DataError(f"{folder} holds none of the {len(manifest.shards)} shards that {MANIFEST_FILE} names")
    for shard in here:
        if (size := (folder / shard.file).stat().st_size) != shard.size_bytes:
            raise DataError(
                f"{folder / shard.file} has {size} bytes, expected {shard.size_bytes}: it is cut short or another; "
                "copy it again, or pack again"
            )
    try:
        photos = [_photo(folder, manifest, row) for row in csv.DictReader(io.StringIO(index.decode()))]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{folder / INDEX_FILE} is damaged ({error}): pack again") from error
    return manifest, photos


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a packed data set.

    Raises:
        DataError: if it is missing or damaged.
    """
    path = folder / MANIFEST_FILE
    data = _read(path)
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


def _photo(folder: Path, manifest: Manifest, row: dict[str, str]) -> Photo:
    place, number = PurePosixPath(row["photo"]), int(row["shard"])
    label, offset, size = int(row["label"]), int(row["offset"]), int(row["size"])
    shard = manifest.shards[number]
    if number < 0 or offset < 0 or size < 0 or offset + size > shard.size_bytes:
        raise ValueError(f"{row['photo'][:80]!r} lies outside {shard.file}")
    if not 0 <= label < len(manifest.classes) or row["split"] not in ("", *SPLITS):
        raise ValueError(f"{row['photo'][:80]!r} has label {label} and split {row['split'][:20]!r}")
    span = Span(
        path=folder / shard.file,
        number=number,
        offset=offset,
        size=size,
        check=row["check"],
        whole=row["whole"] == "1",
    )
    return Photo(path=folder / place, label=label, split=row["split"], digest=row["digest"], content=span)


def _read(path: Path) -> bytes:
    try:
        if path.name == MANIFEST_FILE and path.stat().st_size > LARGEST_MANIFEST_BYTES:
            raise DataError(f"{path} is larger than {LARGEST_MANIFEST_BYTES >> 20} MiB, too large for a manifest")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; copy it here again, or pack again") from error
