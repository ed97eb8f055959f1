"""Learn a classifier: what `edgesdk train` does."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesdk.errors import RunError
from edgesdk.generation import name_classifier_folder
from edgesdk.occupied import occupied
from edgesdk.photos.data import read_dataset
from edgesdk.preprocess import ImageInput, Resize, input_of
from edgesdk.runfolder import MODEL_FILE, Learning, Methods, Run, Transfer, name_run_folder, read_finished_run
from edgesdk.spec import DEFAULT_ARCH, make_spec
from edgesdk.verbs.generative import find_body

if TYPE_CHECKING:
    from edgesdk.grid.rayteam import RayTeam


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
        out: the run folder; `<model>_<data>.run` in the working folder if None, `<model>_<data>_classifier.run` of a
            network that generates.

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
    folder = Path(out) if out is not None else name_classifier_folder(spec, dataset.name)
    with occupied(folder, wait=resume, quiet=quiet):
        return learns(
            dataset,
            spec,
            image_input,
            data=str(data),
            weights=weights,
            learning=learning,
            folder=folder,
            teacher=None if teacher is None else _read_teacher(Path(teacher), dataset.classes, image_input),
            tensorboard=tensorboard,
            resume=resume,
            quiet=quiet,
        )


def _read_teacher(folder: Path, classes: tuple[str, ...], image_input: ImageInput) -> Any:
    """The network in a run folder, if it can teach these classes on such pictures."""
    run = read_finished_run(folder)
    if run.classes != classes:
        known, wanted = (", ".join(names[:3]) + ", ..." * (len(names) > 3) for names in (run.classes, classes))
        raise RunError(
            f"the teacher {folder} tells {len(run.classes)} classes apart ({known}), the photos have {len(classes)} "
            f"({wanted}): name a run of the same classes"
        )
    seen, shown = ((image.color, image.mean, image.std) for image in (run.input, image_input))
    if seen != shown:
        raise RunError(
            f"the teacher {folder} sees {seen[0]} pictures, the student {shown[0]}: name one that sees alike"
        )
    from edgesdk_convert.load import load_network

    return load_network(folder / MODEL_FILE)
