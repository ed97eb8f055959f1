"""Proves that MediaPipe Tasks reads a .tflite of edgesdk, labels included, and names ten photos as edgesdk does.

    python benchmarks/mediapipe_reads.py MODEL.tflite PHOTOS_FOLDER

MediaPipe's ImageClassifier is told nothing of edgesdk: it takes labels and normalization from the standard metadata.
It lives in a virtual environment of its own in edgesdk's cache folder (540 MB, made at the first run). On Linux it
needs EGL and GLES 2, even without a screen: `apt-get install -y libegl1 libgles2`.

Exit code: 0 if all labels are equal, 1 if one differs or something is refused, 2 for wrong usage, 77 (skipped) where
MediaPipe cannot be installed or loaded.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2

from edgesdk import Classifier, EdgeSDKError, ImageInput
from edgesdk.cache import cache_folder
from edgesdk.preprocess import fit_frame, read_photo
from edgesdk_device.cameras import FolderSource

MEDIAPIPE = "mediapipe==1.2.2"
PHOTOS = 10
SKIPPED = 77

# Runs under the other environment's Python, which has no edgesdk. Arguments: the model, then the photos.
READER = """
import json, sys
from mediapipe import Image
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions, RunningMode

options = ImageClassifierOptions(
    base_options=BaseOptions(model_asset_path=sys.argv[1]), running_mode=RunningMode.IMAGE, max_results=1
)
with ImageClassifier.create_from_options(options) as classifier:
    results = [classifier.classify(Image.create_from_file(photo)) for photo in sys.argv[2:]]
best = [result.classifications[0].categories[0] for result in results]
print(json.dumps([{"label": one.category_name, "score": one.score} for one in best]))
"""


class UnavailableError(Exception):
    """MediaPipe cannot be installed or loaded here, which says nothing about the model."""


class RefusedError(Exception):
    """MediaPipe does not take the model or a photo, or there is no photo."""


def pick_photos(folder: Path) -> list[Path]:
    """Ten photos, evenly spread over the sorted files of the folder and its subfolders; all where there are fewer."""
    photos = sorted(path for path in folder.rglob("*") if path.is_file() and FolderSource.is_photo(path))
    if not photos:
        raise RefusedError(f"{folder} holds no photos, expected files such as .jpg or .png")
    count = min(PHOTOS, len(photos))
    return [photos[i * len(photos) // count] for i in range(count)]


def write_fitted(photo: Path, target: Path, image_input: ImageInput) -> Path:
    """The photo as a PNG at the model's size, so that the two readers' ways of resizing cannot differ."""
    pixels = fit_frame(read_photo(photo), image_input)
    if not cv2.imwrite(str(target), pixels[..., ::-1]):  # OpenCV takes BGR; a single grey channel stays as it is
        raise OSError(f"cannot write {target}")
    return target


def mediapipe_python() -> Path:
    """The Python that has MediaPipe, installed where it is missing."""
    folder = cache_folder() / "mediapipe-venv"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1", MEDIAPIPE]
    # Where all is there pip needs no network, and it completes what an interrupted run left.
    if python.exists() and subprocess.run(install, capture_output=True).returncode == 0:
        return python
    print(f"installing {MEDIAPIPE} into {folder}", file=sys.stderr)
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr or done.stdout or "no message").strip().splitlines()[-1]
            raise UnavailableError(f"cannot install {MEDIAPIPE} ({reason}): is a package index reachable from here?")
    return python


def ask_mediapipe(model: Path, photos: list[Path]) -> list[tuple[str, float]]:
    """(label, score) of each photo's best class, as MediaPipe says."""
    command = [str(mediapipe_python()), "-I", "-c", READER, str(model.resolve()), *map(str, photos)]
    done = subprocess.run(command, capture_output=True, text=True)
    before, missing, _ = done.stderr.partition(": cannot open shared object file")
    if missing:
        raise UnavailableError(f"MediaPipe needs {before.split()[-1]}: apt-get install -y libegl1 libgles2")
    if done.returncode:
        raise RefusedError(f"MediaPipe refuses {model} or a photo:\n{done.stderr.strip()}")
    return [(answer["label"], answer["score"]) for answer in json.loads(done.stdout)]


def compare(model: Path, folder: Path) -> bool:
    """Ask both readers and print a table; whether all labels are equal."""
    photos = pick_photos(folder)
    with Classifier(model) as classify, tempfile.TemporaryDirectory() as scratch:
        image_input = classify.contract.input
        fitted = [write_fitted(photo, Path(scratch) / f"{i}.png", image_input) for i, photo in enumerate(photos)]
        ours = [classify(photo, top=1).top[0] for photo in fitted]
        theirs = ask_mediapipe(model, fitted)

    rows: list[tuple[str, ...]] = [("photo", "edgesdk", "mediapipe", "")]
    for photo, our, their in zip(photos, ours, theirs, strict=True):
        cells = (f"{label} {score:.5f}" for label, score in (our, their))
        rows.append((str(photo.relative_to(folder)), *cells, "" if our[0] == their[0] else "differs"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    equal = sum(our[0] == their[0] for our, their in zip(ours, theirs, strict=True))
    largest = max(abs(our[1] - their[1]) for our, their in zip(ours, theirs, strict=True))
    print(f"{equal} of {len(photos)} equal, scores within {largest:.1g} ({MEDIAPIPE})")
    return equal == len(photos)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("photos", type=Path, metavar="PHOTOS_FOLDER")
    options = parser.parse_args()
    try:
        return 0 if compare(options.model, options.photos) else 1
    except UnavailableError as reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return SKIPPED
    except (EdgeSDKError, RefusedError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
