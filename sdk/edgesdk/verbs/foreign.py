"""The verb `convert` for a network that others trained, across the stages that it needs."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edgesdk.atomic import check_writable
from edgesdk.contract import Output, Source
from edgesdk.converted import Converted
from edgesdk.errors import DataError
from edgesdk.photos.data import Dataset, name_classes, read_dataset, read_labels, read_photos, split_dataset
from edgesdk.preprocess import Resize
from edgesdk.recipe import Recipe
from edgesdk.runfolder import RUN_FILE, Learning

if TYPE_CHECKING:
    from edgesdk_convert.foreign import Foreign

SAVED_MODEL = "saved_model.pb"
#: What a network expects for black to white: -1 to 1, 0 to 1 or 0 to 255.
Values = Literal["signed", "unit", "bytes"]


def is_foreign(model: Path) -> bool:
    """Whether a MODEL is a file or a SavedModel, rather than a run folder."""
    if model.is_dir():
        return (model / SAVED_MODEL).is_file() and not (model / RUN_FILE).is_file()
    return model.is_file() or model.suffix in (".keras", ".h5", ".tflite")


def convert_foreign(
    path: Path,
    recipe: Recipe,
    data: Path | str | None,
    out: Path | None,
    *,
    values: Values | None,
    labels: Path | str | None,
    res: int | None,
    resize: Resize,
    trust: bool,
    learning: Learning,
    quiet: bool,
) -> Converted:
    """Read a foreign network, and convert it as any other; see `edgesdk.convert`."""
    name = "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in path.resolve().stem)
    out = out or Path(f"{name}_{recipe.precision}.tflite")
    if out.exists() and out.resolve() == path.resolve():
        raise ValueError(f"out is {out}, the MODEL itself: name another file")
    check_writable(out)
    from edgesdk_convert.convert import convert_model
    from edgesdk_convert.evidence import Evidence, gather_evidence
    from edgesdk_convert.foreign import digest, read_foreign

    foreign = read_foreign(path, values=values, res=res, resize=resize, trust=trust, quiet=quiet)
    output, dataset = _meaning(path, foreign, data, labels)
    known = foreign.contract
    source = known.source if known else Source(weights=f"{path.name} sha256:{digest(path)}", trained=True)
    evidence = Evidence()
    if dataset is not None:
        source = replace(source, dataset=dataset.name, fingerprint=dataset.fingerprint)
        if recipe.learns and foreign.learns:
            dataset = split_dataset(dataset)
        elif recipe.max_drop is not None and foreign.learns:
            with contextlib.suppress(DataError):  # too few photos to learn on are enough to judge on
                dataset = split_dataset(dataset)
        folder = out.with_suffix(".steps")
        evidence = gather_evidence(
            dataset, foreign.image_input, learning, folder, labelled=output.classifies, quiet=quiet
        )
    if not foreign.learns:
        evidence = replace(evidence, lesson=None)
    return convert_model(
        replace(foreign.network, layers=None) if recipe.learns and not foreign.learns else foreign.network,
        spec=known.spec if known else None,
        image_input=foreign.image_input,
        output=output,
        source=source,
        recipe=recipe,
        evidence=evidence,
        out=out,
        name=known.name if known else name,
        quiet=quiet,
    )


def _meaning(
    path: Path, foreign: "Foreign", data: Path | str | None, labels: Path | str | None
) -> tuple[Output, Dataset | None]:
    """What a foreign network's answers mean, and the photos with classes in the order of its answers."""
    known = foreign.contract.output if foreign.contract else None
    kind = known.kind if known else foreign.answer
    names = read_labels(labels) if labels is not None else known.labels if known else ()
    dataset = None
    if data is not None:
        try:
            dataset = read_dataset(data)
        except DataError:
            if kind == "probabilities":
                raise
    counted = names or (dataset.classes if dataset else ())
    if kind == "latent" and len(counted) == foreign.outputs > 1:
        kind = "logits"
    if names and len(names) != foreign.outputs:
        raise DataError(f"{labels} has {len(names)} labels, but {path} answers {foreign.outputs} numbers: name its own")
    output = Output(kind=kind, labels=names)
    if not output.classifies:
        return Output(kind=kind), None if data is None else read_photos(data)
    if names:
        return output, None if dataset is None else name_classes(dataset, names)
    if dataset is not None and len(dataset.classes) != foreign.outputs:
        raise DataError(
            f"{dataset.name} has {len(dataset.classes)} classes, but {path} tells {foreign.outputs} apart: name photos "
            "of its classes, or its labels with --labels"
        )
    made = tuple(f"class {index}" for index in range(foreign.outputs))
    return replace(output, labels=dataset.classes if dataset else made), dataset
