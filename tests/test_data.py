import csv
import os
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from conftest import write_photos
from edgesdk import cli, modelfile
from edgesdk.converted import Converted
from edgesdk.errors import DataError, WriteError
from edgesdk.photos.data import (
    draw_evenly,
    load_images,
    name_classes,
    read_dataset,
    split_dataset,
    split_for_conversion,
)
from edgesdk.photos.digits import digits_folder
from edgesdk.preprocess import ImageInput
from edgesdk_device.accuracy import judge
from edgesdk_device.classifier import Model

SMALL = ImageInput(height=32, width=32)


def test_digits_are_whole_and_balanced() -> None:
    dataset = split_dataset(read_dataset("digits"))
    assert dataset.name == "digits"
    assert dataset.classes == tuple("0123456789")
    assert len(dataset.photos) == 1797
    splits = Counter(photo.split for photo in dataset.photos)
    assert splits == {"train": 1293, "val": 149, "test": 355}
    assert read_dataset("digits").fingerprint == read_dataset("digits").fingerprint


def test_class_folders_are_split_the_same_way_everywhere(photos: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "copy", 40)
    here, there = split_dataset(read_dataset(photos)), split_dataset(read_dataset(tmp_path / "copy"))
    assert [photo.split for photo in here.photos] == [photo.split for photo in there.photos]
    assert here.fingerprint == there.fingerprint
    for label in range(3):
        assert Counter(photo.split for photo in here.photos if photo.label == label) == {
            "train": 28,
            "val": 4,
            "test": 8,
        }


def test_equal_files_never_land_in_two_splits(tmp_path: Path) -> None:
    write_photos(tmp_path / "set", 10)
    for index in range(10):
        source = tmp_path / "set" / "red" / f"{index:02d}.png"
        (tmp_path / "set" / "red" / f"copy{index}.png").write_bytes(source.read_bytes())
    splits: dict[str, set[str]] = {}
    for photo in split_dataset(read_dataset(tmp_path / "set")).photos:
        splits.setdefault(photo.digest, set()).add(photo.split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize("copied", range(3))
def test_a_photo_that_is_most_of_a_class_leaves_some_for_each_split(copied: int, tmp_path: Path) -> None:
    write_photos(tmp_path / "set", 3)
    for index in range(40):
        shutil.copy(tmp_path / "set" / "red" / f"{copied:02d}.png", tmp_path / "set" / "red" / f"copy{index}.png")
    found = {(photo.label, photo.split) for photo in split_dataset(read_dataset(tmp_path / "set")).photos}
    assert found == {(label, split) for label in range(3) for split in ("train", "val", "test")}


def test_split_folders_stay_and_a_missing_one_comes_from_train(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", 10)
    write_photos(tmp_path / "test", 3)
    (tmp_path / "notes.txt").write_text("beside them, ignored")
    dataset = split_dataset(read_dataset(tmp_path))
    assert Counter(photo.split for photo in dataset.photos) == {"train": 27, "val": 3, "test": 9}
    assert all((photo.split == "test") == ("/test/" in str(photo.path)) for photo in dataset.photos)


def test_labels_csv_with_more_classes_than_photos(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for index in range(4):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), np.full((4, 4, 3), index, np.uint8))
    rows = [{"file": f"{i}.png", "class_index": i, "label": f"thing {i}"} for i in range(4)]
    _write_csv(tmp_path / "labels.csv", rows)
    _write_csv(tmp_path / "classes.csv", [{"class_index": i, "label": f"thing {i}"} for i in range(6)])
    dataset = read_dataset(tmp_path)
    assert dataset.classes == tuple(f"thing {i}" for i in range(6))
    calibration, test = split_for_conversion(dataset, 100)
    assert (len(calibration), len(test)) == (2, 2)


def test_two_classes_of_one_name_stay_two(int8_file: Converted, photos: Path, tmp_path: Path) -> None:
    """As ImageNet's crane, the bird, and crane, the machine."""
    cranes = ("crane", "green", "crane")
    (tmp_path / "images").mkdir()
    rows = []
    for index, name in enumerate(("blue", "green", "red")):
        for photo in sorted((photos / name).iterdir()):
            shutil.copy(photo, tmp_path / "images" / f"{name}{photo.name}")
            rows.append({"file": f"{name}{photo.name}", "class_index": index, "label": cranes[index]})
    _write_csv(tmp_path / "labels.csv", rows)
    dataset = read_dataset(tmp_path)
    assert name_classes(dataset, cranes) == dataset
    assert [photo.label for photo in name_classes(dataset, ("x", *cranes)).photos[::40]] == [1, 2, 3]
    named = replace(int8_file.contract, output=replace(int8_file.contract.output, labels=cranes))
    modelfile.write(tmp_path / "m.tflite", modelfile.read(int8_file.path).content, named)
    with Model(tmp_path / "m.tflite", backend="litert", threads=1, trust=True) as model:
        judged = judge(model, str(tmp_path))
    assert judged.top1 > 0.9
    assert set(judged.per_class) == {"crane (0)", "green", "crane (2)"}


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"file": "../secret.png", "class_index": 0, "label": "x"}, "outside"),
        ({"file": "gone.png", "class_index": 0, "label": "x"}, "gone.png"),
        ({"file": "0.png", "class_index": "one", "label": "x"}, "whole number"),
        ({"file": "0.png", "class_index": 7, "label": "x"}, "without gaps"),
        ({"name": "0.png", "class_index": 0, "label": "x"}, "no column 'file'"),
        (
            {"file": "0.png", "class_index": 0, "label": "x", "split": "valid"},
            "split 'valid', expected train, val, test",
        ),
    ],
)
def test_a_wrong_labels_csv_is_named(tmp_path: Path, row: dict[str, object], found: str) -> None:
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "0.png"), np.zeros((4, 4, 3), np.uint8))
    _write_csv(tmp_path / "labels.csv", [row])
    with pytest.raises(DataError, match=found):
        read_dataset(tmp_path)


def _write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no"):
        read_dataset(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        read_dataset(tmp_path / "file")
    with pytest.raises(DataError, match="0 class folders"):
        read_dataset(tmp_path)
    write_photos(tmp_path / "set", 5)
    (tmp_path / "set" / "empty").mkdir()
    with pytest.raises(DataError, match="'empty' has no photos"):
        read_dataset(tmp_path / "set")
    (tmp_path / "one" / "only").mkdir(parents=True)
    (tmp_path / "one" / "only" / "a.png").touch()
    with pytest.raises(DataError, match="1 class folder,"):
        read_dataset(tmp_path / "one")


def test_a_class_whose_name_is_no_text_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(tmp_path / "set", 3)
    os.rename(tmp_path / "set" / "red", os.fsencode(tmp_path / "set") + b"/caf\xe9")  # noqa: PTH104 - no text
    assert cli.main(["train", str(tmp_path / "set")]) == 1
    assert r"has a class 'caf\udce9', which is no plain text: rename it" in capsys.readouterr().err


def test_too_few_photos_are_named(tmp_path: Path) -> None:
    write_photos(tmp_path / "set", 2)
    with pytest.raises(DataError, match="'blue' has 2 different photos"):
        split_dataset(read_dataset(tmp_path / "set"))
    for index in range(2, 9):  # the same photo again and again
        (tmp_path / "set" / "blue" / f"{index}.png").write_bytes((tmp_path / "set" / "blue" / "00.png").read_bytes())
    with pytest.raises(DataError, match="'blue' has 2 different photos"):
        split_dataset(read_dataset(tmp_path / "set"))


def test_a_class_that_train_does_not_have_is_named(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", 5)
    write_photos(tmp_path / "test", 5)
    (tmp_path / "test" / "zebra").mkdir()
    with pytest.raises(DataError, match="zebra"):
        read_dataset(tmp_path)


def test_damaged_files_are_skipped_and_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_photos(tmp_path / "set", 5)
    (tmp_path / "set" / "red" / "notes.txt").write_text("no picture")
    whole = (tmp_path / "set" / "red" / "00.png").read_bytes()
    (tmp_path / "set" / "red" / "short.png").write_bytes(whole[:100])
    dataset = read_dataset(tmp_path / "set")
    images = load_images(dataset.photos, SMALL)
    assert sorted(path.name for path in images.skipped) == ["notes.txt", "short.png"]
    assert images.pixels.shape == (15, 32, 32, 3)
    assert Counter(images.labels.tolist()) == {0: 5, 1: 5, 2: 5}
    assert capfd.readouterr() == ("", "")  # libpng's complaints stay off the terminal


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_text("no picture")
    with pytest.raises(DataError, match="none of 2 photos"):
        load_images(read_dataset(tmp_path).photos, SMALL)


def test_calibration_is_drawn_evenly(photos: Path) -> None:
    drawn = draw_evenly(read_dataset(photos).photos, 9)
    assert Counter(photo.label for photo in drawn) == {0: 3, 1: 3, 2: 3}


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as a full disk does")
def test_a_full_disk_leaves_no_half_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(WriteError, match="make room, or name another cache folder"):
            digits_folder()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "cache").iterdir()) == []
    assert read_dataset("digits").fingerprint.startswith("7e114e72cb8f98ba")
