"""Photos and their labels: read where they lie, split by class, decoded once.

Understood are a folder with one subfolder a class; the same under train/, val/ and test/; a folder with images/ and
labels.csv (file, class_index, label; classes.csv where there are more classes than photos show); a tar of class
folders, or a folder of one for each split; an .npz with x_train and y_train; what `edgesdk pack` made of any of these;
and `digits`, the 1,797 handwritten digits of Alpaydin and Kaynak (UCI) that come with scikit-learn.
"""

import contextlib
import hashlib
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from edgesdk.bounded import read_bounded
from edgesdk.contract import UNPRINTABLE
from edgesdk.errors import DataError
from edgesdk.photos import digits, latepixels
from edgesdk.photos.archives import LARGEST_LABEL, SPLITS, is_tar, read_npz, read_tars, split_tars
from edgesdk.photos.labelscsv import read_labels_csv
from edgesdk.photos.photo import Photo, Span
from edgesdk.photos.shards import MANIFEST_FILE, read_shards
from edgesdk.preprocess import ImageInput, Pixels, fit_frame
from edgesdk.progress import progress, remark
from edgesdk.quiet import captured_output

TEST_SHARE, VAL_SHARE = 0.2, 0.1
LARGEST_LABELS_BYTES = 16 * 2**20
COLORS_SEEN_IN = 24  # photos


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled photos.

    Attributes:
        name: of the folder or archive, or "digits".
        classes: label of each index.
        photos: all of them, sorted.
        fingerprint: sha256 over classes, splits, labels and the files' contents: two sets are equal if it is.
        synsets: WordNet ids of the classes where classes.csv names them, else ().
    """

    name: str
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    fingerprint: str
    synsets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Images:
    """Decoded photos at the model's size.

    Attributes:
        pixels: uint8 [n, height, width, channels], in the model's colour order; `LatePixels` where they are more than
            memory should hold.
        labels: int32 [n].
        paths: [n], the files.
        skipped: files that could not be decoded.
        shards: int32 [n], the number of the shard that each lies in; None where some lie in none.
    """

    pixels: Pixels
    labels: npt.NDArray[np.int32]
    paths: tuple[Path, ...]
    skipped: tuple[Path, ...]
    shards: npt.NDArray[np.int32] | None = None


def read_dataset(source: Path | str) -> Dataset:
    """List the photos of a data set; nothing is decoded yet.

    Args:
        source: a folder, a tar, an .npz, a folder of shards, or "digits".

    Raises:
        DataError: if there is no such folder or file, no class, a class without files, or a bad labels.csv.
    """
    if str(source) == digits.NAME:
        return replace(read_dataset(digits.digits_folder()), name=digits.NAME)
    folder = Path(source)
    if (folder / MANIFEST_FILE).is_file():
        packed, inside = read_shards(folder)
        about = {name: getattr(packed, name) for name in ("name", "classes", "fingerprint", "synsets")}
        return Dataset(photos=tuple(inside), **about)
    archive = folder.is_file() and (is_tar(folder) or folder.suffix == ".npz")
    if not folder.is_dir() and not archive:
        raise DataError(
            f"{_found(folder)}, expected a folder with one subfolder of photos a class, a .tar of it, an .npz, or the "
            "word digits"
        )
    synsets: tuple[str, ...] = ()
    if archive:
        classes, files = read_npz(folder) if folder.suffix == ".npz" else read_tars({"": folder})
    elif (folder / "labels.csv").is_file() and (folder / "images").is_dir():
        classes, synsets, files = read_labels_csv(folder)
    elif _class_names(folder / "train"):
        classes = _class_names(folder / "train")
        files = []
        for split in SPLITS:
            if (folder / split).is_dir():
                files += _class_files(folder / split, classes, split)
    elif not _class_names(folder) and (tars := split_tars(folder)):
        classes, files = read_tars(tars)
    else:
        classes = _class_names(folder)
        files = _class_files(folder, classes, "")
    if len(classes) < 2:
        raise DataError(
            f"{folder} has {len(classes)} class folder{'s' * (len(classes) != 1)}, expected at least 2: "
            "one subfolder of photos for each thing to tell apart"
        )
    _check_names(folder, classes)
    with ThreadPoolExecutor() as pool:
        photos = tuple(pool.map(Photo.digested, files))
    lines = [*classes, *(f"{p.split} {p.label} {p.digest}" for p in photos)]
    fingerprint = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    name = folder.resolve().name.split(".")[0] if archive else folder.resolve().name
    return Dataset(name=name, classes=classes, photos=photos, fingerprint=fingerprint, synsets=synsets)


def read_photos(source: Path | str) -> Dataset:
    """Every file below a folder as a photo of one nameless class: for networks that tell no classes apart.

    Raises:
        DataError: if there is no such folder, or nothing in it.
    """
    folder = digits.digits_folder() if str(source) == digits.NAME else Path(source)
    if not folder.is_dir():
        raise DataError(f"{_found(folder)}, expected a folder of photos")
    if (folder / MANIFEST_FILE).is_file():
        packed = read_shards(folder)[1]
        found = sorted((replace(photo, label=0, split="") for photo in packed), key=lambda photo: photo.path)
    else:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        found = [Photo(path=path, label=0) for path in files]
    with ThreadPoolExecutor() as pool:
        photos = tuple(pool.map(Photo.digested, found))
    if not photos:
        raise DataError(f"{folder} is empty, expected a folder of photos")
    fingerprint = hashlib.sha256("\n".join(photo.digest for photo in photos).encode()).hexdigest()
    return Dataset(name=folder.resolve().name, classes=("",), photos=photos, fingerprint=fingerprint)


def read_labels(path: Path | str) -> tuple[str, ...]:
    """The lines of a text file, one label each.

    Raises:
        DataError: if it cannot be read, or has no lines.
    """
    try:
        text = read_bounded(path, LARGEST_LABELS_BYTES).decode()
    except OSError as error:
        raise DataError(f"cannot read the labels in {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read the labels in {path}: {error}") from error
    labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not 0 < len(labels) <= LARGEST_LABEL:
        raise DataError(f"{path} has {len(labels)} lines, expected one label a line, at most {LARGEST_LABEL}")
    _check_names(Path(path), labels)
    return labels


def name_classes(dataset: Dataset, labels: Sequence[str]) -> Dataset:
    """The same photos with the classes in this order, which may be more than the photos show.

    Raises:
        DataError: if a class of the photos is not among them.
    """
    known = set(labels)
    unknown = [name for name in dataset.classes if name not in known]
    if unknown:
        raise DataError(
            f"{dataset.name} has a class {unknown[0]!r} that is none of the network's {len(labels)} labels: name the "
            "folders after them"
        )
    index = places_of(dataset.classes, labels)
    photos = tuple(replace(photo, label=index[photo.label]) for photo in dataset.photos)
    return replace(dataset, classes=tuple(labels), photos=photos)


def places_of(names: Sequence[str], labels: Sequence[str]) -> list[int]:
    """Where each name, which is one of the labels, stands among them; the second of two cranes is the second."""
    places: dict[str, list[int]] = defaultdict(list)
    for index, label in enumerate(labels):
        places[label].append(index)
    return [places[name][0] if len(places[name]) == 1 else places[name].pop(0) for name in names]


def distinct_names(labels: Sequence[str]) -> list[str]:
    """The labels, each with its index where several have one name, so that what is told of them stays apart."""
    count = Counter(labels)
    return [label if count[label] == 1 else f"{label} ({index})" for index, label in enumerate(labels)]


def split_dataset(dataset: Dataset) -> Dataset:
    """Give every photo a split, the same on every machine: 70 % train, 10 % val, 20 % test of each class.

    Splits that exist as folders stay; what is missing is taken from train. Photos are ordered by their content's
    hash, and equal files of a class never land in two of the splits made here.

    Raises:
        DataError: if a class has too few photos for three splits.
    """
    if len(dataset.photos) < len(dataset.classes):
        raise DataError(
            f"{dataset.name} has {len(dataset.photos)} photos for {len(dataset.classes)} classes, expected several of "
            "each: add photos, or leave classes out"
        )
    have = {photo.split for photo in dataset.photos}
    by_class: dict[int, list[Photo]] = defaultdict(list)
    settled = [photo for photo in dataset.photos if photo.split in ("val", "test")]
    for photo in dataset.photos:
        if photo.split in ("", "train"):
            by_class[photo.label].append(photo)
    for index, name in enumerate(dataset.classes):
        photos = sorted(by_class[index], key=lambda photo: (photo.digest, str(photo.path)))
        shares = {"test": 0.0 if "test" in have else TEST_SHARE, "val": 0.0 if "val" in have else VAL_SHARE}
        needed = 1 + sum(share > 0 for share in shares.values())
        if (different := len({photo.digest for photo in photos})) < needed:
            raise DataError(
                f"class {name!r} has {different} different photo{'s' * (different != 1)} to learn and to judge on, "
                f"expected at least {needed}: add photos"
            )
        equal = [list(group) for _, group in itertools.groupby(photos, lambda photo: photo.digest)]
        for split, share in shares.items():
            wanted = math.ceil(share * len(photos))
            needed -= share > 0
            while wanted > 0 and len(equal) > needed:  # those that come after need one each
                settled += [replace(photo, split=split) for photo in equal[0]]
                wanted -= len(equal.pop(0))
        settled += [replace(photo, split="train") for photo in itertools.chain(*equal)]
    order = sorted(settled, key=lambda photo: str(photo.path))
    return replace(dataset, photos=tuple(order))


def split_for_conversion(dataset: Dataset, calibration: int) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    """Photos to calibrate on and photos to judge on, for a network that already knows the classes.

    Args:
        dataset: with or without splits.
        calibration: how many to calibrate on; drawn evenly from the classes.

    Returns:
        (calibration, test): from train and test where the data has both, else two disjoint parts of everything.

    Raises:
        DataError: if too few photos are left to judge on.
    """
    have = {photo.split for photo in dataset.photos}
    if {"train", "test"} <= have:
        learned = [photo for photo in dataset.photos if photo.split == "train"]
        judged = tuple(photo for photo in dataset.photos if photo.split == "test")
        return draw_evenly(learned, calibration), judged
    drawn = draw_evenly(dataset.photos, min(calibration, len(dataset.photos) // 2))
    taken = {photo.digest for photo in drawn}
    judged = tuple(photo for photo in dataset.photos if photo.digest not in taken)
    if not drawn or not judged:
        raise DataError(
            f"{dataset.name} has {len(dataset.photos)} photos, too few to calibrate and to judge on: add some"
        )
    return drawn, judged


def draw_evenly(photos: Sequence[Photo], n: int) -> tuple[Photo, ...]:
    """At most `n` photos, class after class in turn, in the order of their content's hash.

    A directory-ordered draw would calibrate on the first classes only.
    """
    by_class: dict[int, list[Photo]] = defaultdict(list)
    for photo in sorted(photos, key=lambda photo: (photo.digest, str(photo.path))):
        by_class[photo.label].append(photo)
    turns = [(turn, photo) for group in by_class.values() for turn, photo in enumerate(group)]
    turns.sort(key=lambda item: (item[0], item[1].digest))
    return tuple(photo for _, photo in turns[:n])


def load_images(photos: Sequence[Photo], image_input: ImageInput, *, late: bool = False, quiet: bool = True) -> Images:
    """Decode photos and bring them to the model's size, in all threads.

    Where they are more than memory should hold, or `late`, each is decoded when it is looked at, the same.

    Raises:
        DataError: if none can be decoded, or a shard is missing or damaged.
    """
    late = late or len(photos) * math.prod(image_input.shape) > latepixels.memory_bytes()
    pixels = np.empty((0 if late else len(photos), *image_input.shape), np.uint8)
    whole = np.zeros(len(photos), bool)

    def load(index: int) -> None:
        photo = photos[index]
        if isinstance(photo.content, Span) and (late or not photo.content.whole):
            whole[index] = photo.content.whole  # found when it was packed
            return
        try:
            frame = photo.frame()
            if not late:
                pixels[index] = fit_frame(frame, image_input)
            whole[index] = True
        except DataError:
            if isinstance(photo.content, Span):
                raise

    bar = progress("reading photos", len(photos), quiet=quiet)
    with bar as advance, captured_output(), ThreadPoolExecutor() as pool:
        for _ in pool.map(load, range(len(photos))):
            advance(1, "")
    if not whole.any():
        raise DataError(f"none of {len(photos)} photos can be decoded, expected JPEG, PNG, WebP, BMP or TIFF files")
    good = [photo for photo, ok in zip(photos, whole, strict=True) if ok]
    if late:
        pixels = cast(Pixels, latepixels.LatePixels(good, image_input))
    spans = [photo.content for photo in good if isinstance(photo.content, Span)]
    return Images(
        pixels=pixels if late or whole.all() else pixels[whole],
        labels=np.array([photo.label for photo in good], np.int32),
        paths=tuple(photo.path for photo in good),
        skipped=tuple(photo.path for photo, ok in zip(photos, whole, strict=True) if not ok),
        shards=np.array([span.number for span in spans], np.int32) if len(spans) == len(good) else None,
    )


def remark_skipped(paths: Sequence[Path], *, quiet: bool) -> None:
    """Name the files that are no whole images, the first five of them, with their number."""
    if paths:
        named = ", ".join(map(str, paths[:5])) + (", ..." if len(paths) > 5 else "")
        what = "file that is no whole image" if len(paths) == 1 else "files that are no whole images"
        remark(f"skipped {len(paths)} {what}: {named}", quiet=quiet)


def remark_colors(dataset: Dataset, image_input: ImageInput, arch: str, *, quiet: bool) -> None:
    """Say where grey photos meet a network that takes colour, or the reverse, by the look of a few of them."""
    looked_at = []
    with captured_output():
        for photo in draw_evenly(dataset.photos, COLORS_SEEN_IN):
            with contextlib.suppress(DataError):
                looked_at.append(photo.frame())
    grey = all(frame.ndim == 2 or not np.ptp(frame, 2).any() for frame in looked_at)
    if looked_at and grey and image_input.color == "rgb":
        remark(f"{dataset.name} is grey, {arch} takes colour: its three channels are given the same", quiet=quiet)
    if looked_at and not grey and image_input.color == "gray":
        remark(f"{dataset.name} is in colour, {arch} takes grey: its photos are turned grey", quiet=quiet)


def _found(path: Path) -> str:
    """What is there where a folder was expected, for the sentence."""
    return f"{path} is a file" if path.exists() else f"there is no {path}"


def _check_names(source: Path, names: Iterable[str]) -> None:
    """Refuse what a model file could not hold, or a terminal not show."""
    if strange := [name for name in names if re.search(UNPRINTABLE, name)]:
        raise DataError(f"{source} has a class {strange[0][:80]!a}, which is no plain text: rename it")


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")))


def _class_files(folder: Path, classes: Iterable[str], split: str) -> list[Photo]:
    photos = []
    extra = sorted(set(_class_names(folder)) - set(classes))
    if extra:
        raise DataError(f"{folder} has a class {extra[0]!r} that train/ does not have: the splits must agree")
    for index, name in enumerate(classes):
        files = sorted(path for path in (folder / name).rglob("*") if path.is_file() and not path.name.startswith("."))
        if not files:
            raise DataError(f"class {name!r} has no photos in {folder}: add some or remove the folder")
        photos += [Photo(path=path, label=index, split=split) for path in files]
    return photos
