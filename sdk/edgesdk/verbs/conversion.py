"""The verb `convert`: from photos, a run folder or a foreign model to a proved .tflite, across the stages it needs.

Nothing heavy is imported before it is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesdk.atomic import check_writable
from edgesdk.contract import Output, Source
from edgesdk.converted import Converted
from edgesdk.errors import RunError
from edgesdk.generation import is_generated, name_classifier_folder
from edgesdk.occupied import occupied
from edgesdk.photos import digits
from edgesdk.photos.data import Dataset, read_dataset, split_dataset
from edgesdk.preprocess import ImageInput, Resize, input_of
from edgesdk.progress import remark
from edgesdk.recipe import RECIPES, Io, Precision, Quantizer, Recipe, Repair
from edgesdk.runfolder import MODEL_FILE, RUN_FILE, Learning, Transfer, name_run_folder, read_finished_run, require_data
from edgesdk.spec import ModelSpec, make_spec
from edgesdk.verbs.foreign import SAVED_MODEL, Values, convert_foreign, is_foreign

UNTRAINED_CLASSES = 1000
MODEL_FOLDERS = (RUN_FILE, SAVED_MODEL)  # one of these makes a folder a MODEL


def convert(
    model: Path | str | None = None,
    *,
    data: Path | str | None = None,
    arch: str | None = None,
    width: float | None = None,
    res: int | None = None,
    weights: str | None = None,
    values: Values | None = None,
    labels: Path | str | None = None,
    trust: bool = False,
    recipe: str | Recipe | None = None,
    quantize: Precision | None = None,
    io: Io | None = None,
    quantizer: Quantizer | None = None,
    shrink: float | None = None,
    prune: float | None = None,
    cluster: int | None = None,
    qat: bool = False,
    max_drop: float | None = None,
    min_snr: float | None = None,
    repairs: tuple[Repair, ...] | None = None,
    out: Path | str | None = None,
    resize: Resize = "crop",
    transfer: Transfer = "auto",
    cut: str = "",
    epochs: int | None = None,
    batch: int = 32,
    seed: int = 0,
    flip: bool = True,
    quiet: bool = True,
) -> Converted:
    """Make a proved .tflite; see `edgesdk convert --help` for each option.

    Args:
        model: a run folder of `train`, a Keras file, a SavedModel or a float .tflite. Without it the network is built
            (MobileNet V1 of width 1 unless `arch` and `width` say otherwise, at its paper's resolution unless `res`
            does): from `weights`, learned on `data` unless the weights already tell these very classes apart, and on
            the embedded `digits` where neither is given.
        values, labels, trust: of such a foreign `model`: what it expects for black to white, a file of its labels (one
            a line), and whether code in it may be run.
        recipe: "tiny", "fast", "accurate" or a `Recipe`; the options after it change what it says.
        repairs: what may mend int8 where it helps; () for plain int8, None for all.
        out: the file's name; `<model>_<data>_<precision>.tflite` in the working folder if None. What is learned on
            the way lies beside it in a run folder, and a second call continues or reuses it.

    Returns:
        The file that was written and what its contract says.

    Raises:
        EdgeSDKError, ValueError: one sentence each; nothing is left under the final name.
    """
    if model is not None and is_generated(model):
        raise RunError(f"{model} makes pictures, which takes several files: convert it with convert_generative")
    asked = _recipe(
        recipe,
        {
            "precision": quantize,
            "io": io,
            "quantizer": quantizer,
            "shrink": shrink,
            "prune": prune,
            "cluster": cluster,
            "qat": qat or None,
            "max_drop": max_drop,
            "min_snr": min_snr,
            "repairs": repairs,
        },
    )
    learned = {"transfer": None if transfer == "auto" else transfer, "cut": cut or None, "epochs": epochs}
    again = {
        "batch": None if batch == Learning.batch else batch,
        "seed": seed or None,
        "no-flip": None if flip else True,
        "resize": None if resize == "crop" else resize,
    }
    _check_model(
        model,
        {"arch": arch, "width": width, "weights": weights, **learned},
        {"res": res, **again},
        {"values": values, "labels": labels, "trust": trust or None},
    )
    if weights is not None and data is None:
        _refuse_given(learned, "beside weights that learn nothing more: name photos with --data")
    spec = make_spec(arch, width, res, UNTRAINED_CLASSES)
    learning = Learning(transfer=transfer, cut=cut, epochs=epochs, batch=batch, seed=seed, flip=flip)
    if out is not None:
        check_writable(out)
    if model is None and data is None and weights is None:
        data = digits.NAME
        remark(
            "no model, data or weights named: learning the embedded digits, about two minutes on 2 cores", quiet=quiet
        )
    if model is not None and is_foreign(Path(model)):
        return convert_foreign(
            Path(model),
            asked,
            data,
            None if out is None else Path(out),
            values=values,
            labels=labels,
            res=res,
            resize=resize,
            trust=trust,
            learning=learning,
            quiet=quiet,
        )
    if model is not None:
        run = read_finished_run(model)
        name = name_run_folder(run.spec, run.source.dataset).stem
        path = Path(out) if out is not None else Path(f"{name}_{asked.precision}.tflite")
        return _convert_run(Path(model), asked, data, path, quiet=quiet)
    plan = _plan(spec, data, weights, resize)
    name = name_run_folder(plan.spec, plan.dataset.name if plan.dataset else "").stem
    path = Path(out) if out is not None else Path(f"{name}_{asked.precision}.tflite")
    if not plan.learns or plan.dataset is None:
        return _convert_built(plan, asked, learning, path, quiet=quiet)
    folder = path.with_suffix(".run") if out is not None else name_classifier_folder(plan.spec, plan.dataset.name)
    _learn_or_reuse(plan, learning, folder, str(data), quiet=quiet)
    return _convert_run(folder, asked, data, path, quiet=quiet)


def _check_model(
    model: Path | str | None, built: dict[str, Any], seen: dict[str, Any], foreign: dict[str, Any]
) -> None:
    """Refuse a folder that is none, and options that have nothing to say of this MODEL."""
    if model is not None and Path(model).is_dir() and not any((Path(model) / n).is_file() for n in MODEL_FOLDERS):
        raise RunError(
            f"{model} holds no {' and no '.join(MODEL_FOLDERS)}, expected a run folder of `edgesdk train` or a "
            "SavedModel; photos are named with --data"
        )
    if model is None:
        wrong, reason = foreign, "without a MODEL to describe: name one"
    elif is_foreign(Path(model)):
        wrong, reason = built, f"beside {model}, whose network is built already: leave out one or the other"
    else:
        wrong, reason = built | seen | foreign, f"beside the run folder {model}, which says it: leave it out"
    _refuse_given(wrong, reason)


def _refuse_given(options: dict[str, Any], reason: str) -> None:
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{' and '.join(given)} stand{'s' * (len(given) == 1)} {reason}")


def _recipe(base: str | Recipe | None, changes: dict[str, Any]) -> Recipe:
    """The recipe of that name (plain int8 if None), changed by what was asked for beside it."""
    if isinstance(base, str):
        if base not in RECIPES:
            raise ValueError(f"recipe is {base!r}, expected one of {', '.join(RECIPES)}")
        base = RECIPES[base]()
    elif base is None:
        base = Recipe(precision="int8", io="uint8")
    given = {name: value for name, value in changes.items() if value is not None}
    if given.get("precision", "int8") != "int8":
        base = replace(base, io="float32", precision=given["precision"])
    if given.get("quantizer") == "ai-edge" and base.precision == "int8":
        base = replace(base, io="int8")
    return replace(base, **given)


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
        from edgesdk_train.weights import find_weights, labels_of, read_weights, tells_apart

        pretrained = read_weights(find_weights(weights, spec))
        if dataset is None or tells_apart(pretrained, dataset):
            labels = labels_of(pretrained)
            learns = wider_spec(spec, pretrained) is not None
    if dataset is None:
        learns = False
    elif learns:
        labels = dataset.classes
    spec = replace(spec, classes=len(labels))
    return _Plan(
        spec=spec,
        image_input=input_of(spec, resize),
        weights=weights,
        labels=labels,
        dataset=dataset,
        learns=learns,
    )


def _learn_or_reuse(plan: _Plan, learning: Learning, folder: Path, data: str, *, quiet: bool) -> None:
    """Learn into the folder; continue what was interrupted there; reuse what was finished with these settings."""
    assert plan.dataset is not None
    from edgesdk_train.learn import learn

    with occupied(folder, wait=True, quiet=quiet):
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


def _convert_run(folder: Path, recipe: Recipe, data: Path | str | None, out: Path, *, quiet: bool) -> Converted:
    run = read_finished_run(folder)
    from edgesdk_convert.convert import convert_model
    from edgesdk_convert.evidence import Evidence, gather_evidence
    from edgesdk_convert.load import load_network
    from edgesdk_convert.network import from_keras
    from edgesdk_train.weights import same_classes

    if run.data and not data:
        require_data(folder, run.data, "name them with --data, ")
    dataset = read_dataset(data or run.data) if data or run.data else None
    if dataset is not None and not same_classes(dataset, run.classes):
        raise RunError(
            f"{folder} learned the classes {_few(run.classes)}, {dataset.name} has {_few(dataset.classes)}: name the "
            "data it learned from"
        )
    if run.data and data is None and dataset is not None and dataset.fingerprint != run.source.fingerprint:
        remark(
            f"the photos in {run.data} changed since {folder} learned them: it may be judged on photos it learned from",
            quiet=quiet,
        )
    source, evidence = run.source, Evidence()
    if dataset is not None:
        if run.data:
            dataset = split_dataset(dataset)
        else:
            source = replace(source, dataset=dataset.name, fingerprint=dataset.fingerprint)
        evidence = gather_evidence(dataset, run.input, run.learning, folder, quiet=quiet)
    return convert_model(
        from_keras(load_network(folder / MODEL_FILE), run.input),
        spec=run.spec,
        image_input=run.input,
        output=Output(kind="probabilities", labels=run.classes),
        source=source,
        recipe=recipe,
        evidence=evidence,
        out=out,
        quiet=quiet,
    )


def _convert_built(plan: _Plan, recipe: Recipe, learning: Learning, out: Path, *, quiet: bool) -> Converted:
    from edgesdk_convert.convert import convert_model
    from edgesdk_convert.evidence import Evidence, gather_evidence
    from edgesdk_convert.network import from_keras
    from edgesdk_train.learn import build_network

    built = build_network(plan.spec, plan.weights)
    source: Source = built.source
    evidence = Evidence()
    if plan.dataset is not None:
        folder = out.with_suffix(".steps")
        evidence = gather_evidence(plan.dataset, plan.image_input, learning, folder, quiet=quiet)
        source = replace(source, dataset=plan.dataset.name, fingerprint=plan.dataset.fingerprint)
    return convert_model(
        from_keras(built.model, plan.image_input),
        spec=plan.spec,
        image_input=plan.image_input,
        output=Output(kind="probabilities", labels=plan.labels),
        source=source,
        recipe=recipe,
        evidence=evidence,
        out=out,
        quiet=quiet,
    )


def _few(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
