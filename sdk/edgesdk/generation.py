"""Networks that generate: how they learn, and the hand-off from learning to converting.

generative.json                 the value `Generated` below
encoder.keras, decoder.keras    of an autoencoder and a VAE, once learning is finished
generator.keras, discriminator.keras    of a GAN
body.h5                         the layers that a classifier begins with, for `--init-from`
checkpoint.npz                  where learning stands; gone when it is finished
history.csv, learning_curve.png, samples.png, reconstructions.png, latent_map.png, report.html
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from edgesdk.atomic import write_text
from edgesdk.contract import Source
from edgesdk.preprocess import ImageInput
from edgesdk.runfolder import GENERATIVE_FILE, check_seed, name_run_folder, read_record, refuse_unfinished
from edgesdk.spec import ModelSpec

GENERATIVE = ("autoencoder", "autoencoder_dense", "vae", "gan", "dcgan")
AUTOENCODERS = ("autoencoder", "autoencoder_dense", "vae")
BODY_FILE = "body.h5"
CODE_MEAN, CODE_STD = 128.0, 32.0  # a code's entry is (byte - 128) / 32: -4 to 4 in steps of 1/32
FEWEST_PICTURES = 32
LARGEST_LATENT = 512


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How a network that generates learns.

    Attributes:
        latent: entries of the code.
        epochs: None chooses by the amount of data.
        batch: pictures a step.
        seed: of shuffling, codes and new weights.
        kl: weight of the VAE's divergence from a unit Gaussian (beta).
        features_of: a GAN's run folder, whose discriminator's features judge a VAE's reconstruction; "" for pixels.
        labels: of each class that a semi-supervised GAN may see; 0 for none.

    Raises:
        ValueError: if a number is out of range.
    """

    latent: int = 16
    epochs: int | None = None
    batch: int = 128
    seed: int = 0
    kl: float = 1.0
    features_of: str = ""
    labels: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.latent <= LARGEST_LATENT:
            raise ValueError(f"latent is {self.latent}, expected 1 to {LARGEST_LATENT}")
        if (self.epochs is not None and self.epochs < 1) or self.batch < 2:
            raise ValueError(f"epochs is {self.epochs} and batch {self.batch}, expected at least 1 and 2")
        check_seed(self.seed)
        if not 0 <= self.kl < math.inf or self.labels < 0:
            raise ValueError(f"kl is {self.kl} and labels {self.labels}, expected 0 or more")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One of the five problems of a GAN, as it was seen.

    Attributes:
        name: "non-convergence", "mode collapse", "vanishing generator gradient", "imbalance" or "sensitivity".
        epoch: in which it was seen first.
        evidence: the numbers, in words.
        remedy: what to try.
    """

    name: str
    epoch: int
    evidence: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Generated:
    """One run of a network that generates.

    Attributes:
        spec: its `classes` are the data's, at least 2.
        classes: of the data; (): the photos had none.
        data: the path (or "digits") it learned from.
        results: what was measured on the test pictures; empty until learning is finished.
        problems: of a GAN, in the order in which they were seen.
        seconds: what learning took, since the last resume.
    """

    spec: ModelSpec
    classes: tuple[str, ...]
    input: ImageInput
    source: Source
    generation: Generation
    data: str
    results: dict[str, float]
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether the models are there."""
        return bool(self.results)

    @property
    def has_encoder(self) -> bool:
        """Whether pictures have codes; a GAN only makes pictures of codes."""
        return self.spec.arch in AUTOENCODERS


@dataclass(frozen=True, kw_only=True)
class Augmented:
    """A classifier that learned a few labelled pictures, without and with generated ones beside them.

    Attributes:
        path: the folder with both runs and the generated pictures.
        labels, count: labelled and generated pictures of each class.
        n: test pictures, all real.
        ci95_without, ci95_with: Wilson intervals of the top-1.
    """

    path: str
    arch: str
    labels: int
    count: int
    n: int
    top1_without: float
    top1_with: float
    ci95_without: tuple[float, float]
    ci95_with: tuple[float, float]

    @property
    def verdict(self) -> str:
        """That they helped or harmed, or neither, where the intervals overlap."""
        if self.ci95_with[0] > self.ci95_without[1]:
            return "helped"
        return "harmed" if self.ci95_with[1] < self.ci95_without[0] else "made no difference that is sure"


def code_input(latent: int) -> ImageInput:
    """The input of a decoder or generator: [1, 1, latent] bytes, each (byte - 128) / 32."""
    return ImageInput(height=1, width=1, channels=latent, color="latent", resize="squash", mean=CODE_MEAN, std=CODE_STD)


def is_generated(folder: Path | str | None) -> bool:
    """Whether this is the run folder of a network that generates."""
    return folder is not None and (Path(folder) / GENERATIVE_FILE).is_file()


def name_classifier_folder(spec: ModelSpec, dataset: str) -> Path:
    """As `name_run_folder`, of a classifier: another than that of the generating network which it may be made from."""
    folder = name_run_folder(spec, dataset)
    return folder.with_stem(f"{folder.stem}_classifier") if spec.arch in GENERATIVE else folder


def read_generated(folder: Path | str) -> Generated:
    """Read `generative.json`.

    Raises:
        RunError: if the folder is missing or holds no valid run.
    """
    missing = (
        f"no run of {', '.join(GENERATIVE)}: it has no {GENERATIVE_FILE}; make one with `edgesdk train DATA --arch vae`"
    )
    return read_record(folder, GENERATIVE_FILE, Generated, missing)


def require_finished(folder: Path | str) -> Generated:
    """The run in the folder.

    Raises:
        RunError: if it is missing, damaged or unfinished.
    """
    run = read_generated(folder)
    if not run.finished:
        refuse_unfinished(folder)
    return run


def write_generated(folder: Path, run: Generated) -> None:
    """Write `generative.json` in one step."""
    write_text(folder / GENERATIVE_FILE, json.dumps(asdict(run), indent=1, ensure_ascii=False))
