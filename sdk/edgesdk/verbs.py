"""The verbs, in Python and on the command line under the same names: each spans the stages it needs.

Nothing heavy is imported before a verb is called, and TensorFlow only by `train` and `convert`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk import modelfile
from edgesdk.conversion import convert
from edgesdk.data import read_dataset
from edgesdk.measurement import Measurement
from edgesdk.preprocess import Resize, input_of
from edgesdk.results import Check, Verified
from edgesdk.runfolder import Learning, Run, Transfer, name_run_folder
from edgesdk.spec import DEFAULT_ARCH, make_spec

if TYPE_CHECKING:
    from edgesdk_convert.coverage import Coverage
    from edgesdk_convert.inspect import Graph
    from edgesdk_device.app import Seen

__all__ = ["Inspected", "bench", "convert", "doctor", "inspect", "run", "train", "verify"]


def train(
    data: Path | str | None = None,
    *,
    arch: str = DEFAULT_ARCH,
    width: float = 1.0,
    res: int | None = None,
    weights: str = "none",
    transfer: Transfer = "auto",
    epochs: int | None = None,
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
        data: None with `epochs=0`: published weights as they are, with the classes that they tell apart.
        out: the run folder; `<model>_<data>.run` in the working folder if None.

    Returns:
        The finished run: its top-1 on the test split, confusions, and what `convert` needs.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    spec = make_spec(arch, width, res)
    learning = Learning(transfer=transfer, epochs=epochs, batch=batch, seed=seed, flip=flip)
    if data is None:
        if epochs != 0:
            raise ValueError("no DATA to learn from: name photos, or take --weights as they are with --epochs 0")
        from edgesdk_train.learn import take_weights

        folder = Path(out) if out is not None else name_run_folder(spec, "")
        return take_weights(spec, input_of(spec, resize), weights=weights, learning=learning, folder=folder)
    dataset = read_dataset(data)
    spec = replace(spec, classes=len(dataset.classes))
    from edgesdk_train.learn import learn

    return learn(
        dataset,
        spec,
        input_of(spec, resize),
        data=str(data),
        weights=weights,
        learning=learning,
        folder=Path(out) if out is not None else name_run_folder(spec, dataset.name),
        resume=resume,
        quiet=quiet,
    )


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
