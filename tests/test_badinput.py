"""What learning refuses, one clear sentence each, on the command line."""

import csv
from pathlib import Path

import pytest

from conftest import write_photos
from edgesdk import cli
from edgesdk_convert.load import load_network


@pytest.fixture(scope="module")
def places(run_folder: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Good and bad things to learn from."""
    folder = tmp_path_factory.mktemp("bad")
    load_network(run_folder / "model.keras").save_weights(folder / "body.h5")
    write_photos(folder / "few", 2)
    listed = folder / "listed"
    write_photos(listed / "images", 1)
    with (listed / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "class_index", "label"))
        rows.writerows((f"{name}/00.png", index, name) for index, name in enumerate(("blue", "green", "red")))
    with (listed / "classes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("class_index", "label"))
        rows.writerows((index, name) for index, name in enumerate(("blue", "green", "red", "white", "black")))
    return {
        "photos": str(photos),
        "body": str(folder / "body.h5"),
        "few": str(folder / "few"),
        "listed": str(listed),
        "out": str(folder / "run"),
    }


REFUSED = {
    "--arch alexnet --res 48": "res is 48, expected 67 to 2048 pixels: the strides of alexnet leave nothing of fewer",
    "--arch mobilenet_v2 --width 0.25 --res 48 --weights {body}": "it belongs to another network",
    "--arch mobilenet_v1 --width 0.5 --res 48 --weights {body} --transfer head": "body.h5",
    "--arch vgg17": "arch is 'vgg17', expected one of mobilenet_v1",
    "--transfer head": "--transfer head needs pretrained weights",
    "--transfer guess": "invalid choice: 'guess'",
    "--cut conv_pw_5_relu": "cut is 'conv_pw_5_relu' beside transfer 'auto', expected it beside slice alone",
    "--width 0.25 --res 48 --weights {body} --transfer slice --cut logits": "cannot be cut after 'logits'",
    "--label-smoothing 1": "label_smoothing is 1.0 and ema 0.0, expected 0 or more and below 1",
    "--clip-norm -1": "clip_norm is -1.0, expected 0 or more",
    "--mix paint": "invalid choice: 'paint'",
    "--time-budget -5": "time_budget is -5.0 s, expected 0 or more",
    "--teacher nowhere.run": "there is no nowhere.run, expected a run folder",
    "--weights nowhere.h5": "no weights file nowhere.h5",
}


@pytest.mark.parametrize("options", REFUSED)
def test_it_is_refused_in_one_sentence(
    options: str, places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refusal(["train", places["photos"], "-o", places["out"], *options.format(**places).split()], capsys)
    assert REFUSED[options] in said


def test_more_classes_than_photos_and_too_few_of_one(
    places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refusal(["train", places["listed"], "-o", places["out"]], capsys)
    assert "listed has 3 photos for 5 classes, expected several of each: add photos, or leave classes out" in said
    said = _refusal(["train", places["few"], "-o", places["out"]], capsys)
    assert "class 'blue' has 2 different photos to learn and to judge on, expected at least 3: add photos" in said


def test_what_is_no_mistake_is_said_in_passing(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", places["photos"], "--arch", "lenet", "--width", "0.2", "--epochs", "1"]
    assert cli.main([*command, "-o", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "photos is in colour, lenet takes grey: its photos are turned grey" in said
    assert "width 0.2 of lenet rounds the channels of " in said
    assert "C1 1 for 1.2" in said


def _refusal(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code = cli.main(command)
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    assert code in (1, 2)
    assert said.out == ""
    assert "Traceback" not in said.err
    *remarks, sentence = said.err.strip().splitlines()
    assert all(line.startswith("edgesdk: ") for line in remarks)
    return sentence
