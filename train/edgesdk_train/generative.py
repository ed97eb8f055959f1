"""From photos to the run folder of a network that generates."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.atomic import make_folder
from edgesdk.contract import Source
from edgesdk.errors import DataError, RunError
from edgesdk.generation import (
    AUTOENCODERS,
    BODY_FILE,
    FEWEST_PICTURES,
    Generated,
    Generation,
    Problem,
    read_generated,
    require_finished,
    write_generated,
)
from edgesdk.photos.data import Dataset, Images, draw_evenly, load_images, remark_colors, remark_skipped, split_dataset
from edgesdk.preprocess import ImageInput, Pixels
from edgesdk.progress import remark
from edgesdk.runfolder import (
    GENERATIVE_FILE,
    MODEL_FILE,
    Learning,
    Run,
    refuse_other_kind,
    refuse_second,
    require_same,
    write_run,
)
from edgesdk.spec import ModelSpec
from edgesdk_train.adversarial import Adversarial
from edgesdk_train.autoencoding import Autoencoding, Comparison, feature_comparison, to_pixels
from edgesdk_train.checkpoint import CHECKPOINT_FILE
from edgesdk_train.ganwatch import watch
from edgesdk_train.generativeloop import Row, learn_epochs, unit_codes
from edgesdk_train.judge import predict
from edgesdk_train.models import architecture
from edgesdk_train.savedmodels import load_model, save_model, save_weights

SEEN = {True: 600_000, False: 1_800_000}  # pictures that an autoencoder and a GAN see in all
EPOCHS = {True: (10, 120), False: (30, 240)}  # at least and at most
SHOWN, SHOWN_BACK = 64, 12  # pictures in the grids
CLASSIFIER = "classifier"  # the folder of what a semi-supervised discriminator learned


def learn_generated(
    dataset: Dataset,
    spec: ModelSpec,
    image_input: ImageInput,
    generation: Generation,
    *,
    data: str,
    folder: Path,
    resume: bool = False,
    quiet: bool = False,
) -> Generated:
    """Teach the network of `spec` to make pictures like those of `dataset`.

    Args:
        dataset: photos, whose labels colour the map of the codes and, semi-supervised, are seen in part.
        data: how the user named them.
        folder: the run folder; made if missing.
        resume: continue what was interrupted there.

    Returns:
        The finished run, also written to the folder with its models, pictures and report.

    Raises:
        DataError: if the photos are too few.
        RunError: if the folder holds another run, or `features_of` is no GAN's.
        ValueError: if the resolution does not fit the network.
    """
    start = time.monotonic()
    different = len({photo.digest for photo in dataset.photos})
    if different < FEWEST_PICTURES:
        raise DataError(
            f"{dataset.name} has {different} different picture{'s' * (different != 1)}, which {spec.arch} would "
            f"learn by heart: expected at least {FEWEST_PICTURES}, thousands are better"
        )
    dataset = split_dataset(dataset)
    labelled_classes = dataset.classes if len(dataset.classes) > 1 else ()
    generation = _settled(generation, dataset, spec)
    source = Source(
        paper=architecture(spec.arch).paper, trained=True, dataset=dataset.name, fingerprint=dataset.fingerprint
    )
    planned = Generated(
        spec=spec,
        classes=labelled_classes,
        input=image_input,
        source=source,
        generation=generation,
        data=data,
        results={},
    )
    found = _open_folder(folder, planned, resume=resume)
    if found.finished:
        return found

    remark_colors(dataset, image_input, spec.arch, quiet=quiet)
    parts: dict[str, Images] = {}
    for split in ("train", "val", "test"):
        photos = [photo for photo in dataset.photos if photo.split == split]
        parts[split] = load_images(photos, image_input, quiet=quiet)
    remark_skipped([path for part in parts.values() for path in part.skipped], quiet=quiet)
    keras.utils.set_random_seed(generation.seed)
    if planned.has_encoder:
        run = _autoencode(planned, parts, folder, resume=resume, quiet=quiet)
    else:
        run = _play(planned, dataset, parts, folder, resume=resume, quiet=quiet)
    run = replace(run, seconds=round(time.monotonic() - start, 1))
    from edgesdk_train import pictures  # matplotlib is slow to import and needed only now

    pictures.write_report(folder, run)
    write_generated(folder, run)
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return run


def _autoencode(run: Generated, parts: dict[str, Images], folder: Path, *, resume: bool, quiet: bool) -> Generated:
    train, test = parts["train"].pixels, parts["test"]
    assert run.generation.epochs is not None
    batch = min(run.generation.batch, len(train))
    learner = Autoencoding(
        run.spec,
        run.generation,
        run.input,
        run.generation.epochs * (len(train) // batch),
        _comparison(run, parts["train"]),
    )
    rows = learn_epochs(
        learner,
        run.generation,
        train,
        parts["val"].pixels,
        run.input,
        folder,
        title=run.spec.arch,
        resume=resume,
        quiet=quiet,
    )
    from edgesdk_train import pictures

    codes = encode(learner.encoder, test.pixels[: pictures.MAPPED], run.input)
    pictures.write_curve(folder, rows)
    pictures.write_grid(folder / pictures.SAMPLES, _samples(learner.decoder, run), 8)
    shown = _one_of_each(test)[:SHOWN_BACK]
    pictures.write_reconstructions(folder / pictures.RECONSTRUCTIONS, shown, learner.reconstruct(shown))
    pictures.write_latent_map(folder / pictures.LATENT_MAP, codes, test.labels[: len(codes)], run.classes)
    _save(folder, encoder=learner.encoder, decoder=learner.decoder)
    save_weights(_body(learner.encoder), folder / BODY_FILE)
    results = {name: value for name, value in rows[-1].items() if name != "epoch"}
    return replace(run, results=results | {"test_psnr_db": learner.psnr_db(test.pixels)})


def _play(
    run: Generated, dataset: Dataset, parts: dict[str, Images], folder: Path, *, resume: bool, quiet: bool
) -> Generated:
    labelled = _labelled(run, dataset) if run.generation.labels else None
    learner = Adversarial(run.spec, run.generation, run.input, labelled)
    problems: list[Problem] = []

    def after_epoch(rows: Sequence[Row]) -> None:
        for problem in watch(rows, problems):
            problems.append(problem)
            remark(f"epoch {problem.epoch}, {problem.name}: {problem.evidence}; {problem.remedy}", quiet=quiet)

    rows = learn_epochs(
        learner,
        run.generation,
        parts["train"].pixels,
        parts["val"].pixels,
        run.input,
        folder,
        title=run.spec.arch,
        resume=resume,
        quiet=quiet,
        after_epoch=after_epoch,
    )
    problems.clear()
    for count in range(1, len(rows) + 1):  # also those of epochs before an interruption
        problems += watch(rows[:count], problems)
    from edgesdk_train import pictures

    pictures.write_curve(folder, rows)
    pictures.write_grid(folder / pictures.SAMPLES, _samples(learner.generator, run), 8)
    _save(folder, generator=learner.generator, discriminator=learner.discriminator)
    save_weights(_body(learner.discriminator), folder / BODY_FILE)
    results = {name: value for name, value in rows[-1].items() if name != "epoch"}
    if labelled is not None:
        results["test_top1"] = learner.top1(parts["test"])
        _write_classifier(run, learner, results["test_top1"], len(parts["test"].labels), folder / CLASSIFIER)
    return replace(run, results=results, problems=tuple(problems))


def encode(encoder: Any, pixels: Pixels, image_input: ImageInput) -> npt.NDArray[np.float32]:
    """Pictures uint8 [n, h, w, c] -> their codes float32 [n, latent]."""
    run = tf.function(lambda values: encoder(values, training=False), autograph=False)
    return predict(run, pixels, image_input).reshape(len(pixels), -1)


def _settled(generation: Generation, dataset: Dataset, spec: ModelSpec) -> Generation:
    """The settings with every "choose for me" decided."""
    encodes = spec.arch in AUTOENCODERS
    if generation.labels and encodes:
        raise ValueError(f"--labels is for gan and dcgan, whose discriminator learns them; {spec.arch} has none")
    if generation.features_of and spec.arch != "vae":
        raise ValueError(f"--features-of is for vae, found {spec.arch}")
    if generation.labels and len(dataset.classes) < 2:
        raise DataError(f"{dataset.name} has no classes to learn from, expected one subfolder of photos a class")
    if generation.epochs is not None:
        return generation
    n = sum(photo.split == "train" for photo in dataset.photos)
    least, most = EPOCHS[encodes]
    return replace(generation, epochs=min(most, max(least, SEEN[encodes] // n)))


def _open_folder(folder: Path, planned: Generated, *, resume: bool) -> Generated:
    """Begin a run in the folder, or find one of the same settings there."""
    make_folder(folder)
    refuse_other_kind(folder, GENERATIVE_FILE)
    found = read_generated(folder) if (folder / GENERATIVE_FILE).exists() else None
    if found is None or not (found.finished or (folder / CHECKPOINT_FILE).exists()):  # nothing was learned yet
        write_generated(folder, planned)
        return planned
    if not resume:
        refuse_second(folder, finished=found.finished)
    require_same(folder, found, planned, ("spec", "classes", "input", "source", "generation"))
    return found


def _comparison(run: Generated, train: Images) -> Comparison | None:
    if not run.generation.features_of:
        return None
    judge = require_finished(run.generation.features_of)
    if judge.has_encoder or judge.input != run.input:
        raise RunError(
            f"{run.generation.features_of} is {judge.spec.name}, expected a gan or dcgan that learned pictures of "
            f"{run.spec.res}x{run.spec.res}"
        )
    discriminator = load_model(Path(run.generation.features_of) / "discriminator.keras")
    return feature_comparison(discriminator, train.pixels[:512], run.input)


def _labelled(run: Generated, dataset: Dataset) -> Images:
    """The few pictures whose labels are seen: so many of each class, by the order of their content's hash."""
    train = [photo for photo in dataset.photos if photo.split == "train"]
    chosen = draw_evenly(train, run.generation.labels * len(dataset.classes))
    return load_images(chosen, run.input)


def _samples(maker: Any, run: Generated) -> Pixels:
    codes = unit_codes(run.generation.seed + 1, SHOWN, run.generation.latent)
    return to_pixels(maker(codes, training=False), run.input)


def _one_of_each(images: Images) -> Pixels:
    """The pictures in another order: one of each class, then the next of each."""
    turns = np.zeros(len(images.labels), np.int64)
    for label in np.unique(images.labels):
        own = images.labels == label
        turns[own] = np.arange(own.sum())
    pixels: Pixels = images.pixels[np.lexsort((images.labels, turns))]
    return pixels


def _body(model: Any) -> Any:
    return keras.Model(model.input, model.get_layer("features").output)


def _save(folder: Path, **models: Any) -> None:
    for name, model in models.items():
        save_model(model, folder / f"{name}.keras")


def _write_classifier(run: Generated, learner: Adversarial, top1: float, n: int, folder: Path) -> None:
    """What the discriminator knows of the classes, as the run folder of a classifier."""
    make_folder(folder)
    save_model(learner.classifier, folder / MODEL_FILE)
    write_run(
        folder,
        Run(
            spec=run.spec,
            classes=run.classes,
            input=run.input,
            source=run.source,
            learning=Learning(
                transfer="scratch",
                epochs=run.generation.epochs,
                batch=run.generation.batch,
                seed=run.generation.seed,
                flip=False,
            ),
            data=run.data,
            top1=top1,
            top1_n=n,
        ),
    )
