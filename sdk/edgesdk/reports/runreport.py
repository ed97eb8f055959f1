"""What `inspect` shows of a run folder: its network layer by layer, and the same as one HTML page."""

import base64
from dataclasses import asdict, dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgesdk.atomic import check_writable, write_text
from edgesdk.errors import MissingPackageError
from edgesdk.reports.tables import columns
from edgesdk.runfolder import Run

HEAD = ("layer", "kind", "gives", "parameters", "multiply-adds")
PICTURES = {
    "learning_curve.png": "How it learned",
    "confusion.png": "What it takes for what, on test photos",
    "activations.png": "What each layer answers to the photo, its most varied maps; brighter is stronger",
}


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer: its kind, the shape of what it gives (without the batch), its parameters and multiply-adds."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class InspectedRun:
    """A run and its network.

    Attributes:
        activations: the picture of a photo's feature maps, where one was asked for.
        answer: label -> its share, of that photo.
    """

    folder: Path
    run: Run
    layers: tuple[Layer, ...]
    activations: Path | None = None
    answer: dict[str, float] | None = None


def as_json(found: InspectedRun) -> dict[str, Any]:
    """path, run, layers, activations and answer."""
    return {
        "path": str(found.folder),
        "run": asdict(found.run),
        "layers": [asdict(layer) for layer in found.layers],
        "activations": None if found.activations is None else str(found.activations),
        "answer": found.answer,
    }


def as_text(found: InspectedRun) -> list[str]:
    """Facts and the table of layers, line by line."""
    lines = [str(found.folder), *(f"  {name}: {text}" for name, text in _facts(found).items())]
    return [*lines, "", *columns([HEAD, *_rows(found)])]


def check_run_report(path: Path) -> None:
    """Refuse what `write_run_report` would refuse; raises as it does."""
    if path.suffix != ".html":
        raise ValueError(f"the report {path} ends in {path.suffix!r}, expected .html")
    if find_spec("jinja2") is None:
        raise MissingPackageError("jinja2", "report", "an HTML report")
    check_writable(path)


def write_run_report(path: Path, found: InspectedRun) -> Path:
    """One page that holds its pictures.

    Raises:
        ValueError: if it does not end in .html.
        MissingPackageError: if jinja2 is missing.
        WriteError: if the file cannot be written.
    """
    check_run_report(path)
    import jinja2

    template = (files("edgesdk.reports") / "templates" / "run.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    pictures = {
        title: base64.b64encode((found.folder / name).read_bytes()).decode()
        for name, title in PICTURES.items()
        if (found.folder / name).is_file() and (name != "activations.png" or found.activations is not None)
    }
    page = environment.from_string(template).render(
        name=found.run.spec.name, facts=_facts(found), head=HEAD, rows=_rows(found), pictures=pictures
    )
    return write_text(path, page)


def _facts(found: InspectedRun) -> dict[str, str]:
    run, image = found.run, found.run.input
    facts = {
        "network": f"{run.spec.name}, {run.source.paper}",
        "weights from": run.source.weights,
        "input": f"{image.height}x{image.width} {image.color}, {image.resize}",
        "classes": f"{len(run.classes)}: {', '.join(run.classes[:8])}{', ...' if len(run.classes) > 8 else ''}",
        "parameters": f"{sum(layer.parameters for layer in found.layers):,}",
        "multiply-adds": f"{sum(layer.macs for layer in found.layers) / 1e6:.2f} M",
    }
    if run.top1 is not None:
        facts["learned"] = f"{run.source.dataset}, --transfer {run.learning.transfer}, {run.seconds:.0f} s"
        facts["top-1"] = f"{100 * run.top1:.1f} % of {run.top1_n} test photos"
    facts |= dict(zip(("measured", "so"), run.measured, strict=False))  # what was measured, and what follows
    if found.answer is not None:
        facts["answer"] = ", ".join(f"{label} {100 * share:.1f} %" for label, share in found.answer.items())
        facts["activations"] = str(found.activations)
    return facts


def _rows(found: InspectedRun) -> list[tuple[str, ...]]:
    return [
        (
            layer.name,
            layer.kind,
            "x".join(map(str, layer.shape)),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.macs:,}" if layer.macs else "",
        )
        for layer in found.layers
    ]
