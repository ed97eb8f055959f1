"""`edgesdk generate`, `edgesdk augment`, and what `train` and `convert` say of networks that generate."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edgesdk.commands.options import Add, refuse
from edgesdk.commands.printing import print_json
from edgesdk.generation import GENERATIVE, Generation
from edgesdk.runfolder import name_run_folder

#: What `convert` may be told of a run that generates.
CONVERTING = ("--quantize", "--io", "--min-snr", "--out")
#: What `train` may be told of a network that generates.
TRAINING = ("--arch", "--width", "--res", "--resize", "--epochs", "--batch", "--seed", "--resume", "--out")
GENERATING = ("--latent", "--kl", "--features-of", "--labels")


def add_commands(add: Add) -> None:
    """The two commands' options."""
    command = add(generate, "make pictures of random codes", "edgesdk generate vae_1_28_digits.run -n 64 -o made/")
    command.add_argument("model", metavar="MODEL", type=Path, help="run folder, or decoder or generator .tflite")
    command.add_argument("-n", "--count", type=int, default=64, metavar="N", help="pictures (default 64)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the codes (default 0)")
    command.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="default: named by the model")

    command = add(
        augment,
        "measure whether generated pictures help a small labelled set",
        "edgesdk augment vae_1_28_digits.run digits --labels 10 -n 100",
    )
    command.add_argument("run", metavar="RUN", type=Path, help="run folder of a vae or an autoencoder")
    command.add_argument("data", metavar="DATA", help="labelled photos, as for train")
    command.add_argument("--arch", default="lenet", metavar="A", help="the classifier (default lenet)")
    command.add_argument("--labels", type=int, default=20, metavar="N", help="pictures of each class (default 20)")
    command.add_argument(
        "-n", "--count", type=int, default=100, metavar="N", help="generated pictures of each class (default 100)"
    )
    command.add_argument("--epochs", type=int, metavar="N", help="of the classifier (default: by the amount of data)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    command.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="default: named by the data")


def add_training(command: argparse.ArgumentParser) -> None:
    """What `edgesdk train` takes for a network that generates, and for a classifier that begins with one."""
    group = command.add_argument_group("networks that generate", f"--arch {', '.join(GENERATIVE)}")
    latent = Generation.latent
    group.add_argument("--latent", type=int, default=latent, metavar="N", help=f"entries a code (default {latent})")
    group.add_argument("--kl", type=float, default=1.0, metavar="B", help="weight of a VAE's divergence (default 1)")
    group.add_argument(
        "--features-of", metavar="RUN", help="a VAE compares pictures by the features of this GAN's discriminator"
    )
    group.add_argument(
        "--labels", type=int, default=0, metavar="N", help="of each class that a GAN's discriminator may see, too"
    )


def generates(options: argparse.Namespace) -> bool:
    """Whether `edgesdk train` was asked for a network that generates."""
    return options.arch in GENERATIVE and options.init_from is None


def train(options: argparse.Namespace) -> int:
    """`edgesdk train --arch vae` and the like."""
    from edgesdk.verbs import generative as generativeverbs

    if options.data is None:
        raise ValueError(f"no DATA for {options.arch} to learn from: name photos, or the word digits")
    refuse(options, lambda word: word not in TRAINING + GENERATING, f"{options.arch}, which generates")
    done = generativeverbs.train_generative(
        options.data,
        arch=options.arch,
        width=options.width,
        res=options.res,
        latent=options.latent,
        epochs=options.epochs,
        batch=Generation.batch if options.batch is None else options.batch,
        seed=options.seed,
        kl=options.kl,
        features_of=options.features_of,
        labels=options.labels,
        resize=options.resize,
        resume=options.resume,
        out=options.out,
        quiet=options.quiet,
    )
    folder = options.out or name_run_folder(done.spec, done.source.dataset)
    if options.json:
        return print_json({"path": str(folder), **asdict(done)})
    print(f"{folder}: {', '.join(f'{name} {value:.4g}' for name, value in done.results.items())}")
    for problem in done.problems:
        print(f"  {problem.name}, since epoch {problem.epoch}: {problem.evidence}; {problem.remedy}")
    print(f"  pictures: {folder / 'report.html'}")
    print(f"next: edgesdk convert {folder}; edgesdk generate {folder}; edgesdk train DATA --init-from {folder}")
    return 0


def convert(options: argparse.Namespace) -> int:
    """`edgesdk convert RUN` of a run that generates."""
    from edgesdk.verbs import generative as generativeverbs

    refuse(options, lambda word: word not in CONVERTING, "a run that generates pictures")
    made = generativeverbs.convert_generative(
        options.model,
        quantize=options.quantize or "int8",
        io=options.io,
        min_snr=options.min_snr,
        out=options.out,
        quiet=options.quiet,
    )
    if options.json:
        return print_json([one.to_json() for one in made])
    for one in made:
        measured = one.contract.measured
        print(f"{one.path}  ({one.path.stat().st_size / 1000:.0f} kB): {one.contract.output.kind}")
        ran = ", ".join(f"{row.runtime} {row.version}" for row in one.contract.ran if row.ok)
        print(
            f"  {measured.macs / 1e6:.2f} M multiply-adds, {measured.signal_to_noise_db:.1f} dB of signal to noise, "
            f"gave its golden outputs in {ran}"
        )
    print(f"next: edgesdk verify {made[-1].path}; edgesdk generate {made[-1].path}")
    return 0


def generate(options: argparse.Namespace) -> int:
    """`edgesdk generate`."""
    from edgesdk.verbs import generative as generativeverbs

    folder = generativeverbs.generate(options.model, count=options.count, seed=options.seed, out=options.out)
    if options.json:
        print(json.dumps({"path": str(folder), "count": options.count}))
    else:
        print(f"{folder}: {options.count} pictures")
    return 0


def augment(options: argparse.Namespace) -> int:
    """`edgesdk augment`."""
    from edgesdk.verbs import generative as generativeverbs

    done = generativeverbs.augment(
        options.run,
        options.data,
        arch=options.arch,
        labels=options.labels,
        count=options.count,
        epochs=options.epochs,
        seed=options.seed,
        out=options.out,
        quiet=options.quiet,
    )
    if options.json:
        return print_json(asdict(done) | {"verdict": done.verdict})
    for name, top1, (low, high) in (
        ("without", done.top1_without, done.ci95_without),
        ("with", done.top1_with, done.ci95_with),
    ):
        print(
            f"{name} generated pictures: {100 * top1:.1f} % of {done.n} test images right "
            f"(95 %: {100 * low:.1f} to {100 * high:.1f})"
        )
    print(f"{done.count} generated beside {done.labels} labelled pictures of each class {done.verdict}: {done.path}")
    return 0
