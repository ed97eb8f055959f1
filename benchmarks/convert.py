"""Every precision and what is learned on the way, on two networks and both runtimes; the repairs on and off.

    python benchmarks/convert.py [--shared DIR] [--work DIR] [--only TABLE]    about an hour on 2 cores

Writes benchmarks/results/<board>/convert_<name>.md and .json, one pair a table. With --work what was learned stays
there, and a second call goes on from it.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results import save_table

from edgesdk import verbs
from edgesdk.contract import Contract

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
HEAD = ("recipe", "top-1", "agreement", "dB", "kB", "kB gzipped", "zeros", "ms LiteRT", "ms tflite-runtime")


def precisions(work: Path, shared: Path, network: Network, recipes: dict[str, dict[str, Any]]) -> None:
    """One network by every recipe, proved in both runtimes and measured in one run."""
    slug = f"{network.arch}_{network.width:g}_{network.res}_{Path(network.data).name}"
    source: dict[str, Any] = {"data": shared / network.data, **network.options(shared)}
    if network.data != IMAGENET:
        folder = work / f"{slug}.run"
        verbs.train(source.pop("data"), **network.options(shared), out=folder, resume=True, quiet=False)
        source = {"model": folder}
    made = {
        name: verbs.convert(**source, **recipe, out=work / f"{slug}_{index}.tflite", quiet=False)
        for index, (name, recipe) in enumerate(recipes.items())
    }
    paths = [file.path for file in made.values()]
    measured = verbs.bench(paths, backends=("litert", "tflite-runtime"), quick=True, quiet=False)
    ms = {(Path(row.path).name, row.backend): row.invoke_ms.p50 for row in measured}
    rows = []
    for name, file in made.items():
        times = [ms.get((file.path.name, backend)) for backend in ("litert", "tflite-runtime")]
        rows.append((name, *_facts(file.contract), *("refused" if time is None else f"{time:.2f}" for time in times)))
    proved = next(iter(made.values())).contract.measured.accuracy
    assert proved is not None
    note = (
        f"{network.title}: the float network has {100 * proved.float:.2f} % of {proved.n} test images; int8 files take "
        f"and give uint8; 1 thread, quick medians, {measured[0].board}"
    )
    save_table(f"convert_{slug}", HEAD, rows, note, {name: file.to_json() for name, file in made.items()})


def repairs(work: Path, shared: Path) -> None:
    """Equalization and bias correction, each on and off, on ImageNet weights whose plain int8 loses most."""
    head = ("network", "repairs", "top-1 network", "top-1 int8", "kept", "agreement", "dB")
    rows, facts = [], {}
    for width, res, weights in ((0.75, 224, "0.75_224"), (0.25, 128, "0.25_128_dequant")):
        network = Network(
            arch="mobilenet_v1", width=width, res=res, weights=f"models/keras/mobilenet_v1_{weights}.h5", data=IMAGENET
        )
        for names in ((), ("equalize",), ("correct_biases",), ("equalize", "correct_biases")):
            out = work / "repaired.tflite"
            made = verbs.convert(
                data=shared / network.data, **network.options(shared), repairs=names, out=out, quiet=False
            )
            measured = made.contract.measured.accuracy
            assert measured is not None
            kept = f"{100 * measured.final / measured.float:.1f} %"
            rows.append(
                (
                    f"{width:g}-{res}",
                    " + ".join(names) or "none",
                    f"{100 * measured.float:.2f} %",
                    f"{100 * measured.final:.2f} %",
                    kept,
                    f"{100 * measured.agreement:.1f} %",
                    f"{made.contract.measured.signal_to_noise_db:.1f}",
                )
            )
            facts[f"{width:g}-{res} {'+'.join(names) or 'none'}"] = made.to_json()
    save_table("convert_repairs", head, rows, "MobileNet V1, int8, 700 ImageNet photos, one a class", facts)


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


def main() -> None:
    tables = {
        "flowers5, V1": lambda work, shared: precisions(work, shared, FLOWERS_V1, PRECISIONS | LEARNED),
        "flowers5, V2": lambda work, shared: precisions(work, shared, FLOWERS_V2, PRECISIONS | LEARNED),
        "ImageNet": lambda work, shared: precisions(work, shared, IMAGENET_V1, PRECISIONS),
        "repairs": repairs,
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
