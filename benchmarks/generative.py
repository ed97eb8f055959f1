"""Networks that generate, on Fashion-MNIST: their pictures, their files, and what they are good for.

python benchmarks/generative.py [--shared DIR] [--work DIR] [--only PART] [--pictures DIR]

`networks`: each learns 60,000 pictures without labels, its parts become int8 files, its pictures go to `--pictures`
(docs/networks is where the docs show them). `uses`: classifiers that see a few labels of each class, judged on 10,000
test pictures: from random weights, beginning with a VAE's encoder or a GAN's discriminator, with generated pictures
beside the labelled ones, and semi-supervised. Each part goes on from what lies in `--work`; `--arch` makes some rows of
the networks' table again and keeps the others.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from results import earlier_facts, save_table

from edgesdk import verbs
from edgesdk.atomic import make_folder, write_text
from edgesdk.generation import Generated, is_generated
from edgesdk.reports import report
from edgesdk.stats import wilson_interval
from edgesdk.verbs import generative as generativeverbs

SHARED = Path(__file__).parents[2] / "shared" / "data"
DATA = "datasets/fashion_mnist/fashion_mnist.npz"
LABELS = 20  # of each class
GENERATED = 20  # pictures of each class, beside the labelled ones
SEEN = 60_000  # pictures that a classifier sees in all


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a network learns here, and which of its pictures the docs show."""

    arch: str
    epochs: int
    settings: dict[str, Any] = field(default_factory=dict)
    pictures: tuple[str, ...] = ("samples",)


CASES = {
    "autoencoder_dense": Case(arch="autoencoder_dense", epochs=3, pictures=("reconstructions",)),
    "autoencoder": Case(arch="autoencoder", epochs=3, pictures=("reconstructions", "latent_map")),
    "vae": Case(arch="vae", epochs=8, pictures=("samples", "reconstructions")),
    "vae_2d": Case(arch="vae", epochs=4, settings={"latent": 2}, pictures=("samples", "latent_map")),
    "vae_features": Case(arch="vae", epochs=3, settings={"features_of": "dcgan.run"}),
    "gan": Case(arch="gan", epochs=12),
    "dcgan": Case(arch="dcgan", epochs=6),
}
HEAD = ("network", "test dB", "diversity", "file", "M multiply-adds", "kB", "SNR, dB", "ms LiteRT")


def networks(shared: Path, work: Path, pictures: Path, chosen: Sequence[str] = tuple(CASES)) -> None:
    """Learn each that is chosen, convert it, and show what it makes; rows that are not chosen stay as they were."""
    facts = earlier_facts("generative_networks")
    for name in chosen:
        run = learn(shared, work, name)
        for picture in CASES[name].pictures:
            shutil.copyfile(work / f"{name}.run" / f"{picture}.png", make_folder(pictures) / f"{name}_{picture}.png")
        for made in generativeverbs.convert_generative(work / f"{name}.run", out=make_folder(work / "files")):
            (timed,), _ = report.split_rows(verbs.bench([made.path], backends=["litert"], threads=[1], quick=True))
            facts[f"{name} {made.contract.name.split()[-1]}"] = made.to_json() | {
                "results": run.results,
                "problems": [problem.name for problem in run.problems],
                "dB": made.contract.measured.signal_to_noise_db,
                "ms": timed.invoke_ms.p50,
            }
    ordered = {key: facts[key] for name in CASES for key in facts if key.split()[0] == name}
    rows = [_row(key, found, first=key.split()[1] in ("encoder", "generator")) for key, found in ordered.items()]
    learned = dict.fromkeys(key.split()[0] for key in ordered)
    save_table(
        "generative_networks",
        HEAD,
        rows,
        f"60,000 pictures of Fashion-MNIST; epochs: {', '.join(f'{name} {CASES[name].epochs}' for name in learned)}; "
        "int8 files, quick medians on 1 thread",
        ordered,
    )


def _row(key: str, facts: dict[str, Any], *, first: bool) -> tuple[str, ...]:
    """The file `key`, "NETWORK PART"; what holds for the network stands in the row of its first file."""
    name, part = key.split()
    results = facts["results"]
    return (
        name if first else "",
        f"{results['test_psnr_db']:.1f}" if first and "test_psnr_db" in results else "",
        f"{results['diversity']:.2f}" if first and "diversity" in results else "",
        part,
        f"{facts['macs'] / 1e6:.2f}",
        f"{facts['size_bytes'] / 1000:.0f}",
        f"{facts['dB']:.1f}",
        f"{facts['ms']:.3f}",
    )


def learn(shared: Path, work: Path, name: str) -> Generated:
    """The finished run of a case in the work folder."""
    case = CASES[name]
    settings = {key: str(work / value) if key == "features_of" else value for key, value in case.settings.items()}
    if "features_of" in settings:
        learn(shared, work, "dcgan")
    folder = work / f"{name}.run"
    return generativeverbs.train_generative(
        shared / DATA,
        arch=case.arch,
        epochs=case.epochs,
        out=folder,
        resume=is_generated(folder),
        quiet=False,
        **settings,
    )


def uses(shared: Path, work: Path) -> None:
    """Classifiers of a few labels, each beside the same one that learned from these labels alone."""
    few = few_labels(shared, work)
    vae, dcgan = (work / f"{name}.run" for name in ("vae", "dcgan"))
    for name in ("vae", "dcgan"):
        learn(shared, work, name)
    epochs = SEEN // (LABELS * 10)
    facts: dict[str, dict[str, Any]] = {}

    def once(name: str, make: Callable[[], float]) -> float:
        path = work / f"use_{name}.json"
        if not path.is_file():
            write_text(path, json.dumps(make()))
        facts[name] = {"top1": json.loads(path.read_text())}
        print(name, facts[name], flush=True)
        return float(facts[name]["top1"])

    def classifier(name: str, **settings: Any) -> float:
        shutil.rmtree(work / f"{name}.classifier", ignore_errors=True)
        top1 = verbs.train(few, flip=False, seed=0, out=work / f"{name}.classifier", **settings).top1
        assert top1 is not None
        return top1

    def semi_supervised() -> float:
        folder = work / "semi.run"
        done = generativeverbs.train_generative(
            shared / DATA,
            arch="dcgan",
            labels=LABELS,
            epochs=2,
            out=folder,
            resume=is_generated(folder),
            quiet=False,
        )
        return done.results["test_top1"]

    pairs = []
    for arch, run in (("vae", vae), ("dcgan", dcgan)):
        without = once(f"{arch}_random", lambda arch=arch: classifier(f"{arch}_random", arch=arch, epochs=epochs))  # type: ignore[misc]
        begun = once(f"{arch}_begun", lambda arch=arch, run=run: classifier(f"{arch}_begun", init_from=run))  # type: ignore[misc]
        part = "encoder" if arch == "vae" else "discriminator"
        pairs.append((f"begins with the {arch}'s {part} (`--init-from`)", without, begun))
    path = work / f"use_augmented_{GENERATED}.json"
    if not path.is_file():
        folder = work / f"augmented_{GENERATED}"
        shutil.rmtree(folder, ignore_errors=True)
        epochs = SEEN // (10 * (LABELS + GENERATED))
        done = generativeverbs.augment(vae, shared / DATA, labels=LABELS, count=GENERATED, epochs=epochs, out=folder)
        write_text(path, json.dumps([done.top1_without, done.top1_with]))
    without, with_ = json.loads(path.read_text())
    facts[f"augmented_{GENERATED}"] = {"without": without, "with": with_}
    pairs.append((f"LeNet, {GENERATED} pictures of each class generated by the vae (`augment`)", without, with_))
    pairs.append(
        ("the dcgan's discriminator learns labels beside (`--labels`)", pairs[1][1], once("semi", semi_supervised))
    )
    rows = [(what, told(without), told(with_)) for what, without, with_ in pairs]
    save_table(
        "generative_uses",
        ("what is done", "from the labels alone", "with it"),
        rows,
        f"Fashion-MNIST, {LABELS} labels of each of 10 classes, top-1 of 10,000 test pictures, 95 % interval, one seed",
        facts,
    )


def told(top1: float) -> str:
    """Top-1 and its interval in percent."""
    low, high = wilson_interval(round(top1 * 10_000), 10_000)
    return f"{100 * top1:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def few_labels(shared: Path, work: Path) -> Path:
    """An .npz of the first so many training pictures of each class and all test pictures."""
    path = work / f"fashion_{LABELS}.npz"
    with np.load(shared / DATA) as whole:
        labels = whole["y_train"]
        chosen = np.concatenate([np.flatnonzero(labels == label)[:LABELS] for label in range(10)])
        parts = {"x_train": whole["x_train"][chosen], "y_train": labels[chosen]}
        np.savez(path, **parts, x_test=whole["x_test"], y_test=whole["y_test"])
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--work", type=Path, default=None, help="keep what is learned here, and go on from it")
    parser.add_argument(
        "--only", choices=("networks", "uses", *CASES), help="one part, or one network, which only learns"
    )
    parser.add_argument("--arch", default=",".join(CASES), help="the rows to make again; the others stay")
    parser.add_argument("--pictures", type=Path, default=Path(__file__).parents[1] / "docs" / "networks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        work = make_folder(options.work or Path(aside))
        if options.only in CASES:
            learn(options.shared, work, options.only)
            return
        if options.only in (None, "networks"):
            networks(options.shared, work, options.pictures, options.arch.split(","))
        if options.only in (None, "uses"):
            uses(options.shared, work)


if __name__ == "__main__":
    main()
