"""The table of the README: what a converted file is worth and what it costs, on this machine.

    python benchmarks/readme_table.py [--shared DIR] [--work DIR]      about fifteen minutes on 2 cores

Rows whose photos or weights are not under DIR (see benchmarks/README.md) are left out. Writes
benchmarks/results/<board>/readme_table.md and .json; tests/test_readme.py compares the README with it.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from results import save

from edgesdk import verbs
from edgesdk.converted import Converted
from edgesdk.measurement import Measurement
from edgesdk.progress import remark
from edgesdk.reports.report import split_rows

SHARED = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model to learn and convert; `weights` and `data` are paths under the shared folder, or a name."""

    width: float
    res: int
    data: str
    weights: str | None
    what: str


ROWS = (
    Row(width=0.5, res=160, data="digits", weights=None, what="digits, from nothing"),
    Row(
        width=0.25,
        res=160,
        data="datasets/flowers5",
        weights="models/keras/mobilenet_v1_0.25_224_no_top.h5",
        what="5 flowers, fine-tuned",
    ),
    Row(
        width=0.75,
        res=160,
        data="datasets/flowers5",
        weights="models/keras/mobilenet_v1_0.75_224.h5",
        what="5 flowers, fine-tuned",
    ),
    Row(
        width=0.75,
        res=160,
        data="datasets/cats_dogs",
        weights="models/keras/mobilenet_v1_0.75_224.h5",
        what="cats and dogs, fine-tuned",
    ),
    Row(
        width=0.75,
        res=192,
        data="datasets/imagenet_sample",
        weights="models/keras/mobilenet_v1_0.75_192_dequant.h5",
        what="ImageNet's 1000 classes, weights as they are",
    ),
)
HEAD = (
    "MobileNet V1",
    "learned",
    "test images",
    "top-1 network",
    "top-1 int8 file",
    "M multiply-adds",
    "kB",
    "ms p50",
    "ms p90",
)


def convert(row: Row, shared: Path, folder: Path) -> Converted:
    """Learn and convert one row."""
    data = row.data if row.data == "digits" else shared / row.data
    weights = None if row.weights is None else str(shared / row.weights)
    out = folder / f"{row.width}_{row.res}_{Path(row.data).name}.tflite"
    return verbs.convert(data=data, weights=weights, width=row.width, res=row.res, out=out, quiet=False)


def cells(row: Row, made: Converted, measured: Measurement) -> tuple[str, ...]:
    """One line of the table."""
    proved = made.contract.measured.accuracy
    assert proved is not None
    spread = 100 * (proved.ci95[1] - proved.ci95[0]) / 2
    return (
        f"{row.width:g}-{row.res}",
        row.what,
        str(proved.n),
        f"{100 * proved.float:.1f} %",
        f"{100 * proved.final:.1f} % ± {spread:.1f}",
        f"{made.contract.measured.macs / 1e6:.0f}",
        f"{made.path.stat().st_size / 1000:.0f}",
        f"{measured.invoke_ms.p50:.2f}",
        f"{measured.invoke_ms.p90:.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--work", type=Path, default=None, help="keep what is learned here, and go on from it")
    options = parser.parse_args()
    shared = options.shared
    rows = [row for row in ROWS if row.data == "digits" or (shared / row.data).is_dir()]
    remark(
        f"{len(rows)} of {len(ROWS)} rows: the rest need photos that are not in {shared}", quiet=len(rows) == len(ROWS)
    )
    with tempfile.TemporaryDirectory() as name:
        work = options.work or Path(name)
        made = [convert(row, shared, work) for row in rows]
        paths = [item.path for item in made]
        measured, _ = split_rows(verbs.bench(paths, backends=["litert"], threads=[1], quiet=False))
        lines = [HEAD, ("---",) * len(HEAD), *(cells(*item) for item in zip(rows, made, measured, strict=True))]
        facts = [item.to_json() | {"path": item.path.name} for item in made]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    save("readme_table.md", f"{table}\n\nint8, LiteRT {measured[0].versions['litert']}, 1 thread, {measured[0].board}")
    save("readme_table.json", json.dumps(facts, indent=1))
    print(table)


if __name__ == "__main__":
    main()
