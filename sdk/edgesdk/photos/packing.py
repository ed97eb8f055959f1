"""The verb `pack`: a data set as TFRecord shards, for more photos than memory or one disk holds.

Each record is a `tf.train.Example` with the names that TensorFlow's own image sets use (`image/encoded`,
`image/class/label`, `image/class/text`, `image/filename`), so that other programs read the shards, too.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.atomic import make_folder, replacing
from edgesdk.errors import DataError, WriteError
from edgesdk.photos.archives import SPLITS
from edgesdk.photos.data import Dataset, read_dataset, remark_skipped, split_dataset
from edgesdk.photos.digits import NAME, digits_folder
from edgesdk.photos.photo import Photo, Span
from edgesdk.photos.shards import Shard, read_manifest, write_manifest
from edgesdk.preprocess import LARGEST_PHOTO_BYTES, decode_photo
from edgesdk.progress import progress
from edgesdk.quiet import captured_output, import_tensorflow

SHARD_BYTES = 128 * 2**20
CHECK_DIGITS = 16
RECORD_HEAD_BYTES, RECORD_TAIL_BYTES = 12, 4  # the length and its checksum; the record's checksum


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What `pack` returns.

    Attributes:
        path: the folder to learn from.
        name, classes, fingerprint: of the data set.
        photos, shards, size_bytes: how many, and of all shards together.
        kept: shards that lay there already, whole.
        skipped: files that are no whole images; they are packed, and left out again when they are read.
    """

    path: Path
    name: str
    classes: tuple[str, ...]
    fingerprint: str
    photos: int
    shards: int
    size_bytes: int
    kept: int
    skipped: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The keys that scripts rely on."""
        return asdict(self) | {"path": str(self.path)}


def pack(data: Path | str, out: Path | str, *, shard_bytes: int = SHARD_BYTES, quiet: bool = True) -> Packed:
    """Write a data set as shards that `train`, `convert` and `choose` read like the folder it came from.

    Each split has shards of its own; each shard is an even sample of its split. Classes, splits and fingerprint stay,
    so that learning from the shards gives what learning from the folder gives. After a kill the same call goes on.

    Args:
        data: as of `train`.
        out: the folder; made if missing.
        shard_bytes: about how large a shard becomes; a worker of many learns from whole shards.

    Raises:
        ValueError: if `shard_bytes` is less than 1.
        EdgeSDKError: if the data cannot be read, the folder not be written, or it holds shards of other data.
    """
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes is {shard_bytes}, expected 1 or more, such as {SHARD_BYTES}")
    dataset = read_dataset(data)
    base = digits_folder() if str(data) == NAME else Path(data)
    folder = make_folder(out)
    before = _packed_before(folder, dataset.name)
    import_tensorflow()
    rows: dict[Path, dict[str, Any]] = {}
    shards: list[Shard] = []
    kept = 0
    with progress("packing photos", len(dataset.photos), quiet=quiet) as advance:
        for name, photos in _deal(dataset, shard_bytes):
            path = folder / name
            found = _read_back(path, base, photos, len(shards)) if path.is_file() else None
            if found is None:
                _write(path, base, photos, dataset.classes)
                found = _read_back(path, base, photos, len(shards))
            else:
                kept += 1
            if found is None:
                raise WriteError(f"{path} does not hold what was written to it: is the disk damaged?")
            rows |= found
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            shards.append(Shard(file=name, size_bytes=path.stat().st_size, sha256=digest, photos=len(photos)))
            advance(len(photos), name)
    ordered = [
        {"photo": photo.path.relative_to(base).as_posix(), "label": photo.label, "split": photo.split}
        | {"digest": photo.digest, **rows[photo.path]}
        for photo in dataset.photos
    ]
    skipped = tuple(str(photo.path) for photo in dataset.photos if not rows[photo.path]["whole"])
    remark_skipped([Path(path) for path in skipped], quiet=quiet)
    write_manifest(folder, dataset, ordered, shards)
    for old in before - {shard.file for shard in shards}:  # of fewer photos, or of another size
        (folder / old).unlink(missing_ok=True)
    return Packed(
        path=folder,
        name=dataset.name,
        classes=dataset.classes,
        fingerprint=dataset.fingerprint,
        photos=len(dataset.photos),
        shards=len(shards),
        size_bytes=sum(shard.size_bytes for shard in shards),
        kept=kept,
        skipped=skipped,
    )


def _packed_before(folder: Path, name: str) -> set[str]:
    """The shards that an earlier call finished in the folder.

    Raises:
        DataError: if they are another data set's.
    """
    try:
        found = read_manifest(folder)
    except DataError:  # nothing was finished, or it is to be mended
        return set()
    if found.name != name:
        raise DataError(f"{folder} holds the shards of {found.name}, not of {name}: name another folder")
    return {shard.file for shard in found.shards}


def _deal(dataset: Dataset, shard_bytes: int) -> Iterator[tuple[str, list[Photo]]]:
    """(file name, photos) of each shard; photos go in the order of their hashes, which is as good as at random."""
    split = split_dataset(dataset).photos
    for name in SPLITS:
        photos = sorted((p for p in split if p.split == name), key=lambda photo: (photo.digest, str(photo.path)))
        count = max(1, min(len(photos), math.ceil(sum(_size(photo) for photo in photos) / shard_bytes)))
        for index in range(count):
            part = photos[index * len(photos) // count : (index + 1) * len(photos) // count]
            yield f"{name}-{index:05d}-of-{count:05d}.tfrecord", part


def _size(photo: Photo) -> int:
    if isinstance(photo.content, Span):
        return photo.content.size
    return photo.path.stat().st_size if photo.content is None else len(photo.file_bytes())


def _write(path: Path, base: Path, photos: Sequence[Photo], classes: Sequence[str]) -> None:
    import tensorflow as tf

    def feature(value: bytes | int) -> Any:
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    with replacing(path) as aside, captured_output(), ThreadPoolExecutor() as pool:
        try:
            with tf.io.TFRecordWriter(str(aside)) as writer:
                for photo, (data, whole) in zip(photos, pool.map(_look, photos), strict=True):
                    about: dict[str, bytes | int] = {
                        "image/encoded": data,
                        "image/class/label": photo.label,
                        "image/class/text": classes[photo.label].encode(),
                        "image/filename": photo.path.relative_to(base).as_posix().encode(),
                        "edgesdk/digest": photo.digest.encode(),
                        "edgesdk/whole": int(whole),
                    }
                    features = tf.train.Features(feature={key: feature(value) for key, value in about.items()})
                    writer.write(tf.train.Example(features=features).SerializeToString(deterministic=True))
        except tf.errors.OpError as error:
            raise WriteError(f"cannot write {path}: {error.message}; name a folder that has room") from error


def _look(photo: Photo) -> tuple[bytes, bool]:
    data = photo.file_bytes()
    return data, len(data) <= LARGEST_PHOTO_BYTES and decode_photo(data) is not None


def _read_back(path: Path, base: Path, photos: Sequence[Photo], number: int) -> dict[Path, dict[str, Any]] | None:
    """Where each photo's bytes lie; None if the shard is damaged or holds others."""
    import tensorflow as tf

    if not _adds_up(path, len(photos)):
        return None
    found: dict[Path, dict[str, Any]] = {}
    start = 0
    try:
        for photo, record in zip(photos, tf.data.TFRecordDataset(str(path)).as_numpy_iterator(), strict=True):
            values = tf.train.Example.FromString(record).features.feature
            (data,), (name,) = values["image/encoded"].bytes_list.value, values["image/filename"].bytes_list.value
            (digest,), (label,) = (
                values["edgesdk/digest"].bytes_list.value,
                values["image/class/label"].int64_list.value,
            )
            (whole,) = values["edgesdk/whole"].int64_list.value
            known = photo.path.relative_to(base).as_posix().encode(), photo.digest.encode(), photo.label
            check = hashlib.sha256(data).hexdigest()[:CHECK_DIGITS]
            if (name, digest, label) != known or check != _check_of(photo) or whole not in (0, 1):
                return None
            found[photo.path] = {
                "shard": number,
                "offset": start + RECORD_HEAD_BYTES + record.find(data),
                "size": len(data),
                "check": check,
                "whole": int(whole),
            }
            start += RECORD_HEAD_BYTES + len(record) + RECORD_TAIL_BYTES
    except (tf.errors.OpError, ValueError, TypeError):
        return None
    except Exception as error:  # protobuf's DecodeError, whose home differs by version
        if type(error).__name__ != "DecodeError":
            raise
        return None
    return found


def _check_of(photo: Photo) -> str:
    """The start of the sha256 of what a record holds of a photo: its digest, unless that is of pixels."""
    if isinstance(photo.content, Span):
        return photo.content.check
    if isinstance(photo.content, np.ndarray) and photo.content.ndim > 1:
        return hashlib.sha256(photo.file_bytes()).hexdigest()[:CHECK_DIGITS]
    return photo.digest


def _adds_up(path: Path, records: int) -> bool:
    """Whether a shard has the length of so many records; TensorFlow would end the process for one that is too long."""
    end = 0
    with path.open("rb") as file:
        for _ in range(records):
            file.seek(end)
            end += RECORD_HEAD_BYTES + int.from_bytes(file.read(8), "little") + RECORD_TAIL_BYTES
            if end > path.stat().st_size:
                return False
    return end == path.stat().st_size
