"""From labelled photos to a run folder."""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgesdk.atomic import make_folder
from edgesdk.contract import Source
from edgesdk.data import Dataset, Images, load_images, remark_colors, remark_skipped, split_dataset
from edgesdk.errors import RunError, WeightsError
from edgesdk.preprocess import ImageInput
from edgesdk.progress import remark
from edgesdk.runfolder import MODEL_FILE, Learning, Run, read_run, write_run
from edgesdk.spec import ModelSpec
from edgesdk_train.loop import CHECKPOINT_FILE, Epoch, Stage, auxiliary_cross_entropy, evaluator, run_stage
from edgesdk_train.models import architecture, remark_channels
from edgesdk_train.narrow import narrow, wider_spec
from edgesdk_train.savedmodels import save_model
from edgesdk_train.transfer import freeze_batchnorm, train_head
from edgesdk_train.weights import Pretrained, find_weights, labels_of, load_weights, read_weights

SCRATCH_EPSILON = 1e-7
# Measured on flowers5 0.75-160, 400 test photos, head alone 0.833: 1e-4 with this epsilon 0.890, with Adam's usual 1e-7
# 0.895, 3e-4 0.833 (every epoch below the head). With the usual epsilon cats_dogs did not leave its head's 0.960.
FINETUNE_RATE = 1e-4
FINETUNE_EPSILON = 1e-3
SCRATCH_IMAGES = 60_000  # seen in all, between 12 and 60 epochs
DIGITS_EPOCHS = 12
PATIENT_STEPS = 300  # a small set's epoch is a few steps: batch-norm alone needs a hundred to settle


@dataclass(frozen=True, kw_only=True)
class Network:
    """A built network: the model, where its weights came from, and whether its head was loaded too."""

    model: Any
    source: Source
    has_head: bool


def build_network(spec: ModelSpec, weights: str) -> Network:
    """Build the network of `spec` and load weights into it.

    Args:
        spec: which network.
        weights: "none" (random), "imagenet" or the path of a Keras weights file.

    Raises:
        ValueError: if there is no such architecture.
        WeightsError: if the weights are missing, damaged or of another network, or of a wider one, whose channels
            are of no use before they have learned.
    """
    pretrained = None if weights == "none" else read_weights(find_weights(weights, spec))
    wider = None if pretrained is None else wider_spec(spec, pretrained)
    if pretrained is not None and wider is not None:
        raise WeightsError(
            f"{pretrained.name} is of width {wider.width:.3g}, its channels answer nothing at width {spec.width:g} "
            "before they have learned again: add --data DIR with photos to learn from"
        )
    return fill_network(spec, pretrained)


def fill_network(spec: ModelSpec, pretrained: Pretrained | None) -> Network:
    """As `build_network`, from weights that were read already; None for random ones."""
    model = architecture(spec.arch).build(spec)
    paper = architecture(spec.arch).paper
    if pretrained is None:
        return Network(model=model, source=Source(paper=paper), has_head=False)
    has_head = load_weights(model, pretrained)
    source = Source(paper=paper, weights=pretrained.name, trained=has_head)
    return Network(model=model, source=source, has_head=has_head)


def take_weights(spec: ModelSpec, image_input: ImageInput, *, weights: str, learning: Learning, folder: Path) -> Run:
    """A run folder of a pretrained network as it is, which tells apart what its weights do.

    Raises:
        ValueError: if no weights are named.
        WeightsError: as `build_network`, or if nobody knows the names of the classes.
        RunError: if the folder holds another run.
    """
    if weights == "none":
        raise ValueError("epochs is 0 and no weights are named, expected --weights imagenet or a Keras weights file")
    labels = labels_of(read_weights(find_weights(weights, spec)))
    spec = replace(spec, classes=len(labels))
    network = build_network(spec, weights)
    run = Run(spec=spec, classes=labels, input=image_input, source=network.source, learning=learning, data="")
    _open_folder(folder, run, resume=False)
    save_model(network.model, folder / MODEL_FILE)
    return run


def learn(
    dataset: Dataset,
    spec: ModelSpec,
    image_input: ImageInput,
    *,
    data: str,
    weights: str,
    learning: Learning,
    folder: Path,
    resume: bool = False,
    quiet: bool = False,
) -> Run:
    """Teach the network of `spec` to tell the classes of `dataset` apart.

    Two stages where there are weights: a new head on cached features, then everything with batch-norm frozen. One
    stage without: everything from random weights, with the auxiliary classifiers that the network's paper gives it.

    Args:
        dataset: photos; split here where it is not.
        spec: its number of classes is the data set's.
        image_input: the preprocessing, the same one the device will use.
        data: how the user named the data, kept so that converting finds it again.
        weights: see `build_network`.
        learning: how.
        folder: the run folder; made if missing.
        resume: continue what was interrupted there.
        quiet: no progress bar.

    Returns:
        The finished run, also written to the folder.

    Raises:
        RunError: if the folder holds another run, or one of other settings to resume.
        DataError: if the photos are too few.
        ValueError: if `learning` asks for no epochs.
    """
    import tf_keras as keras

    dataset = split_dataset(dataset)
    learning = _settled(learning, dataset, weights)
    start = time.monotonic()
    pretrained = None if weights == "none" else read_weights(find_weights(weights, spec))
    wider = None if pretrained is None else wider_spec(spec, pretrained)
    origin = "none" if pretrained is None else pretrained.name
    source = Source(
        paper=architecture(spec.arch).paper,
        weights=origin if wider is None else f"{origin}, the most important channels of its width {wider.width:.3g}",
        trained=True,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
    )
    planned = Run(spec=spec, classes=dataset.classes, input=image_input, source=source, learning=learning, data=data)
    found = _open_folder(folder, planned, resume=resume)
    if found.finished:
        return found

    remark_channels(spec, quiet=quiet)
    remark_colors(dataset, image_input, spec.arch, quiet=quiet)
    keras.utils.set_random_seed(learning.seed)
    network = fill_network(spec, pretrained if wider is None else None)
    parts: dict[str, Images] = {}
    for split in ("train", "val", "test"):
        photos = [photo for photo in dataset.photos if photo.split == split]
        parts[split] = load_images(photos, image_input, quiet=quiet)
    skipped = [path for part in parts.values() for path in part.skipped]
    remark_skipped(skipped, quiet=quiet)
    if pretrained is not None and wider is not None:
        remark(
            f"no weights of width {spec.width:g}: taking the most important channels of {origin.split()[0]}, width "
            f"{wider.width:.3g}",
            quiet=quiet,
        )
        body = fill_network(wider, pretrained).model
        narrow(body, network.model, parts["train"].pixels, image_input, seed=learning.seed)
    history = _run_stages(network.model, spec.arch, learning, parts, image_input, folder, resume=resume, quiet=quiet)

    _, top1, probabilities = evaluator(network.model, image_input)(parts["test"])
    from edgesdk_train import plots  # matplotlib is slow to import and needed only now

    plots.write_history(folder, history)
    pairs = plots.write_confusions(folder, dataset.classes, parts["test"].labels, probabilities.argmax(1))
    save_model(network.model, folder / MODEL_FILE)
    run = replace(
        planned,
        top1=top1,
        top1_n=len(parts["test"].labels),
        confusions=pairs[:20],
        seconds=round(time.monotonic() - start, 1),
        skipped=tuple(map(str, skipped)),
    )
    write_run(folder, run)
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return run


def _settled(learning: Learning, dataset: Dataset, weights: str) -> Learning:
    """The settings with every "choose for me" decided."""
    transfer, epochs = learning.transfer, learning.epochs
    if transfer == "auto":
        transfer = "scratch" if weights == "none" else "finetune"
    if transfer != "scratch" and weights == "none":
        raise RunError(f"--transfer {transfer} needs pretrained weights: add --weights, or learn from scratch")
    if epochs == 0:
        raise ValueError(
            f"epochs is 0, which learns nothing from {dataset.name}: leave DATA out to take --weights as they are, or "
            "learn a last layer with --transfer head and no --epochs"
        )
    if epochs is None:
        n = sum(photo.split == "train" for photo in dataset.photos)
        scratch = DIGITS_EPOCHS if dataset.name == "digits" else min(60, max(12, SCRATCH_IMAGES // n))
        epochs = scratch if transfer == "scratch" else 15
    return replace(learning, transfer=transfer, epochs=epochs, flip=learning.flip and dataset.name != "digits")


def _open_folder(folder: Path, planned: Run, *, resume: bool) -> Run:
    """Begin a run in the folder, or find one of the same settings there."""
    make_folder(folder)
    if (folder / MODEL_FILE).exists() or (folder / CHECKPOINT_FILE).exists():
        found = read_run(folder)
        if not resume:
            state = "a finished" if found.finished else "an unfinished"
            raise RunError(f"{folder} holds {state} run: continue it with --resume, or name another folder with -o")
        for name in ("spec", "classes", "input", "source", "learning"):
            before, now = getattr(found, name), getattr(planned, name)
            if before != now:
                raise RunError(f"{folder} was begun with {name} {before}, now it is {now}: name another folder with -o")
        return found
    write_run(folder, planned)
    return planned


def _run_stages(
    model: Any,
    arch: str,
    learning: Learning,
    parts: dict[str, Images],
    image_input: ImageInput,
    folder: Path,
    *,
    resume: bool,
    quiet: bool,
) -> list[Epoch]:
    history: list[Epoch] = []
    start_loss = float("inf")
    if learning.transfer in ("head", "finetune"):
        freeze_batchnorm(model)
        head = train_head(model, parts["train"], parts["val"], image_input, seed=learning.seed, flip=learning.flip)
        history.append(Epoch(stage="head", epoch=1, **asdict(head)))
        start_loss = head.val_loss
    if learning.transfer != "head":
        assert learning.epochs is not None
        scratch = learning.transfer == "scratch"
        learner = architecture(arch).learner if scratch else None
        learns = model if learner is None else learner(model)
        stage = Stage(
            name=learning.transfer,
            epochs=learning.epochs,
            rate=architecture(arch).rate if scratch else FINETUNE_RATE,
            epsilon=SCRATCH_EPSILON if scratch else FINETUNE_EPSILON,
            batch=learning.batch,
            patience=max(5, learning.epochs // 2, PATIENT_STEPS * learning.batch // len(parts["train"].labels)),
            flip=learning.flip,
            seed=learning.seed,
        )
        history += run_stage(
            learns,
            stage,
            parts["train"],
            parts["val"],
            image_input,
            folder,
            objective=None if learner is None else auxiliary_cross_entropy(learns),
            start_loss=start_loss,
            resume=resume,
            quiet=quiet,
        )
    return history
