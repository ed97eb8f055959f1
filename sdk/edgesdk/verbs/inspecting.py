"""What is inside a file or a run: what `edgesdk inspect` does."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk import modelfile
from edgesdk.atomic import write_bytes
from edgesdk.preprocess import fit_frame, read_photo
from edgesdk.reports import runreport
from edgesdk.reports.runreport import InspectedRun
from edgesdk.runfolder import MODEL_FILE, read_finished_run

if TYPE_CHECKING:
    from edgesdk_convert.coverage import Coverage
    from edgesdk_convert.inspect import Graph


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A file, checked, its operations, and what will run them.

    Attributes:
        too_new: the operations for which tflite-runtime 2.14 refuses the file, a phrase each.
        coverage: how many operations each delegate would likely take: a guess.
    """

    file: modelfile.ModelFile
    graph: "Graph"
    too_new: tuple[str, ...]
    coverage: "tuple[Coverage, ...]"


def inspect(path: Path | str) -> Inspected:
    """Read what is inside a .tflite: operations, multiply-adds, bytes, contract, and what will run it.

    Raises:
        ModelFileError: if the file is missing or damaged.
    """
    from edgesdk_convert.coverage import guess_coverage
    from edgesdk_convert.inspect import read_graph
    from edgesdk_convert.opversions import too_new

    file = modelfile.read(path)
    graph = read_graph(file.content)
    return Inspected(file=file, graph=graph, too_new=too_new(graph), coverage=guess_coverage(graph))


def inspect_run(
    folder: Path | str, *, activations: Path | str | None = None, report: Path | str | None = None
) -> InspectedRun:
    """Read what is inside the network of a run folder, layer by layer, and what its layers answer to a photo.

    Args:
        activations: a photo; `activations.png` in the run folder shows its feature maps.
        report: an .html to write all of it to.

    Raises:
        RunError: if the folder holds no finished run.
        DataError: if the photo is none.
        ValueError: if the report is to end otherwise.
    """
    folder, path = Path(folder), None
    if report is not None:
        runreport.check_run_report(Path(report))
    run = read_finished_run(folder)
    photo = None if activations is None else fit_frame(read_photo(activations), run.input)
    from edgesdk_convert.load import load_network

    model = load_network(folder / MODEL_FILE)
    from edgesdk_train.activations import draw_activations, list_layers, look_inside

    shares = None
    if photo is not None:
        maps, answer = look_inside(model, photo, run.input)
        path = write_bytes(folder / "activations.png", draw_activations(photo, maps, answer, run.classes))
        shares = {run.classes[index]: float(answer[index]) for index in (-answer).argsort()[:5]}
    found = InspectedRun(folder=folder, run=run, layers=list_layers(model), activations=path, answer=shares)
    if report is not None:
        runreport.write_run_report(Path(report), found)
    return found
