"""The verbs, in Python and on the command line under the same names: each spans the stages it needs.

Nothing heavy is imported before a verb is called, and TensorFlow only by `train` and `convert`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesdk import modelfile
from edgesdk.atomic import write_bytes
from edgesdk.choice import name_runtime
from edgesdk.errors import RunError
from edgesdk.grid.choosing import choose
from edgesdk.photos.data import read_dataset
from edgesdk.preprocess import ImageInput, Resize, fit_frame, input_of, read_photo
from edgesdk.reports import runreport
from edgesdk.reports.runreport import InspectedRun
from edgesdk.results import Check, Verified
from edgesdk.runfolder import MODEL_FILE, Learning, Methods, Run, Transfer, name_run_folder, read_run
from edgesdk.spec import DEFAULT_ARCH, make_spec
from edgesdk.verbs.conversion import convert
from edgesdk.verbs.generative import find_body
from edgesdk.verbs.measure import bench, bench_android, bench_fleet, bench_on

if TYPE_CHECKING:
    from edgesdk.grid.rayteam import RayTeam
    from edgesdk_convert.coverage import Coverage
    from edgesdk_convert.inspect import Graph
    from edgesdk_device.app import AppSettings, CameraApp
    from edgesdk_device.backends import Delegate
    from edgesdk_device.cameras import Source

__all__ = [
    "Inspected",
    "InspectedRun",
    "bench",
    "bench_android",
    "bench_fleet",
    "bench_on",
    "choose",
    "convert",
    "doctor",
    "inspect",
    "inspect_run",
    "run",
    "train",
    "verify",
]


def train(
    data: Path | str | None = None,
    *,
    arch: str = DEFAULT_ARCH,
    width: float = 1.0,
    res: int | None = None,
    weights: str = "none",
    init_from: Path | str | None = None,
    transfer: Transfer = "auto",
    cut: str = "",
    epochs: int | None = None,
    batch: int = 32,
    seed: int = 0,
    flip: bool = True,
    methods: Methods | None = None,
    teacher: Path | str | None = None,
    time_budget: float = 0.0,
    tensorboard: bool = False,
    resize: Resize = "crop",
    resume: bool = False,
    team: "RayTeam | None" = None,
    out: Path | str | None = None,
    quiet: bool = True,
) -> Run:
    """Teach a network to tell the classes of `data` apart; see `edgesdk train --help` for each option.

    Args:
        data: None with `epochs=0`: published weights as they are, with the classes that they tell apart.
        arch: of a network that generates, what is learned here is the classifier that its encoder or discriminator
            becomes; `train_generative` learns the network itself.
        init_from: a run folder of `train_generative`, whose encoder or discriminator the classifier begins with; "none"
            is as None.
        methods: mixing, smoothing, averaging and more; none of them if None.
        teacher: the run folder of a network of the same classes, whose answers are learned too.
        time_budget: seconds after which learning ends; 0 for no limit.
        tensorboard: write a log for TensorBoard, too.
        team: the workers of a Ray cluster that learn it; this process if None.
        out: the run folder; `<model>_<data>.run` in the working folder if None.

    Returns:
        The finished run: its top-1 on the test split, confusions, and what `convert` needs.

    Raises:
        EdgeSDKError, ValueError: one sentence each.
    """
    if init_from not in (None, "none"):
        if weights != "none":
            raise ValueError("--init-from and --weights both say what to begin with: leave out one of them")
        said = (None if arch == DEFAULT_ARCH else arch), (None if width == 1 else width)
        body, weights = find_body(init_from, *said, res)
        arch, width, res = body.arch, body.width, body.res
    spec = make_spec(arch, width, res)
    learning = Learning(
        transfer=transfer,
        cut=cut,
        epochs=epochs,
        batch=batch,
        seed=seed,
        flip=flip,
        methods=methods or Methods(),
        teacher="" if teacher is None else str(teacher),
        budget_s=time_budget,
    )
    if data is None:
        if epochs != 0:
            raise ValueError("no DATA to learn from: name photos, or take --weights as they are with --epochs 0")
        from edgesdk_train.learn import take_weights

        folder = Path(out) if out is not None else name_run_folder(spec, "")
        return take_weights(spec, input_of(spec, resize), weights=weights, learning=learning, folder=folder)
    dataset = read_dataset(data)
    spec = replace(spec, classes=len(dataset.classes))
    from edgesdk_train.learn import learn

    image_input = input_of(spec, resize)
    learns = learn if team is None else team.learn
    return learns(
        dataset,
        spec,
        image_input,
        data=str(data),
        weights=weights,
        learning=learning,
        folder=Path(out) if out is not None else name_run_folder(spec, dataset.name),
        teacher=None if teacher is None else _read_teacher(Path(teacher), dataset.classes, image_input),
        tensorboard=tensorboard,
        resume=resume,
        quiet=quiet,
    )


def _read_teacher(folder: Path, classes: tuple[str, ...], image_input: ImageInput) -> Any:
    """The network in a run folder, if it can teach these classes on such pictures."""
    run = read_run(folder)
    if run.classes != classes:
        raise RunError(
            f"the teacher {folder} tells {len(run.classes)} classes apart ({', '.join(run.classes[:3])}, ...), the "
            f"photos have {len(classes)} ({', '.join(classes[:3])}, ...): name a run of the same classes"
        )
    seen, shown = ((image.color, image.mean, image.std) for image in (run.input, image_input))
    if seen != shown:
        raise RunError(
            f"the teacher {folder} sees {seen[0]} pictures, the student {shown[0]}: name one that sees alike"
        )
    from edgesdk_convert.load import load_network

    return load_network(folder / MODEL_FILE)


def verify(
    path: Path | str,
    *,
    backend: str = "auto",
    threads: int | None = None,
    delegate: "Delegate | None" = None,
    trust: bool = False,
    quiet: bool = True,
) -> Verified:
    """Replay the golden outputs of a .tflite on this machine; the arguments are `Classifier`'s.

    Raises:
        ModelFileError: if the file is damaged or has no contract.
        BackendError: if no runtime takes it.
    """
    if delegate is not None or backend == "litert-gpu":  # a driver or a delegate may take its process down
        from edgesdk_device.replay import replay_apart

        name = name_runtime(backend, threads or 1, "" if delegate is None else delegate.name)
        return replay_apart(path, backend, name, threads=threads, delegate=delegate)
    from edgesdk_device.classifier import Model

    with Model(path, backend=backend, threads=threads, delegate=delegate, quiet=quiet, trust=trust) as model:
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
    run = read_run(folder)
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


def run(
    path: Path | str,
    *,
    app: "AppSettings | Path | str | None" = None,
    source: "str | int | Source | None" = None,
    backend: str | None = None,
    threads: int | None = None,
    delegate: "Delegate | None" = None,
    frames: int | None = None,
    events: Path | str | None = None,
    serve: str | int | None = None,
    quiet: bool = True,
) -> "CameraApp":
    """Classify the frames of a source one after another, until it ends or `frames` were seen.

        for seen in edgesdk.run("model.tflite", source=0, serve=8000):
            print(seen.label, seen.answer.age_ms)

    Args:
        app: everything that can be set, as a value or as the path of an app file.
        source, backend, threads, delegate, events, serve: come before what `app` says; see `AppSettings`. A source may
            also be an open one, of any kind.

    Returns:
        What to iterate over, once; leaving its `with` block, or the loop, closes everything.

    Raises:
        EdgeSDKError: if the model, the source, a file or a port does not open.
        ValueError: if a setting is not allowed.
    """
    from edgesdk_device.app import AppSettings, CameraApp, read_app

    said: dict[str, Any] = {"backend": backend, "threads": threads}
    texts = {"events": events, "serve": serve, "source": source if isinstance(source, str | int) else None}
    said |= {name: str(value) for name, value in texts.items() if value is not None}
    if delegate is not None:
        said |= {"delegate": str(delegate.path), "delegate_options": delegate.options}
    said = {name: value for name, value in said.items() if value is not None}
    settings = app if isinstance(app, AppSettings) else AppSettings() if app is None else read_app(app)
    opened = None if source is None or isinstance(source, str | int) else source
    return CameraApp(path, replace(settings, **said), source=opened, frames=frames, quiet=quiet)


def doctor(path: Path | str | None = None, *, delegate: "Delegate | None" = None) -> list[Check]:
    """Which runtimes, cameras and extras work here, and how to get the rest.

    Args:
        path: a .tflite to try on every runtime here; what "auto" takes for it is chosen anew.
        delegate: tried with the file, too.

    Raises:
        ValueError: if a delegate is named without a file.
        ModelFileError: if the file is missing, damaged or has no contract.
    """
    from edgesdk_device.probe import probe, probe_file

    if path is None and delegate is not None:
        raise ValueError("a delegate is tried with a model: name a file, too")
    return probe() + ([] if path is None else probe_file(Path(path), delegate))
