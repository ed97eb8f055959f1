"""Generated pictures for a small labelled set, and whether they helped.

A picture of a class comes from the codes of two labelled pictures of it, z + strength * (z - other): T. DeVries and
G. Taylor, Dataset Augmentation in Feature Space, arXiv 1702.05538, section 3.3. Here the strength is drawn anew for
each from a Gaussian, so that most lie between or near them, and the classifier sees the decoded picture, not the code.
"""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edgesdk.atomic import make_folder, write_bytes
from edgesdk.errors import DataError, RunError
from edgesdk.generation import Augmented, Generated
from edgesdk.photos.data import Dataset, draw_evenly, load_images, split_dataset
from edgesdk.photos.photo import Photo
from edgesdk.preprocess import Pixels, input_of
from edgesdk.runfolder import Learning, Run
from edgesdk.spec import ModelSpec
from edgesdk.stats import wilson_interval
from edgesdk_train.autoencoding import to_pixels
from edgesdk_train.generative import encode
from edgesdk_train.generativeloop import unit_codes
from edgesdk_train.learn import learn
from edgesdk_train.savedmodels import load_model

STRENGTH = 0.5  # deviation
VAL_SHARE = 5  # one labelled picture of so many is kept to choose the epoch by
SEEN = 60_000  # pictures that each of both classifiers sees in all


def measure_augmentation(
    run_folder: Path,
    run: Generated,
    dataset: Dataset,
    spec: ModelSpec,
    *,
    labels: int,
    count: int,
    epochs: int | None,
    seed: int,
    folder: Path,
    quiet: bool,
) -> Augmented:
    """Learn a classifier twice, from a few labelled pictures and from these and generated ones; judge both alike.

    Both see as many pictures in all, the fewer ones more often. The generated ones lie in `folder`/generated.

    Raises:
        RunError: if the run has no encoder, or `folder` was used before.
        DataError: if a class has too few pictures.
    """
    if not run.has_encoder:
        raise RunError(f"{run_folder} is a {run.spec.arch}, whose pictures have no classes: take a vae or autoencoder")
    if folder.exists():
        raise RunError(f"{folder} exists: name another folder with -o")
    dataset = split_dataset(dataset)
    known, val = _few_labelled(dataset, labels)
    made = _generate_labelled(run_folder, run, known, count, seed)
    for photo in made:
        assert isinstance(photo.content, np.ndarray)
        _write_png(make_folder(folder / "generated" / dataset.classes[photo.label]) / photo.path.name, photo.content)
    judged = [photo for photo in dataset.photos if photo.split == "test"]
    spec = replace(spec, classes=len(dataset.classes))
    runs = {}
    for name, shown in (("without", known), ("with", [*known, *made])):
        seen = SEEN if epochs is None else epochs * (len(known) + len(made))
        learning = Learning(epochs=max(1, seen // len(shown)), seed=seed, flip=False)
        runs[name] = learn(
            replace(dataset, photos=(*shown, *val, *judged)),
            spec,
            input_of(spec),
            data=str(folder),
            weights="none",
            learning=learning,
            folder=folder / f"{name}.run",
            quiet=quiet,
        )
    return _compare(runs["without"], runs["with"], folder, labels, count)


def write_pictures(run_folder: Path, run: Generated, folder: Path, count: int, seed: int) -> None:
    """So many pictures of random codes, one PNG each.

    Raises:
        RunError: if the decoder or generator is missing or damaged.
    """
    decoder = load_model(run_folder / f"{'decoder' if run.has_encoder else 'generator'}.keras")
    codes = unit_codes(seed, count, run.generation.latent)
    make_folder(folder)
    for index, pixels in enumerate(to_pixels(decoder.predict(codes, verbose=0), run.input)):
        _write_png(folder / f"{index:05d}.png", pixels)


def _few_labelled(dataset: Dataset, labels: int) -> tuple[list[Photo], list[Photo]]:
    """(photos to learn from, photos to choose the epoch by), of `labels` of each class."""
    by_class: dict[int, list[Photo]] = defaultdict(list)
    train = [photo for photo in dataset.photos if photo.split == "train"]
    for photo in draw_evenly(train, labels * len(dataset.classes)):
        by_class[photo.label].append(photo)
    known, val = [], []
    for photos in by_class.values():
        if len(photos) < labels:
            raise DataError(
                f"class {dataset.classes[photos[0].label]!r} has {len(photos)} pictures, {labels} labels were asked for"
            )
        cut = max(1, labels // VAL_SHARE)
        val += [replace(photo, split="val") for photo in photos[:cut]]
        known += photos[cut:]
    return known, val


def _generate_labelled(run_folder: Path, run: Generated, known: list[Photo], count: int, seed: int) -> list[Photo]:
    images = load_images(known, run.input)
    codes = encode(load_model(run_folder / "encoder.keras"), images.pixels, run.input)
    decoder = load_model(run_folder / "decoder.keras")
    rng = np.random.default_rng(seed)
    made = []
    for label in np.unique(images.labels).tolist():
        own = codes[images.labels == label]
        first, other = (own[rng.integers(len(own), size=count)] for _ in range(2))
        drawn = first + rng.normal(0, STRENGTH, (count, 1)).astype(np.float32) * (first - other)
        pixels = to_pixels(decoder.predict(drawn[:, None, None], verbose=0), run.input)
        for index, picture in enumerate(pixels):
            grey = np.ascontiguousarray(picture[..., 0])
            made.append(
                Photo(path=Path(f"generated_{label}_{index:05d}.png"), label=label, split="train", content=grey)
            )
    return [photo.digested() for photo in made]


def _compare(without: Run, with_: Run, folder: Path, labels: int, count: int) -> Augmented:
    assert without.top1 is not None
    assert with_.top1 is not None
    n = with_.top1_n
    low_without, high_without = wilson_interval(round(without.top1 * n), n)
    low_with, high_with = wilson_interval(round(with_.top1 * n), n)
    return Augmented(
        path=str(folder),
        arch=with_.spec.arch,
        labels=labels,
        count=count,
        n=n,
        top1_without=without.top1,
        top1_with=with_.top1,
        ci95_without=(low_without, high_without),
        ci95_with=(low_with, high_with),
    )


def _write_png(path: Path, pixels: Pixels) -> None:
    encoded, png = cv2.imencode(".png", pixels)
    assert encoded
    write_bytes(path, png.tobytes())
