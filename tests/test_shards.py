"""Packed data sets: the same photos, splits and results as the folder's; damage is one sentence."""

import hashlib
import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import cli, verbs
from edgesdk.errors import DataError
from edgesdk.photos import latepixels
from edgesdk.photos.data import load_images, read_dataset, read_photos, split_dataset
from edgesdk.photos.packing import Packed, pack
from edgesdk.photos.photo import Span
from edgesdk.preprocess import input_of
from edgesdk.spec import ModelSpec

SPEC = ModelSpec(arch="convnet", width=0.2, res=32, classes=3)


@pytest.fixture(scope="module")
def mixed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The colours, some of them JPEG, and one file that is no image."""
    folder = tmp_path_factory.mktemp("mixed") / "colors"
    shutil.copytree(photos, folder)
    (folder / "red" / "broken.png").write_bytes((folder / "red" / "00.png").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def packed(mixed: Path) -> Packed:
    return pack(mixed, mixed.parent / "shards", shard_bytes=60_000)


def test_shards_are_the_folder(mixed: Path, packed: Packed) -> None:
    folder, shards = read_dataset(mixed), read_dataset(packed.path)
    assert (packed.photos, packed.kept) == (121, 0)
    assert packed.shards > 4
    assert [Path(path).name for path in packed.skipped] == ["broken.png"]
    assert replace(folder, photos=()) == replace(shards, photos=())
    for one, other in zip(split_dataset(folder).photos, split_dataset(shards).photos, strict=True):
        assert one.path.relative_to(mixed) == other.path.relative_to(packed.path)
        assert (one.label, one.split, one.digest) == (other.label, other.split, other.digest)
        assert one.file_bytes() == other.file_bytes()
    assert read_photos(mixed).fingerprint == read_photos(packed.path).fingerprint


def test_learning_from_shards_is_learning_from_the_folder(
    mixed: Path, packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where memory is too small to hold the decoded photos."""
    settings = {"arch": "convnet", "width": 0.2, "res": 32, "epochs": 2, "batch": 16}
    one = verbs.train(mixed, **settings, out=tmp_path / "folder.run")  # type: ignore[arg-type]
    monkeypatch.setattr(latepixels, "memory_bytes", lambda: 1)
    other = verbs.train(packed.path, **settings, out=tmp_path / "shards.run")  # type: ignore[arg-type]
    assert (tmp_path / "folder.run/history.csv").read_text() == (tmp_path / "shards.run/history.csv").read_text()
    assert (one.top1, one.source, one.confusions) == (other.top1, other.source, other.confusions)
    assert [Path(path).name for path in other.skipped] == ["broken.png"]


def test_late_pixels_are_the_pixels(mixed: Path) -> None:
    photos = split_dataset(read_dataset(mixed)).photos
    once, late = (load_images(photos, input_of(SPEC), late=late) for late in (False, True))
    assert isinstance(late.pixels, latepixels.LatePixels)
    assert late.skipped == once.skipped and len(late.pixels) == 120
    order = np.random.default_rng(0).permutation(120)[:7]
    np.testing.assert_array_equal(late.pixels[order], once.pixels[order])
    np.testing.assert_array_equal(late.pixels[5:9], once.pixels[5:9])
    np.testing.assert_array_equal(np.asarray(late.pixels), once.pixels)
    np.testing.assert_array_equal(late.pixels[-1], once.pixels[-1])
    np.testing.assert_array_equal(np.stack(list(late.pixels)), once.pixels)


def test_a_last_layer_learns_from_late_pixels_what_it_learns_from_pixels(mixed: Path) -> None:
    import tf_keras as keras

    from edgesdk_train.models import build_model
    from edgesdk_train.transfer import train_head

    photos = split_dataset(read_dataset(mixed)).photos
    found = []
    for late in (False, True):
        train, val = (
            load_images([photo for photo in photos if photo.split == split], input_of(SPEC), late=late)
            for split in ("train", "val")
        )
        keras.utils.set_random_seed(0)
        found.append(train_head(build_model(SPEC), train, val, input_of(SPEC), seed=0, flip=True, epochs=2))
    assert found[0] == found[1]


def test_converting_where_memory_is_small_is_converting(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "c.run"
    verbs.train(mixed, arch="convnet", width=0.2, res=32, epochs=2, batch=16, out=run)
    one = verbs.convert(run, prune=0.5, out=tmp_path / "one.tflite")
    monkeypatch.setattr(latepixels, "memory_bytes", lambda: 1)
    other = verbs.convert(run, prune=0.5, out=tmp_path / "other.tflite")
    assert one.contract == other.contract
    assert len(list(run.glob("prune-0.5-*"))) == 1  # what was learned is found again


def test_a_rerun_keeps_what_is_whole_and_mends_the_rest(mixed: Path, packed: Packed, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(packed.path, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    names = sorted(path.name for path in folder.glob("train-*"))
    (folder / names[0]).unlink()
    (folder / names[1]).write_bytes(before[names[1]][:-1])
    content = bytearray(before[names[2]])
    content[len(content) // 2] ^= 1
    (folder / names[2]).write_bytes(content)
    (folder / "shards.json").unlink()
    assert pack(mixed, folder, shard_bytes=60_000).kept == packed.shards - 3
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_packing_again_leaves_no_older_shards_and_takes_nobody_elses(photos: Path, tmp_path: Path) -> None:
    data, folder = tmp_path / "colors", tmp_path / "shards"
    shutil.copytree(photos, data)
    pack(data, folder, shard_bytes=60_000)
    pack(data, folder)
    assert sorted(path.name for path in folder.glob("*.tfrecord")) == [
        f"{split}-00000-of-00001.tfrecord" for split in ("test", "train", "val")
    ]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match="holds the shards of colors, not of photos: name another folder"):
        pack(photos, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_damage_is_one_sentence(packed: Packed, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(packed.path, folder)
    shard = sorted(folder.glob("train-*"))[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-100])
    with pytest.raises(
        DataError, match=rf"{shard.name} has {len(whole) - 100} bytes, expected {len(whole)}: it is cut"
    ):
        read_dataset(folder)
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 1
    shard.write_bytes(flipped)
    with pytest.raises(DataError, match=rf"{shard.name} is damaged: the \d+ bytes at \d+ are not those"):
        load_images(read_dataset(folder).photos, input_of(SPEC))
    shard.unlink()  # of another worker: found missing where it is needed
    with pytest.raises(DataError, match=rf"cannot read the shard .*{shard.name}: No such file"):
        load_images(read_dataset(folder).photos, input_of(SPEC))
    index = (folder / "shards.csv").read_text()
    (folder / "shards.csv").write_text(index.replace("blue", "grey", 1))
    with pytest.raises(DataError, match=r"shards\.csv is not the one that shards\.json names"):
        read_dataset(folder)
    manifest = json.loads((folder / "shards.json").read_text())
    for path in folder.glob("*.tfrecord"):
        path.unlink()
    (folder / "shards.json").write_text(json.dumps(manifest))
    (folder / "shards.csv").write_text(index)
    with pytest.raises(DataError, match="holds none of the"):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"format": "other"}, "format is 'other', expected 'edgesdk shards 1'"),
        ({"classes": 3}, "manifest.classes is '3'"),
        ({"classes": ["one"]}, "it has 1 classes and 0 synsets, expected at least 2"),
        ({"classes": ["blue", "green", "\ud800"]}, "surrogates not allowed"),
        ({"synsets": ["n01"]}, "it has 3 classes and 1 synsets"),
        ({"fingerprint": "x"}, "the fingerprint or the index's sha256 is none"),
        ({"shards": 2}, "a shard is named twice"),
        ({"file": "../x"}, "'../x' is no shard's name, expected train-00000-of-00001.tfrecord or alike"),
        ({"file": ".."}, "'..' is no shard's name"),
        ({"file": "train-00000-of-00001.tfrecord\n"}, "is no shard's name"),
        ({"file": f"train-{'0' * 5000}-of-00001.tfrecord"}, "is no shard's name"),
        ({"file": "shards.csv"}, "'shards.csv' is no shard's name"),
        ({"size_bytes": -1}, "has an impossible size"),
        ({"photos": -1}, "has an impossible size, number of photos"),
        ({"sha256": ""}, "number of photos or sha256"),
    ],
)
def test_a_manifest_that_is_wrong(packed: Packed, tmp_path: Path, change: dict[str, Any], found: str) -> None:
    manifest = json.loads((packed.path / "shards.json").read_text())
    first = manifest["shards"][0]
    if isinstance(change.get("shards"), int):
        change = {"shards": [first] * change["shards"]}
    elif change.keys() & first.keys():
        change = {"shards": [first | change]}
    (tmp_path / "shards.json").write_text(json.dumps(manifest | change))
    with pytest.raises(DataError, match=rf"shards\.json is damaged \(.*{re.escape(found)}.*\): pack again") as caught:
        read_dataset(tmp_path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("photo", "/etc/passwd", "is no name inside a folder"),
        ("photo", "../../x.png", "is no name inside a folder"),
        ("photo", "", "'' is no name inside a folder"),
        ("label", "3", "has label 3 and split"),
        ("label", "one", "invalid literal"),
        ("split", "best", "split 'best'"),
        ("shard", "-1", "lies in shard -1 of"),
        ("shard", "99", "lies in shard 99 of"),
        ("offset", "-1", "lies outside train-00000"),
        ("size", "9" * 12, "lies outside train-00000"),
        ("size", "9" * 5000, "Exceeds the limit"),
        ("digest", "", "has a hash that is none"),
        ("check", "", "has a hash that is none"),
        ("check", "0", "has a hash that is none"),
        ("whole", "yes", "or is neither whole nor not"),
        ("whole", None, "row 1 has 8 columns, expected 9"),
        ("check", None, "row 1 has 8 columns, expected 9"),
        ("whole", "1,1", "row 1 has 10 columns, expected 9"),
        ("photo", '"', "row 1 has 1 columns, expected 9"),
        ("photo", "x" * 200_000, "field larger than field limit"),
    ],
)
def test_an_index_that_is_wrong(packed: Packed, tmp_path: Path, column: str, value: str | None, found: str) -> None:
    """Where the manifest names it all the same."""
    shutil.copytree(packed.path, tmp_path / "shards")
    lines = (tmp_path / "shards/shards.csv").read_text().splitlines()
    place = lines[0].split(",").index(column)
    cells = lines[1].split(",")
    cells[place : place + 1] = [] if value is None else [value]
    name_index(tmp_path / "shards", "\n".join([lines[0], ",".join(cells), *lines[2:], ""]))
    with pytest.raises(DataError, match=rf"shards\.csv is damaged \(.*{found}.*\): pack again") as caught:
        read_dataset(tmp_path / "shards")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def name_index(folder: Path, text: str) -> None:
    """Write an index, and its hash into the manifest."""
    (folder / "shards.csv").write_text(text)
    manifest = json.loads((folder / "shards.json").read_text())
    manifest["index_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "shards.json").write_text(json.dumps(manifest))


def test_an_index_of_other_columns_or_fewer_rows(packed: Packed, tmp_path: Path) -> None:
    shutil.copytree(packed.path, tmp_path / "shards")
    head, *lines = (tmp_path / "shards/shards.csv").read_text().splitlines(keepends=True)
    for text, found in (
        ("", "its columns are '', expected photo,label"),
        ("photo,label\nx,1\n", "its columns are 'photo,label', expected photo,label,split"),
        ("".join([head, *lines[:-1]]), "it has 120 rows for 121 photos"),
        ("".join([head, *lines, lines[0]]), "it has 122 rows for 121 photos"),
    ):
        name_index(tmp_path / "shards", text)
        with pytest.raises(DataError, match=rf"shards\.csv is damaged \({found}"):
            read_dataset(tmp_path / "shards")


def test_files_that_are_larger_than_memory_should_hold(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = read_dataset(packed.path).photos[0]
    assert isinstance(photo.content, Span)
    with pytest.raises(DataError, match=r"the 268435457 bytes at \d+ of .*tfrecord are more than 256 MiB"):
        replace(photo.content, size=2**28 + 1).read()
    for name, limit in (("shards.csv", "LARGEST_INDEX_BYTES"), ("shards.json", "LARGEST_MANIFEST_BYTES")):
        monkeypatch.setattr(f"edgesdk.photos.shards.{limit}", 2**10)
        with pytest.raises(DataError, match=rf"cannot read .*{name}: it is larger than"):
            read_dataset(packed.path)


def test_a_damaged_shard_is_packed_again(mixed: Path, packed: Packed, tmp_path: Path) -> None:
    """Whatever lies under its name: the record of 2^40 bytes, its length's checksum right, would end TensorFlow."""
    folder = tmp_path / "shards"
    shutil.copytree(packed.path, folder)
    path = min(folder.glob("train-*"))
    whole, chance = path.read_bytes(), random.Random(0)
    huge = (2**40).to_bytes(8, "little") + bytes.fromhex("aa3d6be4")
    damaged = [huge + whole[12:], b"", whole[:12], whole + whole, whole + bytes(16)]
    for _ in range(8):
        at = chance.randrange(len(whole))
        damaged.append(whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :])
    for data in damaged:
        path.write_bytes(data)
        assert pack(mixed, folder, shard_bytes=60_000).kept == packed.shards - 1
        assert path.read_bytes() == whole


def test_each_worker_reads_its_own_shards(packed: Packed, tmp_path: Path) -> None:
    """Every photo comes once an epoch, and a worker does without the others' shards."""
    from edgesdk_train.batches import deal
    from edgesdk_train.stage import Stage
    from edgesdk_train.team import Team

    train = [photo for photo in split_dataset(read_dataset(packed.path)).photos if photo.split == "train"]
    images = load_images(train, input_of(SPEC), late=True)
    stage = Stage(name="s", epochs=1, rate=1, epsilon=1, batch=16, patience=1, flip=True, seed=0)
    for shards in (images.shards, None):
        held = replace(images, shards=shards)
        alone = deal(held, stage, 0, Team())
        parts = [deal(held, stage, 0, Team(index=index, count=3)) for index in range(3)]
        for step, (rows, _) in enumerate(alone):
            together = np.concatenate([part[step][0] for part in parts])
            assert len(together) == {part[step][1] for part in parts}.pop()
            if shards is None:
                assert np.array_equal(together, rows)
            else:  # as many batches, each worker's photos spread over them
                assert abs(len(together) - len(images.labels) / len(alone)) <= 3
        seen = np.concatenate([rows for part in parts for rows, _ in part])
        assert sorted(seen.tolist()) == list(range(len(images.labels)))
    shutil.copytree(packed.path, tmp_path / "mine")
    for number, path in enumerate(sorted((tmp_path / "mine").glob("train-*"))):
        path.unlink() if number % 3 else None
    here = load_images(read_dataset(tmp_path / "mine").photos, input_of(SPEC), late=True)
    assert len(here.pixels[Team(index=0, count=3).own(here)]) > 20


def test_arrays_are_packed_without_loss(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (30, 9, 7, 3)).astype(np.uint8)
    np.savez(tmp_path / "set.npz", x_train=x, y_train=np.arange(30) % 2)
    pack(tmp_path / "set.npz", tmp_path / "shards")
    for one, other in zip(
        read_dataset(tmp_path / "set.npz").photos, read_dataset(tmp_path / "shards").photos, strict=True
    ):
        np.testing.assert_array_equal(one.frame(), other.frame())
        assert one.digest == other.digest


def test_the_command(mixed: Path, packed: Packed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pack", str(mixed), str(tmp_path / "out"), "--shard-size", "1GB", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["photos"], found["shards"], found["fingerprint"]) == (121, 3, packed.fingerprint)
    assert cli.main(["pack", str(mixed), str(tmp_path / "out"), "--shard-size", "1GB"]) == 0
    said = capsys.readouterr()
    assert "in 3 shards, 0.7 MB, 3 of them lay there whole" in said.out
    assert "skipped 1 file that is no whole image" in said.err


def test_a_codec_learns_from_shards_as_from_the_folder(mixed: Path, packed: Packed) -> None:
    from edgesdk_train.crops import read_pool

    pools = [read_pool(read_photos(place).photos) for place in (mixed, packed.path)]
    first, second = (sorted(photo.tobytes() for photo in pool) for pool in pools)
    assert first == second
