import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import write_photos
from edgesdk import verbs
from edgesdk.errors import RunError
from edgesdk.photos.data import read_dataset
from edgesdk.preprocess import input_of
from edgesdk.runfolder import Learning, Run, read_run
from edgesdk.spec import ModelSpec
from edgesdk.verbs.codec import train_codec
from edgesdk.verbs.generative import train_generative
from edgesdk_convert.load import load_network
from edgesdk_train.learn import learn
from edgesdk_train.plots import write_confusions

TRAIN = {"width": 0.25, "res": 48, "batch": 16}


def test_a_run_learns_and_says_how(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert run.top1 is not None
    assert run.top1 >= 0.9
    assert run.top1_n == 24
    assert run.classes == ("blue", "green", "red")
    assert run.source.trained
    rows = _history(run_folder)
    assert [row["stage"] for row in rows] == ["scratch"] * len(rows)
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    names = {path.name for path in run_folder.iterdir()}
    assert names == {"run.json", "model.keras", "history.csv", "learning_curve.png", "confusion.csv", "confusion.png"}


def test_a_killed_run_goes_on_as_if_nothing_had_happened(photos: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of learning, then --resume: the same history as the uninterrupted run."""
    whole = verbs.train(photos, epochs=6, out=tmp_path / "whole", **TRAIN)  # type: ignore[arg-type]
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "edgesdk.cli", "train", str(photos), "--width", "0.25", "--res", "48"]
    command += ["--batch", "16", "--epochs", "6", "-o", str(killed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    try:
        deadline = time.monotonic() + 120
        while not (killed / "checkpoint.npz").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (killed / "checkpoint.npz").exists()
    with pytest.raises(RunError, match="unfinished run: continue it with --resume"):
        verbs.train(photos, epochs=6, out=killed, **TRAIN)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="begun with epochs 6, now it is 7: name another folder"):
        verbs.train(photos, epochs=7, out=killed, resume=True, **TRAIN)  # type: ignore[arg-type]
    resumed = verbs.train(photos, epochs=6, out=killed, resume=True, **TRAIN)  # type: ignore[arg-type]
    assert resumed.top1 == whole.top1
    assert _losses(killed) == pytest.approx(_losses(tmp_path / "whole"), rel=1e-3)
    assert not (killed / "checkpoint.npz").exists()


def _losses(folder: Path) -> list[float]:
    return [float(row["val_loss"]) for row in _history(folder)]


def _history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_finished_run_is_not_overwritten_and_a_damaged_one_is_named(
    run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="a finished run"):
        verbs.train(photos, epochs=16, out=run_folder, **TRAIN)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"holds no run\.json and no saved_model\.pb"):
        verbs.convert(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match="damaged"):
        verbs.convert(tmp_path)
    shutil.copytree(run_folder, tmp_path / "copy")
    (tmp_path / "copy" / "model.keras").write_bytes((run_folder / "model.keras").read_bytes()[:5000])
    with pytest.raises(RunError, match=r"model\.keras cannot be read"):
        verbs.convert(tmp_path / "copy")


def test_photos_that_changed_are_told_so(tmp_path: Path) -> None:
    write_photos(tmp_path / "set", 6)
    verbs.train(tmp_path / "set", epochs=1, out=tmp_path / "run", **TRAIN)  # type: ignore[arg-type]
    (tmp_path / "set" / "red" / "00.png").unlink()
    with pytest.raises(RunError, match="run was begun with other photos than are there now: name another folder"):
        verbs.train(tmp_path / "set", epochs=1, out=tmp_path / "run", resume=True, **TRAIN)  # type: ignore[arg-type]


def test_a_folder_holds_runs_of_one_kind(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    """Each would replace what the other keeps, and `convert` take one of the two."""
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "run.json").write_bytes((run_folder / "run.json").read_bytes())
    (unfinished / "checkpoint.npz").write_bytes(b"of hours")
    makes_pictures, codec = tmp_path / "vae", tmp_path / "codec"
    for folder, name in ((makes_pictures, "generative.json"), (codec, "compressor.npz")):
        folder.mkdir()
        (folder / name).touch()
    for folder in (makes_pictures, codec):
        for resume in (False, True):
            with pytest.raises(RunError, match=r"holds (the run of a network that generates|an unfinished codec) "):
                verbs.train(photos, epochs=1, out=folder, resume=resume, **TRAIN)  # type: ignore[arg-type]
    for folder in (run_folder, unfinished, codec):
        with pytest.raises(RunError, match=r"holds (the run of a classifier|an unfinished codec) "):
            train_generative(photos, arch="vae", epochs=1, out=folder, resume=True)
    for folder in (run_folder, unfinished, makes_pictures):
        with pytest.raises(RunError, match="holds the run of a "):
            train_codec(photos, out=folder, resume=True)
    assert (unfinished / "checkpoint.npz").read_bytes() == b"of hours"


def test_weights_give_a_head_first_then_everything(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    weights = tmp_path / "body.h5"
    network = load_network(run_folder / "model.keras")
    noise = np.random.default_rng(0)  # so that the body has something to learn again
    network.set_weights([array * noise.uniform(0.5, 1.5, array.shape) for array in network.get_weights()])
    network.save_weights(weights)
    run = verbs.train(
        photos,
        weights=str(weights),
        transfer="finetune",
        epochs=3,
        out=tmp_path / "run",
        **TRAIN,  # type: ignore[arg-type]
    )
    rows = _history(tmp_path / "run")
    assert [row["stage"] for row in rows] == ["head", *["finetune"] * 3]
    assert run.source.weights.startswith("body.h5 sha256:")
    head = verbs.train(photos, weights=str(weights), transfer="head", out=tmp_path / "head", **TRAIN)  # type: ignore[arg-type]
    before = _kernel(weights)
    assert np.array_equal(before, _first_kernel(tmp_path / "head"))  # the body stayed as it was
    assert not np.array_equal(before, _first_kernel(tmp_path / "run"))
    assert head.learning.transfer == "head"


@pytest.mark.parametrize("start", ["wider weights", "nothing"])
def test_a_paused_run_goes_on_as_if_it_had_never_paused(
    start: str, run_folder: Path, photos: Path, tmp_path: Path
) -> None:
    """After the head of a network cut from a wider one, and after an epoch from nothing: the very same weights."""
    spec, weights, until = ModelSpec(arch="convnet", width=0.2, res=32, classes=3), "none", 1
    learning = Learning(transfer="scratch", epochs=3, batch=16)
    if start == "wider weights":
        spec, weights, until = ModelSpec(width=0.2, res=48, classes=3), str(tmp_path / "wider.h5"), 0
        learning = replace(learning, transfer="finetune", epochs=2)
        load_network(run_folder / "model.keras").save_weights(weights)

    def learn_in(folder: Path, until: int | None) -> Run:
        return learn(
            read_dataset(photos),
            spec,
            input_of(spec, "crop"),
            data=str(photos),
            weights=weights,
            learning=learning,
            folder=folder,
            until=until,
            resume=True,
            quiet=True,
        )

    paused, whole = tmp_path / "paused", tmp_path / "whole"
    assert not learn_in(paused, until).finished
    assert len(_history(paused)) == 1
    changed = (paused / "paused.keras").stat().st_mtime_ns
    assert not learn_in(paused, until).finished  # at once: it has paused there
    assert (paused / "paused.keras").stat().st_mtime_ns == changed
    assert learn_in(paused, None).finished
    learn_in(whole, None)
    assert _history(paused) == _history(whole)
    assert {path.name for path in paused.iterdir()} == {path.name for path in whole.iterdir()}
    pairs = zip(*(load_network(folder / "model.keras").get_weights() for folder in (paused, whole)), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def _kernel(weights: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    from edgesdk_train.weights import read_weights

    return read_weights(weights).layers[0][1][0]


def _first_kernel(folder: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return load_network(folder / "model.keras").layers[1].get_weights()[0]  # type: ignore[no-any-return]


def test_transfer_without_weights_is_named(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="needs pretrained weights"):
        verbs.train(photos, transfer="head", out=tmp_path / "run", **TRAIN)  # type: ignore[arg-type]


def test_skipped_files_are_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_photos(tmp_path / "set", 6)
    (tmp_path / "set" / "red" / "notes.txt").write_text("no picture")
    run = verbs.train(tmp_path / "set", epochs=1, out=tmp_path / "run", quiet=False, **TRAIN)  # type: ignore[arg-type]
    assert [Path(path).name for path in run.skipped] == ["notes.txt"]
    assert "skipped 1 file that is no whole image:" in capsys.readouterr().err


def test_any_class_name_can_be_drawn(tmp_path: Path) -> None:
    """Warnings are errors here: a letter that the font lacks is none, and a price is no formula."""
    names = ("$5_$10", "花", "tab\there")
    pairs = write_confusions(tmp_path, names, np.array([0, 1, 2], np.int32), np.array([1, 1, 2]))
    assert pairs == (("$5_$10", "花", "1"),)
    assert (tmp_path / "confusion.png").is_file()


def test_views_differ_from_the_photo_and_depend_on_the_seed_alone() -> None:
    from edgesdk_train.augment import augment

    pixels = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3)).astype(np.uint8)
    first, again, other = (augment(pixels, np.random.default_rng(seed), flip=True) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == pixels.shape
    gray = augment(pixels[..., :1], np.random.default_rng(1), flip=False)
    assert gray.shape == (4, 32, 32, 1)


def test_a_flipped_view_is_the_mirror_image(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgesdk_train import augment as a

    for name in ("SHIFT", "ZOOM", "BRIGHTNESS", "CONTRAST"):
        monkeypatch.setattr(a, name, 0.0)
    pixels = np.random.default_rng(0).integers(0, 255, (16, 8, 8, 3)).astype(np.uint8)
    views = a.augment(pixels, np.random.default_rng(0), flip=True)
    mirrored = [np.array_equal(view, picture[:, ::-1]) for view, picture in zip(views, pixels, strict=True)]
    same = [np.array_equal(view, picture) for view, picture in zip(views, pixels, strict=True)]
    assert all(m or s for m, s in zip(mirrored, same, strict=True))
    assert 0 < sum(mirrored) < 16
