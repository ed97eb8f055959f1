"""Choosing among candidates: the rules on made-up ones, and a small grid that is really learned and measured."""

import json
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from edgesdk import cli, modelfile
from edgesdk.cli import build_parser
from edgesdk.contract import encode_output
from edgesdk.converted import Converted
from edgesdk.errors import ChoiceError, WeightsError
from edgesdk.grid.candidates import Candidate, Limits, corners, find_front, how_many, keep_promising, pick
from edgesdk.grid.latency import FEATURES, fit_latency
from edgesdk.grid.workshop import Workshop
from edgesdk.photos.data import read_dataset, split_dataset
from edgesdk.runfolder import Learning
from edgesdk.spec import ModelSpec


def made(width: float, ms: float, top1: float, size: int = 1000) -> Candidate:
    return Candidate(
        spec=ModelSpec(width=width, res=128, classes=5),
        precision="int8",
        stage="measured",
        macs=1,
        val_top1=top1,
        top1=top1,
        low=top1,
        high=top1,
        n=400,
        ms=ms,
        size_bytes=size,
        ram_bytes=10,
        path=f"{width}.tflite",
    )


SMALL, MIDDLE, LARGE, BAD = made(0.25, 1, 0.8), made(0.5, 2, 0.88), made(1.0, 9, 0.884, 9000), made(0.75, 5, 0.7)
ALL = (SMALL, MIDDLE, LARGE, BAD)


def test_the_most_accurate_within_the_limits_is_picked() -> None:
    assert find_front(ALL) == [SMALL, MIDDLE, LARGE]
    taken, why = pick(ALL, Limits())
    assert taken is MIDDLE
    assert "within half a point of mobilenet_v1_1_128 int8" in why
    assert "4.50 times as long" in why
    taken, why = pick(ALL, Limits(budget_ms=1.5, max_size_bytes=2000))
    assert taken is SMALL
    assert "3 miss a limit" in why
    assert pick((SMALL, BAD, LARGE), Limits())[0] is LARGE


def test_where_none_keeps_the_limits_the_nearest_is_named() -> None:
    with pytest.raises(ChoiceError, match=r"nearest is mobilenet_v1_0.25_128 int8 with 1 ms instead of 0.9 ms"):
        pick(ALL, Limits(budget_ms=0.9))
    with pytest.raises(ChoiceError, match=r"80.0 % right instead of 85.0 %|2 ms instead of 1.5 ms"):
        pick(ALL, Limits(budget_ms=1.5, min_top1=0.85))
    with pytest.raises(ChoiceError, match="no candidate could be"):
        pick((), Limits())
    with pytest.raises(ValueError, match="budget_ms is -1"):
        Limits(budget_ms=-1)
    with pytest.raises(ValueError, match="min_top1 is 85"):
        Limits(min_top1=85)


def test_the_promising_go_on() -> None:
    assert [how_many(count, Limits()) for count in (1, 2, 3, 4, 8, 16)] == [1, 1, 2, 2, 3, 6]
    assert [how_many(count, Limits(budget_ms=1)) for count in (1, 2, 3, 4, 8, 16)] == [1, 1, 1, 2, 2, 4]
    cells = [(c.spec, c.ms or 0.0, c.val_top1) for c in ALL]
    assert keep_promising(cells, 4, None, 0.1) == [SMALL.spec, MIDDLE.spec, BAD.spec, LARGE.spec]
    assert keep_promising(cells, 3, None, 0.1) == [SMALL.spec, MIDDLE.spec, LARGE.spec]
    assert keep_promising(cells, 2, None, 0.1) == [SMALL.spec, MIDDLE.spec]  # seven times as long for less than a point
    near = (ModelSpec(width=0.3, res=128), 2.2, 0.879)  # a neighbour of the front outlives what is far behind it
    assert keep_promising([*cells, near], 4, None, 0.1) == [SMALL.spec, MIDDLE.spec, near[0], LARGE.spec]
    assert keep_promising(cells, 2, 2.0, 0.1) == [MIDDLE.spec, SMALL.spec]
    assert keep_promising(cells, 2, 0.1, 0.1) == [SMALL.spec]  # hopeless all: the nearest is still measured
    grid = [ModelSpec(width=w, res=r) for w in (0.25, 0.5, 0.75, 1.0) for r in (128, 160, 192, 224)]
    assert [(s.width, s.res) for s in corners(grid)] == [(0.25, 128), (0.25, 224), (0.75, 192), (1.0, 128), (1.0, 224)]


def test_latency_is_fitted_per_operation() -> None:
    """Times that are made of these costs are found again; the error says how far a left-out file would be off."""
    costs = dict(zip(FEATURES, (2e-9, 5e-9, 1e-9, 0.01), strict=True))
    files = [
        dict(zip(FEATURES, values, strict=True))
        for values in ((4e7, 3e6, 2e5, 31), (1.5e8, 6e6, 8e5, 31), (5e8, 1.7e7, 4e6, 31), (2e7, 1e6, 2e5, 31))
    ]
    times = [sum(costs[name] * file[name] for name in FEATURES) for file in files]
    model = fit_latency(list(zip(files, times, strict=True)))
    for file, ms in zip(files, times, strict=True):
        assert model.predict(file) == pytest.approx(ms, rel=0.05)
    assert model.error is not None and model.error < 0.3
    assert fit_latency([(files[0], 3.0)]).error is None
    assert all(cost >= 0 for cost in model.cost_ms.values())


def test_a_folder_of_weights(shared: Path) -> None:
    from edgesdk_train.shelf import pick_weights

    folder = shared / "models/keras"
    assert pick_weights(folder, ModelSpec(width=0.75, res=192)).name == "mobilenet_v1_0.75_192_dequant.h5"
    assert pick_weights(folder, ModelSpec(width=0.5, res=224)).name == "mobilenet_v1_0.75_224.h5"
    with pytest.raises(WeightsError, match="holds weights of mobilenet_v1_2_224 or a wider one"):
        pick_weights(folder, ModelSpec(width=2.0, res=224))


GRID = [
    "--widths",
    "0.25",
    "--resolutions",
    "32,48",
    "--precisions",
    "int8",
    "--epochs",
    "4",
    "--quick",
]


@pytest.fixture(scope="module")
def chosen(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small grid that was chosen from: work, best.tflite, page.html, chosen.json."""
    folder = tmp_path_factory.mktemp("choose")
    with pytest.MonkeyPatch.context() as patch, (folder / "chosen.json").open("w") as out, redirect_stdout(out):
        patch.chdir(folder)
        command = ["choose", str(photos), *GRID, "--work", "work", "-o", "best.tflite"]
        assert cli.main([*command, "--report", "page.html", "--json"]) == 0
    return folder


def test_a_small_grid_is_measured_and_found_again(
    chosen: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chosen)
    command = ["choose", str(photos), *GRID, "--work", "work", "-o", "again.tflite"]
    first = json.loads(Path("chosen.json").read_text())
    assert [item["name"] for item in first["candidates"]] == ["mobilenet_v1_0.25_32 int8", "mobilenet_v1_0.25_48 int8"]
    assert sorted(item["stage"] for item in first["candidates"]) == ["measured", "stopped"]
    assert all(item["ms"] > 0 for item in first["candidates"])
    assert first["pick"]["name"] in {item["name"] for item in first["front"]}
    assert modelfile.read("best.tflite").required_contract().spec is not None
    assert "Take mobilenet_v1_0.25_" in Path("page.html").read_text()
    learned = {path: path.stat().st_mtime_ns for path in Path("work").rglob("model.keras")}
    assert cli.main([*command]) == 0  # learns nothing and measures nothing again
    said = capsys.readouterr()
    assert "pick: " in said.out and "measuring" not in said.err
    assert Path("again.tflite").read_bytes() == Path("best.tflite").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in Path("work").rglob("model.keras")} == learned
    assert cli.main([*command, "--budget", "0.000001ms"]) == 1
    assert "none of 1 candidates keeps the limits: the nearest is" in capsys.readouterr().err


def test_a_file_that_cannot_be_measured_is_left_out(
    int8_file: Converted, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = int8_file.contract.golden
    wrong = replace(int8_file.contract, golden=(replace(golden[0], output=encode_output(golden[0].expected() + 9)),))
    bad = modelfile.write(tmp_path / "bad.tflite", modelfile.read(int8_file.path).content, wrong).path
    work = Workshop(
        dataset=split_dataset(read_dataset(photos)),
        data=str(photos),
        weights="none",
        learning=Learning(),
        precisions=["int8"],
        folder=tmp_path,
        host=None,
        quick=True,
        quiet=False,
        start=0.0,
    )
    for _ in range(2):
        assert work.measure([bad], quick=True) == {}
    assert capsys.readouterr().err.count("left out bad.tflite: ") == 2
    assert int8_file.path in work.measure([bad, int8_file.path], quick=True)


def test_killed_in_the_middle_it_goes_on_and_gives_the_same(
    chosen: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 in the full lesson, then the same command to its end: as if it had never been disturbed."""
    command = ["choose", str(photos), *GRID, "--work", "work", "-o", "best.tflite"]
    with subprocess.Popen(
        [sys.executable, "-m", "edgesdk.cli", *command], cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as process:
        while all(len(path.read_text().splitlines()) < 3 for path in tmp_path.glob("work/*.run/history.csv")):
            assert process.poll() is None, "ended before the full lesson's first epoch"
            time.sleep(0.02)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "best.tflite").exists()
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command, "--quiet"]) == 0
    assert (tmp_path / "best.tflite").read_bytes() == (chosen / "best.tflite").read_bytes()
    before, after = (
        [
            {key: item[key] for key in ("name", "stage", "val_top1", "top1", "size_bytes")}
            for item in json.loads(path.read_text())["candidates"]
        ]
        for path in (chosen / "chosen.json", tmp_path / "work/choose.json")
    )
    assert after == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--budget", "soon"], "'soon' is no time, expected milliseconds such as 30ms"),
        (["--max-size", "big"], "'big' is no size, expected bytes such as 900kB or 1MB"),
        (["--widths", "0.5,wide"], "'0.5,wide' are no numbers between commas"),
        (["--resolutions", "128;160"], "'128;160' are no whole numbers between commas"),
    ],
)
def test_a_limit_that_is_none_is_named(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        build_parser().parse_args(["choose", "digits", *words])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
