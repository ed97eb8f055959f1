"""Every network of the course: its size against its paper's, and small, from learning to int8 in both runtimes.

python benchmarks/networks.py [--shared DIR] [--work DIR] [--only PART] [--arch A,..]

`table`: parameters and multiply-adds at full size beside what the papers say, and each network at a small width and
resolution: learned on the embedded digits, converted to int8, its answers against the float network's, bytes and
milliseconds; `--arch` measures some of its rows again and keeps the others. `lenet`: LeNet-5 on all of Fashion-MNIST
and on 9,000 of MNIST's 10,000 test digits, judged on the rest. `cifar10`: MobileNet V2 on a part of CIFAR-10, from
published weights, in twenty-five minutes.
"""

import argparse
import gzip
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from results import earlier_facts, save_table

from edgesdk import verbs
from edgesdk.atomic import make_folder
from edgesdk.converted import Converted
from edgesdk.reports.report import split_rows
from edgesdk.runfolder import Methods
from edgesdk.spec import make_spec
from edgesdk_device.board import board_name

SHARED = Path(__file__).parents[2] / "shared" / "data"
EPOCHS = 12


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network; `paper` is what its paper (or, in brackets, another) says of its size, the rest how it learns."""

    paper: str
    width: float
    res: int
    epochs: int = EPOCHS
    batch: int = 32


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """How LeNet learns one set, and what it is to reach."""

    wanted: float
    epochs: int
    flip: bool
    methods: Methods


CASES = {
    "convnet": Case(paper="none", width=0.5, res=32),
    "lenet": Case(paper="60,000 (partial C3, no learned output)", width=1.0, res=32),
    "alexnet": Case(paper="60 M (MobileNet: 720 M)", width=0.25, res=67, epochs=20),
    "alexnet_lrn": Case(paper="60 M (MobileNet: 720 M)", width=0.25, res=67, epochs=20),
    "alexnet_one_tower": Case(paper="none", width=0.25, res=67, epochs=20),
    "vgg11": Case(paper="133 M", width=0.125, res=32),
    "vgg11_lrn": Case(paper="133 M", width=0.125, res=32),
    "vgg13": Case(paper="133 M", width=0.125, res=32),
    "vgg16_c": Case(paper="134 M", width=0.125, res=32),
    "vgg16": Case(paper="138 M (MobileNet: 15,300 M)", width=0.125, res=32),
    "vgg19": Case(paper="144 M", width=0.125, res=32),
    "googlenet": Case(paper="6.8 M, 1,502 M by Table 1 (MobileNet: 6.8 M, 1,550 M)", width=0.25, res=64),
    "googlenet_a": Case(paper="none", width=0.25, res=64),
    "resnet18": Case(paper="1,800 M", width=0.25, res=32),
    "resnet34": Case(paper="3,600 M", width=0.25, res=32),
    "resnet38": Case(paper="none", width=0.25, res=32),
    "resnet50": Case(paper="3,800 M", width=0.125, res=32),
    "resnet101": Case(paper="7,600 M", width=0.125, res=32),
    "resnet152": Case(paper="11,300 M", width=0.125, res=32),
    "mobilenet_v1": Case(paper="4.2 M, 569 M", width=0.25, res=64, epochs=20),
    "mobilenet_v2": Case(paper="3.4 M, 300 M", width=0.35, res=64, epochs=20),
    "mobilenet_v3_small": Case(paper="2.5 M, 56 M", width=0.5, res=64),
    "mobilenet_v3_large": Case(paper="5.4 M, 219 M", width=0.5, res=64),
    "mobilenet_v3_small_minimalistic": Case(paper="(Keras: 2.0 M)", width=0.5, res=64),
    "mobilenet_v3_large_minimalistic": Case(paper="(Keras: 3.9 M, 209 M)", width=0.5, res=64),
}
HEAD = (
    "network",
    "paper: parameters, multiply-adds",
    "parameters",
    "M multiply-adds",
    "learned at",
    "M multiply-adds there",
    "top-1",
    "top-1 int8",
    "agreement",
    "dB",
    "kB int8",
    "ms float, LiteRT",
    "ms int8, LiteRT",
    "ms int8, tflite-runtime",
)


#: A page of docs/networks -> its rows.
PAGES = {
    "convnet": ("convnet",),
    "lenet": ("lenet",),
    "alexnet": ("alexnet", "alexnet_lrn", "alexnet_one_tower"),
    "vgg": ("vgg11", "vgg11_lrn", "vgg13", "vgg16_c", "vgg16", "vgg19"),
    "googlenet": ("googlenet", "googlenet_a"),
    "resnet": ("resnet18", "resnet34", "resnet38", "resnet50", "resnet101", "resnet152"),
    "mobilenet_v1": ("mobilenet_v1",),
    "mobilenet_v2": ("mobilenet_v2",),
    "mobilenet_v3": tuple(arch for arch in CASES if arch.startswith("mobilenet_v3")),
}


def table(work: Path, shared: Path, chosen: Sequence[str]) -> None:
    """One row a network, all on one page and each on its own; rows that are not chosen stay as they were."""
    files: dict[str, dict[str, Converted]] = {precision: {} for precision in ("int8", "float32")}
    for arch in chosen:
        case = CASES[arch]
        for precision, made in files.items():
            path, folder = work / f"{arch}_{precision}.tflite", work / f"{arch}.run"
            if path.is_file() and (contract := verbs.inspect(path).file.contract) is not None:
                made[arch] = Converted(path=path, contract=contract, seconds=0.0)
                continue
            size: dict[str, Any] = {"arch": arch, "width": case.width, "res": case.res}
            verbs.train("digits", **size, epochs=case.epochs, batch=case.batch, out=folder, resume=True, quiet=False)
            made[arch] = verbs.convert(folder, quantize=precision, out=path, quiet=False)  # type: ignore[arg-type]
    measured, _ = split_rows(
        verbs.bench(
            [file.path for made in files.values() for file in made.values()],
            backends=("litert", "tflite-runtime"),
            threads=(1,),
            quick=True,
            quiet=False,
        )
    )
    ms = {(Path(row.path).stem, row.backend): row.invoke_ms.p50 for row in measured}
    facts = earlier_facts("networks")
    for arch, file in files["int8"].items():
        parameters, macs = _full_size(arch)
        facts[arch] = file.to_json() | {
            "dB": file.contract.measured.signal_to_noise_db,
            "ms": {
                "LiteRT float32": ms.get((f"{arch}_float32", "litert")),
                "LiteRT": ms.get((f"{arch}_int8", "litert")),
                "tflite-runtime": ms.get((f"{arch}_int8", "tflite-runtime")),
            },
            "full_size": {"parameters": parameters, "macs": macs},
        }
    others = ", ".join(
        f"{arch} {case.epochs}" for arch, case in CASES.items() if case.epochs != EPOCHS and not arch.startswith("alex")
    )
    note = (
        "Parameters (without batch-norm's running statistics) and multiply-adds at width 1, the paper's resolution and "
        f"1000 classes (LeNet: 10). Learned on the embedded digits, {EPOCHS} epochs (AlexNets 20, {others}) in batches "
        "of 32, judged on 355 others; int8 files take and give uint8, agreement and dB are theirs against the float "
        f"network; 1 thread, quick medians on a busy machine, {board_name()}."
    )
    for name, archs in [("networks", tuple(CASES)), *((f"network_{page}", archs) for page, archs in PAGES.items())]:
        own = {arch: facts[arch] for arch in archs if arch in facts}
        if own:
            save_table(name, HEAD, [_row(arch, found) for arch, found in own.items()], note, own)


def _row(arch: str, facts: dict[str, Any]) -> tuple[str, ...]:
    case, proved, full = CASES[arch], facts["accuracy"], facts["full_size"]
    return (
        arch,
        case.paper,
        f"{full['parameters']:,}",
        f"{full['macs'] / 1e6:,.1f}",
        f"{case.width:g}-{case.res}",
        f"{facts['macs'] / 1e6:.2f}",
        f"{100 * proved['float']:.1f} %",
        f"{100 * proved['final']:.1f} %",
        f"{100 * facts['agreement']:.1f} %",
        f"{facts['dB']:.1f}",
        f"{facts['size_bytes'] / 1000:.0f}",
        *("refused" if time is None else f"{time:.3f}" for time in facts["ms"].values()),
    )


def lenet(work: Path, shared: Path, chosen: Sequence[str]) -> None:
    """LeNet-5 on the two sets of 28x28 grey pictures."""
    # Its 61,706 weights cannot learn the usual views of all of Fashion-MNIST: 88.7 % in 12 epochs.
    fashion = Lesson(wanted=0.90, epochs=24, flip=True, methods=Methods(augment="none", mix="mixup", ema=0.999))
    mnist = Lesson(wanted=0.985, epochs=40, flip=False, methods=Methods(ema=0.99))
    sets = {
        "fashion_mnist": (shared / "datasets/fashion_mnist/fashion_mnist.npz", fashion),
        "mnist, 9,000 / 1,000": (_mnist(shared, work), mnist),
    }
    rows, facts = [], {}
    for name, (data, lesson) in sets.items():
        folder, wanted = work / f"lenet_{data.stem}.run", lesson.wanted
        run = verbs.train(
            data,
            arch="lenet",
            epochs=lesson.epochs,
            batch=64,
            flip=lesson.flip,
            methods=lesson.methods,
            out=folder,
            resume=True,
            quiet=False,
        )
        file = verbs.convert(folder, out=work / f"lenet_{data.stem}.tflite", quiet=False)
        proved = file.contract.measured.accuracy
        assert proved is not None
        row = (
            name,
            f"{100 * wanted:.1f} %",
            f"{100 * proved.float:.2f} %",
            f"{100 * proved.final:.2f} %",
            f"{proved.n}",
            f"{100 * proved.agreement:.2f} %",
            f"{run.seconds:.0f}",
        )
        rows.append(row)
        facts[name] = file.to_json()
    head = ("data", "wanted", "top-1", "top-1 int8", "test images", "agreement", "s learning")
    note = (
        "LeNet-5, width 1, 32x32 grey, `--batch 64`; Fashion-MNIST `--epochs 24 --augment none --mix mixup "
        "--ema 0.999`, MNIST `--epochs 40 --ema 0.99 --no-flip`"
    )
    save_table("networks_lenet", head, rows, note, facts)


def cifar10(work: Path, shared: Path, chosen: Sequence[str]) -> None:
    """MobileNet V2 on the shared part of CIFAR-10, everything learned from published weights, within 25 minutes."""
    weights = shared / "models/keras/mobilenet_v2_0.35_224_no_top.h5"
    run = verbs.train(
        shared / "datasets/cifar10",
        arch="mobilenet_v2",
        width=0.35,
        res=96,
        weights=str(weights),
        transfer="scratch",
        time_budget=1500,
        out=work / "cifar10.run",
        resume=True,
        quiet=False,
    )
    file = verbs.convert(work / "cifar10.run", out=work / "cifar10.tflite", quiet=False)
    proved = file.contract.measured.accuracy
    assert proved is not None
    row = (
        "80 %",
        f"{100 * proved.float:.2f} %",
        f"{100 * proved.final:.2f} %",
        f"{proved.n}",
        f"{100 * proved.agreement:.2f} %",
        f"{run.seconds / 60:.0f}",
    )
    head = ("wanted", "top-1", "top-1 int8", "test images", "agreement", "minutes learning")
    note = "MobileNet V2 0.35-96, `--transfer scratch` from Keras' ImageNet weights, `--time-budget 25m`, two cores"
    save_table("networks_cifar10", head, [row], note, {"cifar10": file.to_json()})


def _mnist(shared: Path, work: Path) -> Path:
    """The 10,000 test digits of MNIST as an .npz, the last 1,000 to judge on."""

    def read(name: str, header: int) -> npt.NDArray[np.uint8]:
        (path,) = (shared / "datasets/mnist_t10k").glob(f"*{name}*")
        return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)

    x, y = read("images", 16).reshape(-1, 28, 28), read("labels", 8)
    path = work / "mnist_t10k.npz"
    np.savez(path, x_train=x[:9000], y_train=y[:9000], x_test=x[9000:], y_test=y[9000:])
    return path


def _full_size(arch: str) -> tuple[int, int]:
    """(trained parameters, multiply-adds) at width 1 and the paper's resolution."""
    from edgesdk_train.cut import multiply_adds
    from edgesdk_train.models import outline_model

    model = outline_model(make_spec(arch, None, None, 10 if arch == "lenet" else 1000))
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights), sum(multiply_adds(model).values())


def main() -> None:
    parts = {"table": table, "lenet": lenet, "cifar10": cifar10}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--work", type=Path, default=None, help="keep what is learned here, and go on from it")
    parser.add_argument("--only", choices=tuple(parts), help="one part")
    parser.add_argument("--arch", default=",".join(CASES), help="the rows of the table to measure; the others stay")
    options = parser.parse_args()
    chosen = options.arch.split(",")
    if unknown := [arch for arch in chosen if arch not in CASES]:
        parser.error(f"{unknown[0]} is no row of the table, expected of {', '.join(CASES)}")
    with tempfile.TemporaryDirectory() as name:
        work = make_folder(options.work or Path(name))
        for part, make in parts.items():
            if options.only in (None, part):
                make(work, options.shared, chosen)


if __name__ == "__main__":
    main()
