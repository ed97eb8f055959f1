"""From labelled photos to a run folder."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.atomic import make_folder
from edgesdk.contract import Source
from edgesdk.errors import RunError, WeightsError
from edgesdk.photos.data import Dataset, Images, load_images, remark_colors, remark_skipped, split_dataset
from edgesdk.photos.photo import Span
from edgesdk.preprocess import ImageInput
from edgesdk.progress import remark
from edgesdk.runfolder import (
    MODEL_FILE,
    PAUSED_FILE,
    RUN_FILE,
    Learning,
    Run,
    read_run,
    refuse_other_kind,
    refuse_second,
    require_same,
    write_run,
)
from edgesdk.spec import ModelSpec
from edgesdk_train.cases import choose_case
from edgesdk_train.checkpoint import CHECKPOINT_FILE, read_progress
from edgesdk_train.depths import cut_after
from edgesdk_train.judge import evaluator
from edgesdk_train.logs import EpochLog, write_csv
from edgesdk_train.models import architecture, remark_channels
from edgesdk_train.narrow import narrow, wider_spec
from edgesdk_train.savedmodels import save_model
from edgesdk_train.stages import run_stages
from edgesdk_train.team import ALONE, Team, select
from edgesdk_train.weights import Pretrained, find_weights, labels_of, load_weights, read_weights

SCRATCH_IMAGES = 60_000  # seen in all, between 12 and 60 epochs
DIGITS_EPOCHS = 12


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
    teacher: Any = None,
    team: Team = ALONE,
    tensorboard: bool = False,
    until: int | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> Run:
    """Teach the network of `spec` to tell the classes of `dataset` apart.

    Two stages where there are weights: a new head on cached features, then everything with batch-norm frozen, unless
    `learning` or the photos say otherwise (see `cases`). One stage without: everything from random weights, with the
    auxiliary classifiers that the network's paper gives it.

    Args:
        dataset: photos; split here where it is not.
        spec: its number of classes is the data set's.
        image_input: the preprocessing, the same one the device will use.
        data: how the user named the data, kept so that converting finds it again.
        weights: see `build_network`.
        learning: how.
        folder: the run folder; made if missing.
        teacher: the network in the run folder `learning.teacher`.
        team: with whom: all of them call this alike, each with a folder of its own.
        tensorboard: write a log for TensorBoard, too, into the folder.
        until: the epoch of fine-tuning or of learning from scratch to pause after, 0 for the head alone. The network so
            far is left beside; resumed, it learns on as if it had never paused. None for no pause.
        resume: continue what was interrupted there.
        quiet: no progress bar.

    Returns:
        The finished run, also written to the folder; one that paused is not finished.

    Raises:
        RunError: if the folder holds another run, or one of other settings to resume.
        DataError: if the photos are too few.
        ValueError: if `learning` asks for no epochs, or for a cut where the network has none.
    """
    dataset = split_dataset(dataset)
    learning = _settled(learning, dataset, weights)
    measured: tuple[str, ...] = ()
    refuse_taken(folder, resume=resume)
    if resume and (found := _begun(folder)) is not None and found.measured and _open(learning):
        learning, measured = replace(learning, transfer=found.learning.transfer, cut=found.learning.cut), found.measured
    start = time.monotonic()
    pretrained = None if weights == "none" else read_weights(find_weights(weights, spec))
    # Before a network is built: an outline that is drawn later would turn its layers into those of a graph.
    wider = None if pretrained is None else wider_spec(spec, pretrained)
    lesson = None
    if _open(learning):
        lesson = _prepare(dataset, spec, image_input, pretrained, wider, learning, team, quiet=quiet)
        learning, measured = _choose(lesson, learning, image_input, quiet=quiet)
    planned = Run(
        spec=spec,
        classes=dataset.classes,
        input=image_input,
        source=_source(spec, pretrained, wider, dataset, learning),
        learning=learning,
        data=data,
        measured=measured,
    )
    found = _open_folder(folder, planned, resume=resume)
    if found.finished or (until is not None and _paused(folder, until)):
        return found

    if lesson is None:
        resumes = resume and (folder / CHECKPOINT_FILE).is_file()
        lesson = _prepare(dataset, spec, image_input, pretrained, wider, learning, team, resumes=resumes, quiet=quiet)
    model, parts = lesson.model, lesson.parts
    if learning.transfer == "slice":
        model = cut_after(model, learning.cut)
    history = run_stages(
        model,
        spec.arch,
        learning,
        parts["train"],
        parts["val"],
        image_input,
        folder,
        teacher=teacher,
        team=team,
        budget_s=max(1.0, learning.budget_s - (time.monotonic() - start)) if learning.budget_s else None,
        until=until,
        resume=resume,
        quiet=quiet,
        after_epoch=EpochLog(folder, tensorboard=tensorboard).write,
    )
    write_csv(folder, history)  # of a new last layer alone, no epoch was logged
    if until is not None and learning.transfer in ("finetune", "scratch") and until < (learning.epochs or 0):
        save_model(model, folder / PAUSED_FILE)
        return planned
    answers = _answer_together(model, parts["test"], image_input, team)
    top1 = float((answers == parts["test"].labels).mean())
    from edgesdk_train import plots  # matplotlib is slow to import and needed only now

    plots.draw_history(folder, history)
    pairs = plots.write_confusions(folder, dataset.classes, parts["test"].labels, answers)
    save_model(model, folder / MODEL_FILE)
    run = replace(
        planned,
        top1=top1,
        top1_n=len(parts["test"].labels),
        confusions=pairs[:20],
        seconds=round(time.monotonic() - start, 1),
        skipped=tuple(map(str, lesson.skipped)),
    )
    write_run(folder, run)
    for name in (CHECKPOINT_FILE, PAUSED_FILE):
        (folder / name).unlink(missing_ok=True)
    return run


def _answer_together(model: Any, images: Images, image_input: ImageInput, team: Team) -> npt.NDArray[np.int64]:
    """The class that the network names for each image, [n]; each process looks at its own."""
    rows, answers = team.own(images), np.zeros(len(images.labels), np.int64)
    if len(rows):
        _, _, probabilities = evaluator(model, image_input)(images if team.count == 1 else select(images, rows))
        answers[rows] = probabilities.argmax(1)
    return team.sum(answers)


@dataclass(frozen=True, kw_only=True)
class _Lesson:
    """What learning begins with: a network with the weights it starts from, and decoded photos of each split."""

    model: Any
    parts: dict[str, Images]
    skipped: tuple[Path, ...]


def _prepare(
    dataset: Dataset,
    spec: ModelSpec,
    image_input: ImageInput,
    pretrained: Pretrained | None,
    wider: ModelSpec | None,
    learning: Learning,
    team: Team,
    *,
    resumes: bool = False,  # whatever weights it gets, a checkpoint replaces them
    quiet: bool,
) -> _Lesson:
    import tf_keras as keras

    remark_channels(spec, quiet=quiet)
    remark_colors(dataset, image_input, spec.arch, quiet=quiet)
    keras.utils.set_random_seed(learning.seed)
    model = fill_network(spec, pretrained if wider is None else None).model
    parts: dict[str, Images] = {}
    for split in ("train", "val", "test"):
        photos = [photo for photo in dataset.photos if photo.split == split]
        shards = any(isinstance(photo.content, Span) for photo in photos)  # not all of which need to be here
        parts[split] = load_images(photos, image_input, late=team.count > 1 and shards, quiet=quiet)
    skipped = tuple(path for part in parts.values() for path in part.skipped)
    remark_skipped(skipped, quiet=quiet)
    if pretrained is not None and wider is not None and not resumes:
        remark(
            f"no weights of width {spec.width:g}: taking the most important channels of {pretrained.name.split()[0]}, "
            f"width {wider.width:.3g}",
            quiet=quiet,
        )
        body = fill_network(wider, pretrained).model
        narrow(body, model, parts["train"].pixels, image_input, seed=learning.seed)
    return _Lesson(model=model, parts=parts, skipped=skipped)


def _source(
    spec: ModelSpec, pretrained: Pretrained | None, wider: ModelSpec | None, dataset: Dataset, learning: Learning
) -> Source:
    origin = "none" if pretrained is None else pretrained.name
    if wider is not None:
        origin += f", the most important channels of its width {wider.width:.3g}"
    if learning.cut:
        origin += f", cut after {learning.cut}"
    return Source(
        paper=architecture(spec.arch).paper,
        weights=origin,
        trained=True,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
    )


def _open(learning: Learning) -> bool:
    """Whether the photos have to say what is to be done."""
    return learning.transfer == "auto" or (learning.transfer == "slice" and not learning.cut)


def _choose(
    lesson: _Lesson, learning: Learning, image_input: ImageInput, *, quiet: bool
) -> tuple[Learning, tuple[str, ...]]:
    """(the settings with the case and the cut that the training photos ask for, why)."""
    train, classes = lesson.parts["train"], int(lesson.model.output_shape[-1])
    choice = choose_case(lesson.model, train, image_input, classes=classes, asked=learning.transfer)
    for sentence in choice.sentences:
        remark(sentence, quiet=quiet)
    return replace(learning, transfer=choice.transfer, cut=choice.cut), choice.sentences


def _settled(learning: Learning, dataset: Dataset, weights: str) -> Learning:
    """The settings with every "choose for me" decided."""
    transfer, epochs = learning.transfer, learning.epochs
    if transfer == "auto" and weights == "none":
        transfer = "scratch"
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


def _begun(folder: Path) -> Run | None:
    """The run that the folder holds."""
    begun = (folder / MODEL_FILE).exists() or (folder / CHECKPOINT_FILE).exists()
    return read_run(folder) if begun else None


def _paused(folder: Path, until: int) -> bool:
    """Whether learning paused after that epoch or a later one, and left its network."""
    there = (folder / PAUSED_FILE).is_file() and (folder / CHECKPOINT_FILE).is_file()
    return there and len(read_progress(folder / CHECKPOINT_FILE).history) >= until


def refuse_taken(folder: Path, *, resume: bool) -> None:
    """Begin no other run in a folder that holds one.

    Raises:
        RunError: if it does, and is not to be resumed.
    """
    refuse_other_kind(folder, RUN_FILE)
    if not resume and (found := _begun(folder)) is not None:
        refuse_second(folder, finished=found.finished)


def _open_folder(folder: Path, planned: Run, *, resume: bool) -> Run:
    """Begin a run in the folder, or find one of the same settings there."""
    make_folder(folder)
    refuse_taken(folder, resume=resume)
    found = _begun(folder)
    if found is not None:
        require_same(folder, found, planned, ("spec", "classes", "input", "source", "learning"))
        return found
    write_run(folder, planned)
    return planned
