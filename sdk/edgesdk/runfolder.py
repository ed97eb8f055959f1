"""The hand-off from training to converting: a folder with `run.json`, the value below, and the trained model.

run.json            spec, classes, preprocessing, settings, results
model.keras         the trained network (legacy Keras), once learning is finished
checkpoint.npz      where learning stands; gone when it is finished
paused.keras        the best network so far, where learning was told to pause; gone when it is finished
history.csv         one row an epoch, written after each
tensorboard/        the same for TensorBoard, where it was asked for
learning_curve.png, confusion.png, confusion.csv
"""

import json
import math
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args

from edgesdk.atomic import write_text
from edgesdk.bounded import RECORD_BYTES, read_bounded
from edgesdk.contract import Source, decode_value
from edgesdk.errors import RunError
from edgesdk.photos import digits
from edgesdk.preprocess import ImageInput
from edgesdk.spec import ModelSpec

RUN_FILE = "run.json"
MODEL_FILE = "model.keras"
PAUSED_FILE = "paused.keras"
GENERATIVE_FILE = "generative.json"
CODEC_CHECKPOINT_FILE = "compressor.npz"
#: what a folder holds in which one of these files lies
KINDS = {
    RUN_FILE: "the run of a classifier",
    GENERATIVE_FILE: "the run of a network that generates",
    CODEC_CHECKPOINT_FILE: "an unfinished codec",
    "decoder.tflite": "a codec",
}
Transfer = Literal["auto", "head", "slice", "finetune", "scratch"]
Mix = Literal["none", "mixup", "cutmix", "both"]
Augment = Literal["standard", "rand", "none"]
Record = TypeVar("Record")
LARGEST_SEED = 2**31 - 1  # TensorFlow takes it as an int32


@dataclass(frozen=True, kw_only=True)
class Methods:
    """What learning does beyond Adam on the labels' cross-entropy, in every stage but a new last layer's.

    Attributes:
        augment: other views of each photo: "standard" (shifts, zoom, light), "rand" (RandAugment) or "none".
        mix: two photos as one: "mixup", "cutmix" or, drawn for each batch, "both".
        label_smoothing: share of each answer spread over all classes.
        class_weights: all classes count alike, however many photos each has.
        clip_norm: largest norm of a step's gradients together; 0 for any.
        ema: what a step leaves of the running mean of the weights, which is judged and kept; 0 for no mean.
        mixed_precision: computes in bfloat16, for the hardware that is faster so; weights stay float32.
    """

    augment: Augment = "standard"
    mix: Mix = "none"
    label_smoothing: float = 0.0
    class_weights: bool = False
    clip_norm: float = 0.0
    ema: float = 0.0
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        if self.augment not in get_args(Augment) or self.mix not in get_args(Mix):
            known = ", ".join(get_args(Augment)), ", ".join(get_args(Mix))
            raise ValueError(
                f"augment is {self.augment!r} and mix {self.mix!r}, expected one of {known[0]} and one of {known[1]}"
            )
        if not 0 <= self.label_smoothing < 1 or not 0 <= self.ema < 1:
            raise ValueError(
                f"label_smoothing is {self.label_smoothing} and ema {self.ema}, expected 0 or more and below 1"
            )
        if not 0 <= self.clip_norm < math.inf:
            raise ValueError(f"clip_norm is {self.clip_norm}, expected 0 or more, such as 1.0")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How to learn.

    Attributes:
        transfer: "head" trains a new last layer on frozen features, "slice" one on those of an earlier layer,
            "finetune" then the whole network with frozen batch-norm, "scratch" everything from random weights; "auto"
            measures which of them suits the photos, and is scratch without weights.
        cut: the layer after which "slice" cuts; "" takes the one whose features tell the classes apart best.
        epochs: of fine-tuning or of learning from scratch; None chooses by the amount of data, 0 takes the weights as
            they are.
        batch: images a step.
        seed: of shuffling, augmentation and new weights.
        flip: whether a mirrored photo shows the same thing (not so for digits and traffic signs).
        methods: what it does beyond that.
        teacher: the run folder of a network of the same classes, whose answers are learned too; "" for none.
        budget_s: seconds after which learning ends; 0 for no limit. The epochs are as many as fit.
    """

    transfer: Transfer = "auto"
    cut: str = ""
    epochs: int | None = None
    batch: int = 32
    seed: int = 0
    flip: bool = True
    methods: Methods = Methods()
    teacher: str = ""
    budget_s: float = 0.0

    def __post_init__(self) -> None:
        if self.transfer not in get_args(Transfer):
            raise ValueError(f"transfer is {self.transfer!r}, expected one of {', '.join(get_args(Transfer))}")
        if self.cut and self.transfer != "slice":
            raise ValueError(f"cut is {self.cut!r} beside transfer {self.transfer!r}, expected it beside slice alone")
        if (self.epochs is not None and self.epochs < 0) or self.batch < 1:
            raise ValueError(f"epochs is {self.epochs} and batch {self.batch}, expected at least 0 and 1")
        check_seed(self.seed)
        if not 0 <= self.budget_s < math.inf:
            raise ValueError(f"time_budget is {self.budget_s} s, expected 0 or more, such as 600 or 10m")


def check_seed(seed: int) -> None:
    """Refuse what some of the generators of random numbers refuse later.

    Raises:
        ValueError: if it is below 0 or does not fit into 31 bits.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed is {seed}, expected 0 to {LARGEST_SEED}")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run.

    Attributes:
        data: the path (or "digits") it learned from; "" where the weights were taken as they are.
        top1: of the test split, 0 to 1, and on how many images; None until learning is finished.
        confusions: (true label, answered label, how often), most frequent first.
        seconds: what learning took, since the last resume.
        skipped: files that are no whole images.
        measured: what "auto" chose by, a sentence each; () where nothing was left open.
    """

    spec: ModelSpec
    classes: tuple[str, ...]
    input: ImageInput
    source: Source
    learning: Learning
    data: str
    top1: float | None = None
    top1_n: int = 0
    confusions: tuple[tuple[str, ...], ...] = ()
    seconds: float = 0.0
    skipped: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether the model is there."""
        return self.top1 is not None or not self.data


def name_run_folder(spec: ModelSpec, dataset: str) -> Path:
    """The folder, in the working folder, of a run that was given no other; `dataset` is "" where none was learned."""
    return Path(f"{spec.name}_{dataset}.run" if dataset else f"{spec.name}.run")


def read_run(folder: Path | str) -> Run:
    """Read `run.json`.

    Raises:
        RunError: if the folder is missing or holds no valid run.
    """
    missing = f"no run of a classifier: it has no {RUN_FILE}; make one with `edgesdk train`"
    return read_record(folder, RUN_FILE, Run, missing)


def read_finished_run(folder: Path | str) -> Run:
    """As `read_run`, of a run whose network is there.

    Raises:
        RunError: as `read_run`, or if the run is unfinished.
    """
    run = read_run(folder)
    if not run.finished or not (Path(folder) / MODEL_FILE).is_file():
        refuse_unfinished(folder)
    return run


def read_record(folder: Path | str, name: str, kind: type[Record], missing: str) -> Record:
    """What learning notes of itself in a run folder.

    Args:
        name: of the JSON file in the folder.
        kind: the dataclass it holds.
        missing: what the folder is where the file is missing, for the sentence.

    Raises:
        RunError: if it is missing, cannot be read or is damaged.
    """
    path = Path(folder) / name
    try:
        record = decode_value(kind, json.loads(read_bounded(path, RECORD_BYTES)), "run")
    except FileNotFoundError as error:
        if not Path(folder).exists():
            raise RunError(f"there is no {folder}, expected a run folder of `edgesdk train`") from error
        raise RunError(f"{folder} is {missing}") from error
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror}): name a run folder of `edgesdk train`") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({str(error)[:300]}): train again into another folder") from error
    assert isinstance(record, kind)
    return record


def require_data(folder: Path | str, data: str, remedy: str = "") -> None:
    """Find the photos of a run where it found them, which is as they were named: from the same working folder.

    Raises:
        RunError: if they are not there.
    """
    if data != digits.NAME and not Path(data).exists():
        raise RunError(
            f"{folder} learned {data}, which is not to be found from here: {remedy}call it from the folder where it "
            "learned, or put the photos back"
        )


def refuse_second(folder: Path, *, finished: bool) -> NoReturn:
    """Begin no other run in a folder that holds one.

    Raises:
        RunError: always.
    """
    if finished:
        raise RunError(f"{folder} holds a finished run: name another folder with -o")
    raise RunError(f"{folder} holds an unfinished run: continue it with --resume, or name another folder with -o")


def refuse_other_kind(folder: Path, *own: str) -> None:
    """Begin no run in a folder that holds one of another kind: each would replace what the other keeps.

    Args:
        own: the files in `KINDS` that this kind writes itself.

    Raises:
        RunError: if it does.
    """
    for name, kind in KINDS.items():
        if name not in own and (folder / name).is_file():
            raise RunError(f"{folder} holds {kind} ({name}): name another folder with -o")


def refuse_unfinished(folder: Path | str) -> NoReturn:
    """Take no network out of a folder where learning has not ended.

    Raises:
        RunError: always.
    """
    word = shlex.quote(str(folder))
    raise RunError(f"{folder} is unfinished: finish it with the same `edgesdk train ... -o {word} --resume`")


def require_same(folder: Path, found: Record, planned: Record, fields: Iterable[str]) -> None:
    """Continue a run with the settings it was begun with only.

    Raises:
        RunError: names the first of the fields that differs.
    """
    for name in fields:
        before, now = getattr(found, name), getattr(planned, name)
        if before != now:
            raise RunError(
                f"{folder} was begun with {first_difference(name, before, now)}: name another folder (-o; --work of "
                "choose), or remove it"
            )


def first_difference(name: str, before: Any, now: Any) -> str:
    """What differs first in two settings of that name, inside dataclasses too: "epochs 200, now it is 100"."""
    if is_dataclass(before) and type(before) is type(now):
        inner = ((field.name, getattr(before, field.name), getattr(now, field.name)) for field in fields(before))
        return next(first_difference(*item) for item in inner if item[1] != item[2])
    if name == "fingerprint":  # a hash says nothing to a reader
        return "other photos than are there now"
    return f"{name} {str(before)[:80]}, now it is {str(now)[:80]}"


def write_run(folder: Path, run: Run) -> None:
    """Write `run.json` in one step."""
    write_text(folder / RUN_FILE, json.dumps(asdict(run), indent=1, ensure_ascii=False))
