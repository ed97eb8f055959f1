"""The verbs of networks that generate: train one, convert it, make pictures with it."""

from pathlib import Path

from edgesdk.converted import Converted
from edgesdk.errors import DataError
from edgesdk.generation import BODY_FILE, GENERATIVE, Augmented, Generated, Generation, require_finished
from edgesdk.occupied import occupied
from edgesdk.photos.data import Dataset, read_dataset, read_photos
from edgesdk.preprocess import Resize, input_of
from edgesdk.recipe import Io, Precision, Recipe
from edgesdk.runfolder import check_seed, name_run_folder, require_data
from edgesdk.spec import ModelSpec, make_spec

PARTS = {True: ("encoder", "decoder"), False: ("generator",)}


def train_generative(
    data: Path | str,
    *,
    arch: str = "vae",
    width: float = 1.0,
    res: int | None = None,
    latent: int = 16,
    epochs: int | None = None,
    batch: int = 128,
    seed: int = 0,
    kl: float = 1.0,
    features_of: Path | str | None = None,
    labels: int = 0,
    resize: Resize = "crop",
    resume: bool = False,
    out: Path | str | None = None,
    quiet: bool = True,
) -> Generated:
    """Teach an autoencoder, a VAE or a GAN to make pictures like those of `data`; see `edgesdk train --help`.

    Args:
        data: as for `train`, or any folder of photos.
        latent: entries of the code.
        kl: weight of a VAE's divergence from a unit Gaussian.
        features_of: a GAN's run folder; a VAE then compares pictures by its discriminator's features.
        labels: of each class, that a GAN's discriminator may see: semi-supervised learning. What it learned lies in
            the run's folder `classifier`, itself a run folder.
        out: the run folder; `<model>_<data>.run` in the working folder if None.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    if arch not in GENERATIVE:
        raise ValueError(f"arch is {arch!r}, expected one of {', '.join(GENERATIVE)}")
    generation = Generation(
        latent=latent,
        epochs=epochs,
        batch=batch,
        seed=seed,
        kl=kl,
        features_of="" if features_of is None else str(features_of),
        labels=labels,
    )
    make_spec(arch, width, res)  # before the photos are read: a wrong number is told at once
    dataset = _read(data)
    spec = make_spec(arch, width, res, max(2, len(dataset.classes)))
    from edgesdk_train.generative import learn_generated

    folder = Path(out) if out is not None else name_run_folder(spec, dataset.name)
    with occupied(folder, wait=resume, quiet=quiet):
        return learn_generated(
            dataset,
            spec,
            input_of(spec, resize),
            generation,
            data=str(data),
            folder=folder,
            resume=resume,
            quiet=quiet,
        )


def convert_generative(
    run: Path | str,
    *,
    quantize: Precision = "int8",
    io: Io | None = None,
    min_snr: float | None = None,
    out: Path | str | None = None,
    quiet: bool = True,
) -> tuple[Converted, ...]:
    """Make the proved .tflite files of a run: encoder and decoder, or generator.

    Args:
        run: a folder of `train_generative`.
        quantize, io, min_snr: see `edgesdk convert --help`.
        out: the folder of the files, each named after the run, its part and its precision; the working folder if None.

    Raises:
        EdgeSDKError, ValueError: one sentence each; nothing is left under a final name.
    """
    folder = Path(run)
    found = require_finished(folder)
    recipe = Recipe(precision=quantize, io=io or ("uint8" if quantize == "int8" else "float32"), min_snr=min_snr)
    require_data(folder, found.data)
    dataset = _read(found.data)
    from edgesdk_convert.generative import convert_part

    where = Path() if out is None else Path(out)
    return tuple(
        convert_part(
            folder / f"{part}.keras",
            found,
            recipe,
            dataset,
            where / f"{folder.stem}_{part}_{quantize}.tflite",
            quiet=quiet,
        )
        for part in PARTS[found.has_encoder]
    )


def generate(model: Path | str, *, count: int = 64, seed: int = 0, out: Path | str | None = None) -> Path:
    """Make pictures of random codes, one PNG each.

    Args:
        model: a run folder, or the .tflite of its decoder or generator, which needs no TensorFlow.
        out: the pictures' folder; `<model>.pictures` in the working folder if None.

    Returns:
        The folder.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    if count < 1:
        raise ValueError(f"count is {count}, expected at least 1")
    check_seed(seed)
    folder = Path(out) if out is not None else Path(f"{Path(model).stem}.pictures")
    if Path(model).suffix == ".tflite":
        from edgesdk_device.generator import write_pictures

        write_pictures(Path(model), folder, count, seed)
        return folder
    run = require_finished(model)
    from edgesdk_train.augmentation import write_pictures as write_run

    write_run(Path(model), run, folder, count, seed)
    return folder


def augment(
    run: Path | str,
    data: Path | str,
    *,
    arch: str = "lenet",
    labels: int = 20,
    count: int = 100,
    epochs: int | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    quiet: bool = True,
) -> Augmented:
    """Learn a small labelled set without and with generated pictures, and measure whether these helped.

    Args:
        run: an autoencoder's or VAE's folder, learned on pictures like these; their labels it need not know.
        data: labelled photos.
        arch: the classifier.
        labels: pictures of each class that it learns from.
        count: generated pictures of each class that are added.
        epochs: of the classifier.
        out: the folder of both data sets and both runs; `<data>_augmented` in the working folder if None.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    found = require_finished(run)
    check_seed(seed)
    if labels < 3 or count < 1:
        raise ValueError(f"labels is {labels} and count {count}, expected at least 3 and 1")
    spec = make_spec(arch, None, None)
    dataset = read_dataset(data)
    from edgesdk_train.augmentation import measure_augmentation

    return measure_augmentation(
        Path(run),
        found,
        dataset,
        spec,
        labels=labels,
        count=count,
        epochs=epochs,
        seed=seed,
        folder=Path(out) if out is not None else Path(f"{dataset.name}_augmented"),
        quiet=quiet,
    )


def find_body(run: Path | str, arch: str | None, width: float | None, res: int | None) -> tuple[ModelSpec, str]:
    """The network of a run, and the path of its body's weights: what a classifier begins with.

    Args:
        arch, width, res: what was said beside it, None where nothing was.

    Raises:
        RunError: if the run is missing or unfinished.
        ValueError: if another network was asked for.
    """
    spec = require_finished(run).spec
    for name, asked in {"arch": arch, "width": width, "res": res}.items():
        if asked is not None and asked != getattr(spec, name):
            raise ValueError(f"{name} is {asked}, {run} learned {spec.name}: leave --{name} out")
    return spec, str(Path(run) / BODY_FILE)


def _read(data: Path | str) -> Dataset:
    """Labelled photos, or any folder of them."""
    try:
        return read_dataset(data)
    except DataError:
        if not Path(data).is_dir():
            raise
        return read_photos(data)
