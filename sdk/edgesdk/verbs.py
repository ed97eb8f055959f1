"""The verbs, in Python and on the command line under the same names: each spans the stages it needs.

Nothing heavy is imported before a verb is called, and TensorFlow only by `train` and `convert`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgesdk import digits, modelfile
from edgesdk.contract import Io, Precision, Recipe, Source
from edgesdk.converted import Converted
from edgesdk.data import (
    Dataset,
    load_images,
    read_dataset,
    remark_skipped,
    split_dataset,
    split_for_conversion,
)
from edgesdk.errors import RunError, WeightsError
from edgesdk.measurement import Measurement
from edgesdk.preprocess import ImageInput
from edgesdk.progress import remark
from edgesdk.results import Check, Verified
from edgesdk.runfolder import MODEL_FILE, Learning, Run, Transfer, read_run
from edgesdk.spec import ModelSpec

if TYPE_CHECKING:
    from edgesdk_convert.convert import Evidence
    from edgesdk_convert.inspect import Graph
    from edgesdk_device.app import Seen

Resize = Literal["crop", "squash", "letterbox"]

CALIBRATION_PHOTOS = 100
UNTRAINED_CLASSES = 1000


def train(
    data: Path | str,
    *,
    arch: str = "mobilenet_v1",
    width: float = 1.0,
    res: int = 224,
    weights: str = "none",
    transfer: Transfer = "auto",
    epochs: int = 0,
    batch: int = 32,
    seed: int = 0,
    flip: bool = True,
    resize: Resize = "crop",
    resume: bool = False,
    out: Path | str | None = None,
    quiet: bool = True,
) -> Run:
    """Teach a network to tell the classes of `data` apart; see `edgesdk train --help` for each option.

    Args:
        out: the run folder; `<model>_<data>.run` in the working folder if None.

    Returns:
        The finished run: its top-1 on the test split, confusions, and what `convert` needs.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    spec = ModelSpec(arch=arch, width=width, res=res, classes=2)
    learning = Learning(transfer=transfer, epochs=epochs, batch=batch, seed=seed, flip=flip)
    dataset = read_dataset(data)
    spec = replace(spec, classes=len(dataset.classes))
    from edgesdk_train.learn import learn

    return learn(
        dataset,
        spec,
        _image_input(spec, resize),
        data=str(data),
        weights=weights,
        learning=learning,
        folder=Path(out) if out is not None else _run_folder(spec, dataset.name),
        resume=resume,
        quiet=quiet,
    )


def convert(
    model: Path | str | None = None,
    *,
    data: Path | str | None = None,
    arch: str = "mobilenet_v1",
    width: float = 1.0,
    res: int = 224,
    weights: str | None = None,
    quantize: Precision = "int8",
    io: Io | None = None,
    max_drop: float | None = None,
    repair: bool = True,
    out: Path | str | None = None,
    resize: Resize = "crop",
    transfer: Transfer = "auto",
    epochs: int = 0,
    batch: int = 32,
    seed: int = 0,
    flip: bool = True,
    quiet: bool = True,
) -> Converted:
    """Make a proved .tflite; see `edgesdk convert --help` for each option.

    Args:
        model: a run folder of `train`. Without it the network is built: from `weights`, learned on `data` unless the
            weights already tell these very classes apart, and on the embedded `digits` where neither is given.
        out: the file's name; `<model>_<data>_<precision>.tflite` in the working folder if None. What is learned on
            the way lies beside it in a run folder, and a second call continues or reuses it.

    Returns:
        The file that was written and what its contract says.

    Raises:
        EdgeSDKError, ValueError: one sentence each; nothing is left under the final name.
    """
    recipe = Recipe(precision=quantize, io=io or ("uint8" if quantize == "int8" else "float32"))
    spec = ModelSpec(arch=arch, width=width, res=res, classes=UNTRAINED_CLASSES)
    learning = Learning(transfer=transfer, epochs=epochs, batch=batch, seed=seed, flip=flip)
    if model is None and data is None and weights is None:
        data = digits.NAME
        remark(
            "no model, data or weights named: learning the embedded digits, about two minutes on 2 cores", quiet=quiet
        )
    if model is None:
        plan = _plan(spec, data, weights, resize)
        name = f"{plan.spec.name}_{plan.dataset.name}" if plan.dataset else plan.spec.name
        path = Path(out) if out is not None else Path(f"{name}_{quantize}.tflite")
        if plan.learns and plan.dataset is not None:
            run_folder = path.with_suffix(".run") if out is not None else _run_folder(plan.spec, plan.dataset.name)
            _learn_or_reuse(plan, learning, run_folder, str(data), quiet=quiet)
            return _convert_run(run_folder, recipe, None, path, max_drop, repair=repair, quiet=quiet)
        return _convert_built(plan, recipe, path, max_drop, repair=repair, quiet=quiet)
    run = read_run(model)
    path = Path(out) if out is not None else Path(f"{run.spec.name}_{run.source.dataset}_{quantize}.tflite")
    return _convert_run(Path(model), recipe, data, path, max_drop, repair=repair, quiet=quiet)


def verify(path: Path | str, *, backend: str = "auto", threads: int = 1) -> Verified:
    """Replay the golden outputs of a .tflite on this machine.

    Raises:
        ModelFileError: if the file is damaged or has no contract.
        BackendError: if no runtime takes it.
    """
    from edgesdk_device.classifier import Model

    with Model(path, backend=backend, threads=threads) as model:
        return model.verify()


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A file, checked, and its operations."""

    file: modelfile.ModelFile
    graph: "Graph"


def inspect(path: Path | str) -> Inspected:
    """Read what is inside a .tflite: operations, multiply-adds, bytes, contract.

    Raises:
        ModelFileError: if the file is missing or damaged.
    """
    from edgesdk_convert.inspect import read_graph

    file = modelfile.read(path)
    return Inspected(file=file, graph=read_graph(file.content))


def bench(
    paths: Sequence[Path | str],
    *,
    data: Path | str | None = None,
    backends: Sequence[str] = ("auto",),
    threads: Sequence[int] = (1,),
    quick: bool = False,
    quiet: bool = True,
) -> list[Measurement]:
    """Measure files on this machine, each with each backend and number of threads in a process of its own.

    Args:
        data: labelled photos; adds top-1 on the test split (on all photos where there is none).
        quick: about a second each instead of about ten.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    from edgesdk_device.bench import measure_all

    return measure_all([Path(path) for path in paths], data, backends, threads, quick=quick, quiet=quiet)


def run(
    path: Path | str,
    *,
    source: str | int = 0,
    backend: str = "auto",
    threads: int = 1,
    frames: int | None = None,
    events: Path | str | None = None,
) -> "Iterator[Seen]":
    """Classify the frames of a source one after another, until it ends or `frames` were seen.

    Args:
        events: a file that gets one JSON object a line for each frame.

    Raises:
        EdgeSDKError: if the model, the source or the events file does not open.
    """
    from edgesdk_device.app import watch

    return watch(path, source=source, backend=backend, threads=threads, frames=frames, events=events)


def doctor() -> list[Check]:
    """Which runtimes, cameras and extras work here, and how to get the rest."""
    from edgesdk_device.probe import probe

    return probe()


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What `convert` without a MODEL will do."""

    spec: ModelSpec
    image_input: ImageInput
    weights: str
    labels: tuple[str, ...]
    dataset: Dataset | None
    learns: bool


def _plan(spec: ModelSpec, data: Path | str | None, weights: str | None, resize: Resize) -> _Plan:
    weights = weights or "none"
    dataset = None if data is None else read_dataset(data)
    labels = tuple(f"class {index}" for index in range(spec.classes))
    learns = True
    if weights != "none":
        from edgesdk_train.narrow import wider_spec
        from edgesdk_train.weights import find_weights, head_classes, imagenet_labels, read_weights

        pretrained = read_weights(find_weights(weights, spec))
        known = head_classes(pretrained)
        names, synsets = imagenet_labels()
        if known == len(names):
            labels = names
            foreign = dataset is not None and dataset.classes != names and dataset.synsets != synsets
            learns = foreign or wider_spec(spec, pretrained) is not None
        elif dataset is None:
            raise WeightsError(
                f"{weights} has "
                + ("no classes" if known is None else f"{known} classes of unknown names")
                + ": add --data DIR to learn a new last layer"
            )
    if dataset is None:
        learns = False
    elif learns:
        labels = dataset.classes
    spec = replace(spec, classes=len(labels))
    return _Plan(
        spec=spec,
        image_input=_image_input(spec, resize),
        weights=weights,
        labels=labels,
        dataset=dataset,
        learns=learns,
    )


def _image_input(spec: ModelSpec, resize: Resize) -> ImageInput:
    return ImageInput(height=spec.res, width=spec.res, resize=resize)


def _run_folder(spec: ModelSpec, dataset: str) -> Path:
    return Path(f"{spec.name}_{dataset}.run")


def _learn_or_reuse(plan: _Plan, learning: Learning, folder: Path, data: str, *, quiet: bool) -> None:
    """Learn into the folder; continue what was interrupted there; reuse what was finished with these settings."""
    assert plan.dataset is not None
    from edgesdk_train.learn import learn

    if (folder / MODEL_FILE).is_file():
        remark(f"using what was learned in {folder}; remove it to learn again", quiet=quiet)
    learn(
        plan.dataset,
        plan.spec,
        plan.image_input,
        data=data,
        weights=plan.weights,
        learning=learning,
        folder=folder,
        resume=True,
        quiet=quiet,
    )


def _convert_run(
    folder: Path,
    recipe: Recipe,
    data: Path | str | None,
    out: Path,
    max_drop: float | None,
    *,
    repair: bool,
    quiet: bool,
) -> Converted:
    run = read_run(folder)
    if not run.finished or not (folder / MODEL_FILE).is_file():
        raise RunError(f"{folder} is unfinished: finish it with `edgesdk train {run.data} -o {folder} --resume`")
    dataset = read_dataset(data or run.data)
    if dataset.classes != run.classes:
        raise RunError(
            f"{folder} learned the classes {_few(run.classes)}, {dataset.name} has {_few(dataset.classes)}: name the "
            "data it learned from"
        )
    if data is None and dataset.fingerprint != run.source.fingerprint:
        remark(
            f"the photos in {run.data} changed since {folder} learned them: it may be judged on photos it learned from",
            quiet=quiet,
        )
    from edgesdk_convert.convert import convert_model
    from edgesdk_convert.load import load_network

    return convert_model(
        load_network(folder / MODEL_FILE),
        spec=run.spec,
        image_input=run.input,
        labels=run.classes,
        source=run.source,
        recipe=recipe,
        evidence=_evidence(split_dataset(dataset), run.input, quiet=quiet),
        out=out,
        max_drop=max_drop,
        repair=repair,
        quiet=quiet,
    )


def _convert_built(
    plan: _Plan, recipe: Recipe, out: Path, max_drop: float | None, *, repair: bool, quiet: bool
) -> Converted:
    from edgesdk_convert.convert import Evidence, convert_model
    from edgesdk_train.learn import build_network

    network = build_network(plan.spec, plan.weights)
    source: Source = network.source
    evidence = Evidence()
    if plan.dataset is not None:
        evidence = _evidence(plan.dataset, plan.image_input, quiet=quiet)
        source = replace(source, dataset=plan.dataset.name, fingerprint=plan.dataset.fingerprint)
    return convert_model(
        network.model,
        spec=plan.spec,
        image_input=plan.image_input,
        labels=plan.labels,
        source=source,
        recipe=recipe,
        evidence=evidence,
        out=out,
        max_drop=max_drop,
        repair=repair,
        quiet=quiet,
    )


def _evidence(dataset: Dataset, image_input: ImageInput, *, quiet: bool) -> "Evidence":
    from edgesdk_convert.convert import Evidence

    calibration, test = split_for_conversion(dataset, CALIBRATION_PHOTOS)
    seen, judged = load_images(calibration, image_input), load_images(test, image_input, quiet=quiet)
    remark_skipped((*seen.skipped, *judged.skipped), quiet=quiet)
    return Evidence(calibration=seen.pixels, test=judged.pixels, truth=judged.labels)


def _few(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
