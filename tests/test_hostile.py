"""What hostile files are refused for, and how soon; `benchmarks/fuzz.py` looks for more of it."""

import json
import resource
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgesdk import cli, modelfile
from edgesdk.contract import Contract, Golden, blocks_frame, from_json
from edgesdk.converted import Converted
from edgesdk.errors import AppFileError, BackendError, DataError, MeasurementError, ModelFileError, RunError
from edgesdk.flatbuffer import pack_model, unpack_model
from edgesdk.photos import archives
from edgesdk.photos.data import name_classes, read_dataset, read_labels
from edgesdk.preprocess import ImageInput, decode_photo, read_photo
from edgesdk.reports import benchlog
from edgesdk.runfolder import read_run
from edgesdk_convert.foreign import find_kind
from edgesdk_convert.inspect import read_graph
from edgesdk_device.app import read_app
from edgesdk_device.cameras.jpeg import decode_jpeg
from edgesdk_device.cameras.live import CorruptFrameError
from edgesdk_device.classifier import Classifier
from edgesdk_device.fleet import read_fleet

ROOT = Path(__file__).parents[1]


def test_a_few_damaged_inputs_of_every_kind(int8_file: Converted, tmp_path: Path) -> None:
    """The short form of benchmarks/fuzz.py: exit code 1 where one of them is no refusal and no right reading."""
    script = ROOT / "benchmarks" / "fuzz.py"
    options = ["--mutants", "40", "--start", "5000", "--minutes", "0", "--dry", "--keep", str(tmp_path / "found")]
    command = [sys.executable, str(script), str(int8_file.path), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "0 defects" in done.stdout
    assert not (tmp_path / "found").exists()


def png(width: int, height: int, length: int | None = None) -> bytes:
    """A PNG that says it is so large, its picture data a few bytes that say to be `length`."""

    def part(kind: bytes, data: bytes, length: int | None = None) -> bytes:
        head = struct.pack(">I", len(data) if length is None else length) + kind
        return head + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(1000)), length) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("data", [png(100_000, 100_000), png(30_000, 30_000), png(64, 64, length=2**31 - 1)])
def test_pictures_that_claim_too_much_take_no_memory(data: bytes, tmp_path: Path) -> None:
    before = peak_bytes()
    assert decode_photo(data) is None
    assert peak_bytes() - before < 100e6
    (tmp_path / "large.png").write_bytes(data)
    with pytest.raises(DataError, match="not an image"):
        read_photo(tmp_path / "large.png")


def test_a_camera_that_claims_too_much_is_a_corrupt_frame() -> None:
    jpeg = bytearray(cv2.imencode(".jpg", blocks_frame(0, 64, 64))[1].tobytes())
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65000, 65000)
    with pytest.raises(CorruptFrameError):
        decode_jpeg(bytes(jpeg))


def test_ten_million_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(b"a\n" * 10_000_000)
    start = time.monotonic()
    with pytest.raises(DataError, match="larger than 16 MiB"):
        read_labels(path)
    path.write_bytes(b"a\n" * 200_000)
    with pytest.raises(DataError, match="200000 lines, expected one label a line, at most 100000"):
        read_labels(path)
    assert time.monotonic() - start < 5


def test_many_classes_are_named_at_once(photos: Path) -> None:
    dataset = read_dataset(photos)
    labels = [f"class {index}" for index in range(90_000)]
    many = replace(dataset, classes=tuple(reversed(labels)), photos=())
    start = time.monotonic()
    assert name_classes(many, labels).classes[0] == "class 0"
    assert time.monotonic() - start < 5


def changed(contract: Contract, **change: Any) -> str:
    return json.dumps(json.loads(contract.to_json()) | change)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"golden": [{"generator": "blocks"}] * 5000}, "golden has 5000 entries, expected at most 4096"),
        ({"input": {"height": 4096, "width": 4096, "channels": 10**9, "color": "latent"}}, "64 million values"),
        ({"input": {"height": 9, "width": 9, "color": "x" * 70_000}}, "expected one of"),
        ({"tolerance": {"x" * 70_000: "much"}}, "contract.tolerance.x"),
        ({"name": "\x1b]0;owned\x07"}, "holds characters that no text has"),
        ({"name": "back\bspace"}, "holds characters that no text has"),
        ({"name": "\x9b2J"}, "holds characters that no text has"),
        ({"versions": {"half \ud800": "1"}}, "holds characters that no text has"),
    ],
)
def test_contracts_that_would_take_time_memory_or_the_terminal(
    int8_file: Converted, change: dict[str, Any], found: str
) -> None:
    with pytest.raises(ModelFileError, match=found) as caught:
        from_json(changed(int8_file.contract, **change))
    assert len(str(caught.value)) < 600


def test_names_do_not_move_the_terminals_cursor(int8_file: Converted) -> None:
    assert from_json(changed(int8_file.contract, name="\U0001f600 two\tparts")).name == "\U0001f600 two\tparts"
    tree = unpack_model(modelfile.read(int8_file.path).content)
    graph = tree.subgraphs[0]
    graph.tensors[int(graph.operators[0].outputs[0])].name = b"\x1b[2J"
    tree.operatorCodes[graph.operators[1].opcodeIndex].customCode = b"\x1b]0;"
    first, second, *_ = read_graph(pack_model(tree)).ops
    assert (first.tensor, second.name) == ("?[2J", "CUSTOM ?]0;")


def test_golden_outputs_that_are_none(int8_file: Converted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output in ("AAA", "AAAA"):
        with pytest.raises(ModelFileError, match="golden output in the contract does not decode"):
            Golden(generator="blocks", output=output).expected()
    with pytest.raises(ModelFileError, match="golden picture in the contract does not decode"):
        Golden(generator="png", png="AAA").frame(ImageInput(height=8, width=8))
    contract = replace(int8_file.contract, golden=(Golden(generator="blocks", output="AAA"),))
    path = tmp_path / "m.tflite"
    modelfile.write(path, modelfile.read(int8_file.path).content, contract)
    assert cli.main(["verify", str(path), "--backend", "litert", "--threads", "1"]) == 1
    assert "does not decode" in capsys.readouterr().err


def test_settings_that_are_too_deep_too_large_or_too_long(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    for text, found in (
        (f"a = {'[' * 5000}", "is no TOML"),
        (f"{'x' * 70_000} = 1", "x{40} is no setting"),
        ("#" * (2**20 + 1), "larger than 1 MiB"),
    ):
        path.write_text(text)
        with pytest.raises(AppFileError, match=found) as caught:
            read_app(path)
        assert len(str(caught.value)) < 1000
        with pytest.raises(MeasurementError) as refused:
            read_fleet(path)
        assert len(str(refused.value)) < 1000


def test_records_that_are_no_records(tmp_path: Path) -> None:
    log = (
        "Inference timings in us: Init: 1, First inference: 2, Warmup (avg): 2, Inference (avg): 2\n"
        "count=5 first=1 min=1 max=2 avg=1 std=0\n"
    )
    (tmp_path / "b.log").write_text(log)
    assert benchlog.read_log(tmp_path / "b.log").n == 5
    for changed in (
        log.replace("Init: 1", "Init: 1e"),
        log.replace("First inference: 2", "First inference: 1e999"),
        log.replace("count=5", "count=" + "5" * 5000),
        log + "Replacing 1 out of " + "5" * 5000 + " node(s) with delegate",
        log + "Summary by node type\n\n CONV_2D\t 3\t 1.2.3\t 50 %\t 1\n",
    ):
        (tmp_path / "b.log").write_text(changed)
        with pytest.raises(MeasurementError, match="holds no timings"):
            benchlog.read_log(tmp_path / "b.log")
    (tmp_path / "b.log").write_text(log + "Num threads: [" + "5" * 5000 + "]")
    assert benchlog.read_log(tmp_path / "b.log").threads == 1
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(RunError, match="larger than 16 MiB"):
        read_run(tmp_path)


def test_a_list_of_photos_with_a_name_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").write_text(f"file,class_index,label\n{'x' * 5000},0,cat\n")
    with pytest.raises(DataError, match="no file's name"):
        read_dataset(tmp_path)


def test_archives_of_very_many_files_or_strange_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 100)
    with tarfile.open(tmp_path / "many.tar.gz", "w:gz") as tar:
        for index in range(200):
            tar.addfile(tarfile.TarInfo(f"a/{index}"))
    with pytest.raises(DataError, match="holds more than 100 files"):
        read_dataset(tmp_path / "many.tar.gz")
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as file:
        file.writestr("x_train.npy", b"x")
    data = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(data.replace(b"x_train", b"x_tr\x8d\xffn"))  # no UTF-8
    with pytest.raises(DataError):
        read_dataset(tmp_path / "d.npz")


def test_a_keras_file_that_unpacks_to_too_much(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", bytes(65 * 2**20))
    with pytest.raises(ModelFileError, match=r"metadata.json of over 64 MiB"):
        find_kind(tmp_path / "m.keras")


@pytest.fixture
def unknown(int8_file: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good file on a machine that never saw it."""
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    return int8_file.path


def test_a_file_that_is_new_here_runs_apart_once(
    unknown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Classifier(unknown, backend="litert", threads=1).close()
    assert len(list((tmp_path / "cache" / "known").iterdir())) == 1
    monkeypatch.setattr("edgesdk_device.apart.ask_apart", None)  # it is known now
    Classifier(unknown, backend="litert", threads=1).close()
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "other"))
    Classifier(unknown, backend="litert", threads=1, trust=True).close()
    assert not (tmp_path / "other").exists()


CRASHES = "import os, signal\nclass Interpreter:\n    def __init__(self, **_): os.kill(os.getpid(), signal.SIGSEGV)\n"
EATS = "class Interpreter:\n    def __init__(self, **_): bytearray(2**33)\n"


@pytest.mark.parametrize(("runtime", "how"), [(CRASHES, "died .SIGSEGV."), (EATS, "died .exit code 1.: .*MemoryError")])
def test_a_file_that_takes_the_runtime_down_does_so_apart(
    unknown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, how: str
) -> None:
    """A runtime that dies stands for a file that makes it die: which do, changes with every runtime's version."""
    package = tmp_path / "shadow" / "tflite_runtime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '2.14.0'\n")
    (package / "interpreter.py").write_text(runtime)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    with pytest.raises(BackendError, match=f"run apart because it is new here, {how}"):
        Classifier(unknown, backend="tflite-runtime", threads=1)
    assert not (tmp_path / "cache" / "known").exists()


def test_memory_is_laid_on_white_in_parts() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (200, 30, 4)).astype(np.uint8)
    found = decode_photo(cv2.imencode(".png", picture)[1].tobytes())
    color, alpha = picture[..., :3].astype(int), picture[..., 3:].astype(int)
    assert found is not None
    assert np.array_equal(found, (color * alpha + 255 * (255 - alpha) + 127) // 255)
