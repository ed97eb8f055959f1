"""Every precision and what is learned on the way, on two networks and both runtimes; the repairs on and off; the gate.

    python benchmarks/convert.py [--shared DIR] [--work DIR] [--only TABLE]    about an hour on 2 cores

Writes benchmarks/results/<board>/convert_<name>.md and .json, one pair a table. With --work what was learned and the
files stay there: a second call makes only what is missing, and measures the milliseconds anew.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from results import save

from edgesdk import modelfile, verbs
from edgesdk.contract import Contract
from edgesdk.errors import EdgeSDKError
from edgesdk.progress import remark
from edgesdk.reports.report import split_rows
from edgesdk.runfolder import MODEL_FILE

SHARED = Path(__file__).parents[2] / "shared" / "data"
IMAGENET = "datasets/imagenet_sample"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network to convert; `weights` and `data` are paths under the shared folder."""

    arch: str
    width: float
    res: int
    weights: str
    data: str

    @property
    def title(self) -> str:
        """Such as "mobilenet_v1 0.75-160, flowers5"."""
        return f"{self.arch} {self.width:g}-{self.res}, {Path(self.data).name}"

    @property
    def slug(self) -> str:
        """The same in a file's name."""
        return f"{self.arch}_{self.width:g}_{self.res}_{Path(self.data).name}"

    def options(self, shared: Path) -> dict[str, Any]:
        """For `verbs.convert` and `verbs.train`."""
        weights = str(shared / self.weights)
        return {"arch": self.arch, "width": self.width, "res": self.res, "weights": weights}


FLOWERS_V1 = Network(
    arch="mobilenet_v1",
    width=0.75,
    res=160,
    weights="models/keras/mobilenet_v1_0.75_224.h5",
    data="datasets/flowers5",
)
FLOWERS_V2 = Network(
    arch="mobilenet_v2",
    width=0.35,
    res=160,
    weights="models/keras/mobilenet_v2_0.35_224_no_top.h5",
    data="datasets/flowers5",
)
IMAGENET_V1 = Network(
    arch="mobilenet_v1", width=1.0, res=224, weights="models/keras/mobilenet_v1_1.0_224_dequant.h5", data=IMAGENET
)
PRECISIONS: dict[str, dict[str, Any]] = {
    "float32": {"quantize": "float32"},
    "float16": {"quantize": "float16"},
    "dynamic": {"quantize": "dynamic"},
    "int8, plain": {"repairs": ()},
    "int8": {},
    "int16x8": {"quantize": "int16x8"},
}
LEARNED: dict[str, dict[str, Any]] = {
    "prune 0.8": {"prune": 0.8},
    "cluster 16": {"cluster": 16},
    "qat": {"qat": True},
    "prune 0.8, qat": {"prune": 0.8, "qat": True},
    "cluster 16, qat": {"cluster": 16, "qat": True},
    "prune 0.8, cluster 16": {"prune": 0.8, "cluster": 16},
    "prune 0.8, cluster 16, qat": {"prune": 0.8, "cluster": 16, "qat": True},
}
RUNTIMES = ("litert", "tflite-runtime")
HEAD = ("recipe", "top-1", "agreement", "dB", "kB", "kB gzipped", "zeros", "ms LiteRT", "ms tflite-runtime")


def precisions(work: Path, shared: Path, network: Network, recipes: dict[str, dict[str, Any]]) -> None:
    """One network by every recipe, proved in both runtimes and measured in one run."""
    slug = network.slug
    source: dict[str, Any] = {"data": shared / network.data, **network.options(shared)}
    if network.data != IMAGENET:
        source = {"model": _learned(work, shared, network)}
    made: dict[str, Contract] = {}
    refused: dict[str, str] = {}
    files = {name: work / f"{slug}_{name.replace(', ', '_').replace(' ', '')}.tflite" for name in recipes}
    for name, recipe in recipes.items():
        try:
            made[name] = convert(source, recipe, files[name])
        except EdgeSDKError as error:
            refused[name] = str(error)
    paths = [files[name] for name in made]
    measured, disagreeing = split_rows(verbs.bench(paths, backends=RUNTIMES, threads=[1], quick=True, quiet=False))
    ms = {(Path(row.path).name, row.backend): row.invoke_ms.p50 for row in measured}
    rows = []
    for name, contract in made.items():
        times = [ms.get((files[name].name, backend)) for backend in RUNTIMES]
        rows.append((name, *_facts(contract), *("refused" if time is None else f"{time:.2f}" for time in times)))
    proved = next(iter(made.values())).measured.accuracy
    assert proved is not None
    note = (
        f"{network.title}: the float network has {100 * proved.float:.2f} % of {proved.n} test images; int8 files take "
        f"and give uint8; 1 thread, quick medians, {measured[0].board}"
    )
    named = {files[name].name: name for name in made}
    refused |= {f"{named[Path(row.path).name]} on {row.backend}": row.reason for row in disagreeing}
    note += "".join(f"\n\n{name} was refused: {reason}" for name, reason in refused.items())
    _write(f"convert_{slug}", HEAD, rows, note, made)


def repairs(work: Path, shared: Path) -> None:
    """Equalization and bias correction, each on and off, on ImageNet weights whose plain int8 loses most."""
    head = ("network", "repairs", "top-1 network", "top-1 int8", "kept", "agreement", "dB")
    rows, facts = [], {}
    for width, res, weights in ((0.75, 224, "0.75_224"), (0.25, 128, "0.25_128_dequant")):
        network = Network(
            arch="mobilenet_v1", width=width, res=res, weights=f"models/keras/mobilenet_v1_{weights}.h5", data=IMAGENET
        )
        source = {"data": shared / network.data, **network.options(shared)}
        for names in ((), ("equalize",), ("correct_biases",), ("equalize", "correct_biases")):
            title = " + ".join(names) or "none"
            out = work / f"repaired_{width:g}_{res}_{'_'.join(names) or 'none'}.tflite"
            contract = convert(source, {"repairs": names}, out)
            measured = contract.measured.accuracy
            assert measured is not None
            rows.append(
                (
                    f"{width:g}-{res}",
                    title,
                    f"{100 * measured.float:.2f} %",
                    f"{100 * measured.final:.2f} %",
                    f"{100 * measured.final / measured.float:.1f} %",
                    f"{100 * measured.agreement:.1f} %",
                    f"{contract.measured.signal_to_noise_db:.1f}",
                )
            )
            facts[f"{width:g}-{res} {title}"] = contract
    note = "MobileNet V1, int8, 700 ImageNet photos; repairs are kept where they lessen the noise on 100 others"
    _write("convert_repairs", head, rows, note, facts)


def fragile(work: Path, shared: Path) -> None:
    """What `--max-drop 1` does to a network that plain int8 ruins: the flowers' with one layer's channels far apart."""
    learned, folder = _learned(work, shared, FLOWERS_V1), work / "fragile.run"
    if not folder.exists():
        shutil.copytree(learned, folder)
        _spread_channels(folder / MODEL_FILE)
    contract = convert({"model": folder}, {"max_drop": 1.0}, work / "fragile.tflite")
    rows = []
    for attempt in contract.attempts:
        assert attempt.top1 is not None
        assert attempt.agreement is not None
        verdict = "passes" if attempt.passed else "fails"
        numbers = (100 * attempt.top1, 100 * attempt.agreement, attempt.signal_to_noise_db)
        rows.append((attempt.step, *(f"{number:.1f}" for number in numbers), verdict))
    proved = contract.measured.accuracy
    assert proved is not None
    note = (
        f"{FLOWERS_V1.title}, every other channel behind conv_pw_3 that 6 does not clip ten thousand times smaller and "
        f"its reader's weights as much larger: the float network has {100 * proved.float:.2f} % of {proved.n} test "
        "images as before"
    )
    _write("convert_fragile", ("tried", "top-1, %", "agreement, %", "dB", "--max-drop 1"), rows, note, {"": contract})


def _spread_channels(path: Path) -> None:
    """Make half of one layer's channels small in a Keras file, and what reads them large: it answers as before."""
    import numpy as np

    from edgesdk_convert.load import load_network

    network = load_network(path)
    before, after = network.get_layer("conv_pw_3_bn"), network.get_layer("conv_dw_4")
    gamma, beta, mean, variance = before.get_weights()
    # Clipping at 6 would not scale: a channel that reaches it stays whole.
    small = (np.arange(len(gamma)) % 2 == 1) & (beta + 4 * np.abs(gamma) < 6)
    factor = np.where(small, 1e-4, 1.0)
    before.set_weights([gamma * factor, beta * factor, mean, variance])
    after.set_weights([after.get_weights()[0] / factor[:, None]])
    network.save(path)


def _learned(work: Path, shared: Path, network: Network) -> Path:
    """The run folder of a network, learned unless it is there."""
    folder = work / f"{network.slug}.run"
    verbs.train(shared / network.data, **network.options(shared), out=folder, resume=True, quiet=False)
    return folder


def convert(source: dict[str, Any], recipe: dict[str, Any], out: Path) -> Contract:
    """What a file says of itself; it is made unless it is there."""
    if not out.exists():
        remark(f"making {out.name}", quiet=False)
        verbs.convert(**source, **recipe, out=out, quiet=False)
    return modelfile.read(out).required_contract()


def _facts(contract: Contract) -> tuple[str, ...]:
    measured = contract.measured
    assert measured.accuracy is not None
    return (
        f"{100 * measured.accuracy.final:.2f} %",
        f"{100 * measured.accuracy.agreement:.1f} %",
        f"{measured.signal_to_noise_db:.1f}",
        f"{measured.size_bytes / 1000:.0f}",
        f"{measured.gzip_bytes / 1000:.0f}",
        f"{100 * measured.sparsity:.0f} %",
    )


def _write(name: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str, made: dict[str, Contract]) -> None:
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(f"{table}\n\n{note}")
    save(f"{name}.md", f"{table}\n\n{note}")
    facts = {
        key: {
            "recipe": asdict(contract.recipe),
            "measured": asdict(contract.measured),
            "attempts": [asdict(attempt) for attempt in contract.attempts],
            "ran": [asdict(ran) for ran in contract.ran],
        }
        for key, contract in made.items()
    }
    save(f"{name}.json", json.dumps(facts, indent=1))


def main() -> None:
    tables = {
        "flowers5, V1": lambda work, shared: precisions(work, shared, FLOWERS_V1, PRECISIONS | LEARNED),
        "flowers5, V2": lambda work, shared: precisions(work, shared, FLOWERS_V2, PRECISIONS | LEARNED),
        "ImageNet": lambda work, shared: precisions(work, shared, IMAGENET_V1, PRECISIONS),
        "repairs": repairs,
        "fragile": fragile,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--work", type=Path, default=None, help="keep what is learned here, and go on from it")
    parser.add_argument("--only", choices=tuple(tables), help="one table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for table, make in tables.items():
            if options.only in (None, table):
                make(options.work or Path(name), options.shared)


if __name__ == "__main__":
    main()
