"""A folder of photos whose labels stand in a table."""

import csv
import itertools
from collections.abc import Iterable
from pathlib import Path

from edgesdk.errors import DataError
from edgesdk.photos.archives import SPLITS
from edgesdk.photos.photo import Photo

LARGEST_CSV_BYTES = 64 * 2**20
MOST_ROWS = 2**20


def read_labels_csv(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...], list[Photo]]:
    """(labels, WordNet's synsets or none, photos) of a `labels.csv` beside `images/` and perhaps `classes.csv`.

    Raises:
        DataError: if a file is missing, too large, lies elsewhere, or an index does not fit.
    """
    rows = _read_csv(folder / "labels.csv", ("file", "class_index", "label"))
    named = rows
    if (folder / "classes.csv").is_file():
        named = _read_csv(folder / "classes.csv", ("class_index", "label"))
    labels: dict[int, str] = {}
    synsets: dict[int, str] = {}
    try:
        for row in named:
            labels[int(row["class_index"])] = row["label"]
            synsets[int(row["class_index"])] = row.get("synset") or ""
        photos = []
        for row in rows:
            path = folder / "images" / row["file"]
            named_file = repr(row["file"][:80])
            if not path.resolve().is_relative_to((folder / "images").resolve()):
                raise DataError(f"labels.csv names {named_file}, which is outside {folder / 'images'}")
            if not path.is_file():
                raise DataError(f"labels.csv names {named_file}, which is not in {folder / 'images'}")
            if (split := row.get("split") or "") not in ("", *SPLITS):
                raise DataError(
                    f"labels.csv puts {named_file} into the split {split[:20]!r}, expected {', '.join(SPLITS)}"
                )
            photos.append(Photo(path=path, label=int(row["class_index"]), split=split))
    except OSError as error:
        raise DataError(f"labels.csv names {named_file}, which is no file's name ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{folder / 'labels.csv'} has a class_index that is not a whole number ({error})") from error
    if sorted(labels) != list(range(len(labels))):
        raise DataError(f"{folder}: class_index must count 0, 1, 2, ... without gaps, found up to {max(labels)}")
    if any(photo.label not in labels for photo in photos):
        raise DataError(f"{folder / 'labels.csv'} has a class_index that classes.csv does not name")
    order = range(len(labels))
    return (
        tuple(labels[i] for i in order),
        tuple(synsets[i] for i in order) if all(synsets.values()) else (),
        photos,
    )


def _read_csv(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    if path.stat().st_size > LARGEST_CSV_BYTES:
        raise DataError(f"{path} is larger than {LARGEST_CSV_BYTES >> 20} MiB, too large for a list of labels")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path} has no column {missing[0]!r}, expected {', '.join(columns)}")
            rows = list(itertools.islice(reader, MOST_ROWS + 1))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    if len(rows) > MOST_ROWS:
        raise DataError(f"{path} has more than {MOST_ROWS} rows: make it folders of photos")
    if not rows or any(row[name] is None for row in rows for name in columns):
        raise DataError(f"{path} has no rows, or a row that is too short")
    return rows
