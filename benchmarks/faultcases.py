"""The commands that `faults.py` disturbs: what they write, and how to tell that it is whole and the same."""

import csv
import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk import modelfile
from edgesdk.baseline import read_baseline
from edgesdk.contract import blocks_frame
from edgesdk.photos.data import read_dataset
from edgesdk.preprocess import decode_photo
from edgesdk.runfolder import read_run

LOSS_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Case:
    """One command.

    Attributes:
        words: of the command line; files are named from the folder that it works in.
        resume: words that a rerun has beside them.
        result: folder -> what must be equal to that of an uninterrupted run.
        heavy: whether it learns or converts: seconds of CPU a run.
    """

    name: str
    words: tuple[str, ...]
    result: Callable[[Path], Any]
    resume: tuple[str, ...] = ()
    heavy: bool = False


def make_cases(inputs: Path) -> list[Case]:
    """The commands, on inputs that `make_inputs` wrote."""
    photos, model, run = inputs / "colors", inputs / "model.tflite", inputs / "learned.run"
    learn = ("--arch", "lenet", "--epochs", "4", "--batch", "16")
    return [
        Case(
            name="compress",
            words=("compress", str(inputs / "pictures"), "-o", "small", "--backend", "litert"),
            result=lambda folder: _digests(folder, "small/*.edc"),
        ),
        Case(
            name="bench",
            words=("bench", str(model), "--backend", "litert", "--threads", "1", "--quick", "--report", "bench.json"),
            result=lambda folder: [
                (row.model, row.backend, row.sha256) for row in read_baseline(folder / "bench.json")
            ],
        ),
        Case(
            name="pack",
            words=("pack", str(photos), "packed"),
            result=lambda folder: (read_dataset(folder / "packed").fingerprint, _digests(folder, "packed/*")),
            heavy=True,
        ),
        Case(
            name="train",
            words=("train", str(photos), *learn, "-o", "colors.run"),
            resume=("--resume",),
            result=lambda folder: _learned(folder / "colors.run"),
            heavy=True,
        ),
        Case(
            name="convert",
            words=("convert", str(run), "-o", "colors.tflite"),
            result=lambda folder: modelfile.read(folder / "colors.tflite").sha256,
            heavy=True,
        ),
        Case(
            name="choose",
            words=(
                *("choose", str(photos), "--archs", "lenet", "--widths", "1", "--resolutions", "32", "--epochs", "4"),
                *("--batch", "16", "--precisions", "int8", "--quick", "--work", "work", "-o", "chosen.tflite"),
            ),
            result=lambda folder: sorted(
                modelfile.read(path).sha256 for path in (folder / "work").glob("*.tflite") if ".draft" not in path.name
            ),
            heavy=True,
        ),
    ]


def make_inputs(inputs: Path, *, learned: bool) -> None:
    """Photos of three colours, pictures to compress; if asked for, a learned network and its file."""
    import cv2

    from edgesdk import verbs

    rng = np.random.default_rng(0)
    for name, color in {"blue": (200, 40, 40), "green": (40, 200, 40), "red": (40, 40, 200)}.items():
        (inputs / "colors" / name).mkdir(parents=True)
        for index in range(20):
            picture = np.clip(np.array(color) + rng.integers(-60, 60, (32, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(inputs / "colors" / name / f"{index:02d}.png"), picture)
    (inputs / "pictures").mkdir()
    for index in range(12):
        cv2.imwrite(str(inputs / "pictures" / f"{index:02d}.png"), blocks_frame(index, 120, 160))
    if not learned:
        return
    verbs.train(inputs / "colors", arch="lenet", epochs=2, batch=16, out=inputs / "learned.run")
    verbs.convert(inputs / "learned.run", out=inputs / "model.tflite")


def wrong_files(folder: Path) -> list[str]:
    """What lies under a final name and is not whole; names that begin with a dot are work in progress."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        try:
            _check(path)
        except Exception as error:  # whatever a reader raises is the finding
            found.append(f"{path.relative_to(folder)}: {type(error).__name__} {error}"[:200])
    return found


def left_parts(folder: Path) -> int:
    """How many files in progress lie there."""
    return sum(1 for path in folder.rglob(".*") if path.is_file())


def _check(path: Path) -> None:
    match path.suffix:
        case ".tflite":
            modelfile.read(path).required_contract()
        case ".json" if path.name == "run.json":
            read_run(path.parent)
        case ".json" if path.name in ("bench.json",) or "measured" in path.name:
            read_baseline(path)
        case ".json":
            json.loads(path.read_bytes())
        case ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                for name in arrays.files:
                    arrays[name]
        case ".keras":
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    raise ValueError("a damaged member")
        case ".csv":
            rows = list(csv.reader(path.read_text().splitlines()))
            if not path.read_bytes().endswith(b"\n") or len({len(row) for row in rows}) != 1:
                raise ValueError("a row that is cut short")
        case ".png":
            if decode_photo(path.read_bytes()) is None:
                raise ValueError("no whole picture")
        case ".tfrecord":
            data = path.read_bytes()
            at = 0
            while at < len(data):  # a record: its length, 4 bytes of check, itself, 4 bytes of check
                at += 16 + int.from_bytes(data[at : at + 8], "little")
            if at != len(data) or not data:
                raise ValueError("a record that is cut short")
        case ".edc":
            from edgesdk_device.codec import Codec, codec_of

            with Codec(codec_of(path.read_bytes()), backend="litert") as codec:
                codec.decompress(path.read_bytes())
        case _:
            raise ValueError("nobody knows what this is")


def _digests(folder: Path, pattern: str) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.name[0] != "."
    }


def _learned(folder: Path) -> Any:
    """The run but for its seconds, and each epoch's losses."""
    run = read_run(folder)
    with (folder / "history.csv").open(newline="") as file:
        losses = [[float(row["loss"]), float(row["val_loss"])] for row in csv.DictReader(file)]
    return {"top1": run.top1, "finished": (folder / "model.keras").is_file(), "losses": losses}


def equal(one: Any, other: Any) -> bool:
    """Whether two results are the same, numbers within a thousandth."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return bool(abs(one - other) <= LOSS_TOLERANCE * max(1e-6, abs(one)))
    return bool(one == other)
