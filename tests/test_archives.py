"""Data in one file: read right, and nothing hostile believed."""

import gzip
import io
import pickle
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from conftest import write_photos
from edgesdk.errors import DataError
from edgesdk.photos import archives
from edgesdk.photos.data import load_images, read_dataset, split_dataset
from edgesdk.preprocess import ImageInput

GREY = ImageInput(height=28, width=28, channels=1, color="gray")
COLOR = ImageInput(height=40, width=48)


def save_arrays(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_an_npz_of_grey_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 28, 28)).astype(np.uint8), np.arange(60) % 3
    path = save_arrays(tmp_path / "small.npz", x_train=x[:48], y_train=y[:48], x_test=x[48:], y_test=y[48:])
    dataset = split_dataset(read_dataset(path))
    assert (dataset.name, dataset.classes) == ("small", ("0", "1", "2"))
    assert Counter(photo.split for photo in dataset.photos) == {"train": 42, "val": 6, "test": 12}
    test = [photo for photo in dataset.photos if photo.split == "test"]
    images = load_images(test, GREY)
    assert np.array_equal(images.pixels[..., 0], x[48:])
    assert np.array_equal(images.labels, y[48:])
    colour = load_images(test, ImageInput(height=28, width=28)).pixels
    assert np.array_equal(colour, np.repeat(x[48:, ..., None], 3, 3))  # each channel the same
    assert read_dataset(path).fingerprint == read_dataset(path).fingerprint


def test_an_npz_of_colour_pictures_names_its_classes(tmp_path: Path) -> None:
    x = np.zeros((6, 40, 48, 3), np.uint8)
    x[..., 0] = 200  # red
    names = np.array(["cat", "dog", "owl"])
    path = save_arrays(
        tmp_path / "c.npz", x_train=x, y_train=(np.arange(6) % 3)[:, None].astype(np.uint8), classes=names
    )
    dataset = read_dataset(path)
    assert dataset.classes == ("cat", "dog", "owl")
    assert {photo.split for photo in dataset.photos} == {""}  # all are left to be split
    assert np.array_equal(load_images(dataset.photos, COLOR).pixels, x)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"x_test": np.zeros((2, 4, 4), np.uint8), "y_test": np.zeros(2, int)}, "no x_train"),
        ({"x_train": np.zeros((2, 4, 4), np.uint8)}, "y_train is missing"),
        ({"x_train": np.zeros((2, 4, 4)), "y_train": np.zeros(2, int)}, "x_train is float64"),
        ({"x_train": np.zeros((2, 4, 4, 2), np.uint8), "y_train": np.zeros(2, int)}, r"\(2, 4, 4, 2\), expected"),
        ({"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": np.zeros(3, int)}, "expected 2 whole numbers"),
        ({"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": np.array([0, -1])}, "labels from -1 to 0"),
        ({"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": np.array([0, 10**9])}, "labels from 0 to 1000000000"),
        (
            {"x_train": np.zeros((2, 4, 4), np.uint8), "y_train": np.arange(2), "classes": np.array(["a"])},
            "text for each of 2",
        ),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], found: str) -> None:
    with pytest.raises(DataError, match=found):
        read_dataset(save_arrays(tmp_path / "wrong.npz", **arrays))


class Harmful:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    array = np.empty(1, object)
    array[0] = Harmful(tmp_path / "harm")
    path = save_arrays(tmp_path / "harmful.npz", x_train=array, y_train=np.zeros(1, int))
    with pytest.raises(DataError, match=r"x_train.npy in .* is object \(1,\), expected plain numbers"):
        read_dataset(path)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Harmful(tmp_path / "harm")))
    with pytest.raises(DataError, match="no whole"):
        read_dataset(tmp_path / "pickle.npz")
    assert not (tmp_path / "harm").exists()


def test_a_header_that_lies_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    header = io.BytesIO()
    formats: Any = np.lib.format
    formats.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 28, 28)})
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as file:
        file.writestr("x_train.npy", header.getvalue() + b"few")
    with pytest.raises(DataError, match="as long as they say"):
        read_dataset(tmp_path / "lie.npz")


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_BYTES", 100_000)
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x_train.npy", b"\0" * 1_000_000)
    with pytest.raises(DataError, match="unpacks to more than"):
        read_dataset(bomb)
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as tar:
        item = tarfile.TarInfo("a/zeros.png")
        item.size = 1_000_000
        tar.addfile(item, io.BytesIO(b"\0" * item.size))
    assert (tmp_path / "bomb.tar.gz").stat().st_size < 10_000
    with pytest.raises(DataError, match="unpacks to more than"):
        read_dataset(tmp_path / "bomb.tar.gz")
    item = tarfile.TarInfo("a/holes.png")
    item.type, item.size = tarfile.GNUTYPE_SPARSE, 512
    head = bytearray(item.tobuf(tarfile.GNU_FORMAT))
    head[386:434] = b"".join(b"%011o\0" % n for n in (0, 512, 2**33 - 1, 0))  # 512 bytes, then a hole of 8 GiB
    head[483:495] = b"%011o\0" % (2**33 - 1)
    head[148:156] = b"%06o\0 " % (256 + sum(head[:148]) + sum(head[156:]))
    (tmp_path / "holes.tar").write_bytes(bytes(head) + bytes(512 + 1024))
    with pytest.raises(DataError, match=r"'a/holes\.png' with holes in it"):
        read_dataset(tmp_path / "holes.tar")


def pack(folder: Path, path: Path, name: str = ".") -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as tar:
        tar.add(folder, name)
    return path


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.xz", "tar.bz2"])
def test_a_tar_is_its_folder(tmp_path: Path, ending: str) -> None:
    write_photos(tmp_path / "set", 4)
    (tmp_path / "set" / "notes.txt").write_text("beside the class folders, ignored")
    (tmp_path / "set" / ".hidden").mkdir()
    (tmp_path / "set" / ".hidden" / "x.png").write_text("ignored")
    folder = read_dataset(tmp_path / "set")
    for name in (".", "set"):
        dataset = read_dataset(pack(tmp_path / "set", tmp_path / f"packed.{ending}", name))
        assert (dataset.name, dataset.classes) == ("packed", folder.classes)
        assert sorted(photo.digest for photo in dataset.photos) == sorted(photo.digest for photo in folder.photos)
    assert np.array_equal(load_images(dataset.photos, COLOR).pixels, load_images(folder.photos, COLOR).pixels)


def test_splits_in_a_tar_and_tars_of_splits(tmp_path: Path) -> None:
    write_photos(tmp_path / "set" / "train", 5)
    write_photos(tmp_path / "set" / "test", 2)
    whole = read_dataset(pack(tmp_path / "set", tmp_path / "whole.tar"))
    apart = tmp_path / "apart"
    apart.mkdir()
    for split in ("train", "test"):
        pack(tmp_path / "set" / split, apart / f"photos_{split}.tar.gz")
    for dataset in (whole, read_dataset(apart)):
        assert dataset.classes == ("blue", "green", "red")
        assert Counter(photo.split for photo in dataset.photos) == {"train": 15, "test": 6}
    assert read_dataset(apart).name == "apart"
    (tmp_path / "set" / "test" / "red" / "00.png").unlink()
    (tmp_path / "set" / "test" / "red" / "01.png").unlink()
    pack(tmp_path / "set" / "test", apart / "photos_test.tar.gz")
    with pytest.raises(DataError, match="test has no photos of 'red'"):
        read_dataset(apart)


def test_hostile_tars_are_refused_or_left_unread(tmp_path: Path) -> None:
    png = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()

    def written(*names: str, link: str = "") -> Path:
        with tarfile.open(tmp_path / "hostile.tar", "w") as tar:
            for name in names:
                item = tarfile.TarInfo(name)
                item.size = len(png)
                tar.addfile(item, io.BytesIO(png))
            if link:
                item = tarfile.TarInfo("a/link.png")
                item.type, item.linkname = tarfile.SYMTYPE, link
                tar.addfile(item)
        return tmp_path / "hostile.tar"

    for name in ("../outside/x.png", "/etc/x.png", "a/b\x07/x.png"):
        with pytest.raises(DataError, match="expected names of class folders and photos"):
            read_dataset(written("a/1.png", name))
    dataset = read_dataset(written("a/1.png", "b/1.png", link="/etc/passwd"))
    assert [photo.path.name for photo in dataset.photos] == ["1.png", "1.png"]
    with pytest.raises(DataError, match="holds no class folders"):
        read_dataset(written("only.png"))
    (tmp_path / "short.tar.gz").write_bytes(gzip.compress(written("a/1.png", "b/1.png").read_bytes())[:-40])
    (tmp_path / "text.tar").write_text("no tar")
    for name in ("short.tar.gz", "text.tar"):
        with pytest.raises(DataError, match="no whole tar"):
            read_dataset(tmp_path / name)


def test_the_shared_archives(shared: Path) -> None:
    fashion = read_dataset(shared / "datasets/fashion_mnist/fashion_mnist.npz")
    assert Counter(photo.split for photo in fashion.photos) == {"train": 60_000, "test": 10_000}
    cifar = read_dataset(shared / "datasets/cifar10")
    assert Counter(photo.split for photo in cifar.photos) == {"train": 25_000, "test": 10_000}
    assert len(cifar.classes) == 10
    assert load_images(cifar.photos[:5], ImageInput(height=32, width=32)).pixels.shape == (5, 32, 32, 3)
