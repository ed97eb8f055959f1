"""The paper's grid of widths and resolutions as a report: what each MobileNet V1 is worth and costs on this machine.

    python benchmarks/grid.py imagenet --shared DIR --work DIR     published weights as they are, on ImageNet photos
    python benchmarks/grid.py flowers5 --shared DIR --work DIR     what benchmarks/choose.py learned cell by cell

MobileNets, arXiv 1704.04861, tables 6 to 8. Converted files are kept in --work and found again. Writes
benchmarks/results/<board>/grid_<data>.html, .json, .csv and .md, without a path, a photo or a name of this machine.
"""

import argparse
import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from results import board_folder, save

from edgesdk import modelfile, verbs
from edgesdk.atomic import make_folder
from edgesdk.contract import Accuracy
from edgesdk.measurement import Measurement
from edgesdk.progress import remark
from edgesdk.recipe import Precision
from edgesdk.reports.drawing import Point
from edgesdk.reports.page import SERIES
from edgesdk.reports.report import Report, write_report

SIZES = (128, 160, 192, 224)
PRECISIONS: tuple[Precision, ...] = ("int8", "float32")
#: Rows of the grid and what they start from: Keras' files that have a head, learned at the size in brackets.
PUBLISHED = {
    "0.25 (128)": "mobilenet_v1_0.25_128_dequant.h5",
    "0.75 (192)": "mobilenet_v1_0.75_192_dequant.h5",
    "0.75 (224)": "mobilenet_v1_0.75_224.h5",
    "1 (224)": "mobilenet_v1_1.0_224_dequant.h5",
}
LEARNED = ("0.25", "0.5", "0.75", "1")
HEAD = ("width", "size", "precision", "top-1", "95 %", "p50 ms", "p90 ms", "frame p90 ms", "kB", "M MACs")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One file of the grid; `row` is its width, and what the weights were learned at where that is another size."""

    row: str
    res: int
    precision: Precision
    path: Path

    @property
    def name(self) -> str:
        """Unique and short."""
        return f"{self.row}-{self.res} {self.precision}"


def published(shared: Path, work: Path) -> list[Cell]:
    """Convert each file of weights at each resolution to each precision, judged on the ImageNet photos."""
    cells = []
    for (row, weights), res, precision in itertools.product(PUBLISHED.items(), SIZES, PRECISIONS):
        path = make_folder(work) / f"{weights.removesuffix('.h5')}_at_{res}_{precision}.tflite"
        if not path.is_file():
            verbs.convert(
                data=shared / "datasets/imagenet_sample",
                width=float(row.split()[0]),
                res=res,
                weights=str(shared / "models/keras" / weights),
                quantize=precision,
                out=path,
            )
            remark(f"{path.name}: {_accuracy(path).final:.4f}", quiet=False)
        cells.append(Cell(row=row, res=res, precision=precision, path=path))
    return cells


def learned(work: Path) -> list[Cell]:
    """The files that benchmarks/choose.py left."""
    found = [
        Cell(row=row, res=res, precision=precision, path=path)
        for row, res, precision in itertools.product(LEARNED, SIZES, PRECISIONS)
        if (path := work / "cells" / f"mobilenet_v1_{row}_{res}_{precision}.tflite").is_file()
    ]
    remark(f"{len(found)} of 32 files are in {work}", quiet=False)
    return found


def _accuracy(path: Path) -> Accuracy:
    proved = modelfile.read(path).required_contract().measured.accuracy
    assert proved is not None
    return proved


def measure(cells: Sequence[Cell]) -> list[Measurement]:
    """What each file costs here, without where it lies."""
    rows = verbs.bench([cell.path for cell in cells], backends=["litert"], threads=[1], quick=True, quiet=False)
    found = []
    for cell, row in zip(cells, rows, strict=True):
        assert isinstance(row, Measurement)
        found.append(replace(row, model=cell.name, path=cell.path.name))
    return found


def points_of(cells: Sequence[Cell], rows: Sequence[Measurement]) -> list[Point]:
    """A point a file; the front goes through those that no other beats."""
    proved = [_accuracy(cell.path) for cell in cells]
    places = [(row.invoke_ms.p90, -value.final) for row, value in zip(rows, proved, strict=True)]
    return [
        Point(
            label=cell.name,
            tip=f"{row.model}: {100 * value.final:.1f} % of {value.n} photos, p90 {row.invoke_ms.p90:.3f} ms, "
            f"{row.size_bytes / 1000:.0f} kB",
            ms=row.invoke_ms.p90,
            top1=value.final,
            low=value.ci95[0],
            high=value.ci95[1],
            series=SERIES.index(cell.precision),
            front=not any(o[0] <= place[0] and o[1] <= place[1] and o != place for o in places),
        )
        for cell, row, value, place in zip(cells, rows, proved, places, strict=True)
    ]


def table_of(cells: Sequence[Cell], rows: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """A line a file, under `HEAD`."""
    return [
        (
            cell.row,
            str(cell.res),
            cell.precision,
            f"{100 * value.final:.1f} %",
            f"{100 * value.ci95[0]:.1f} to {100 * value.ci95[1]:.1f}",
            f"{row.invoke_ms.p50:.3f}",
            f"{row.invoke_ms.p90:.3f}",
            f"{row.frame_ms.p90:.3f}",
            f"{row.size_bytes / 1000:.0f}",
            f"{modelfile.read(cell.path).required_contract().measured.macs / 1e6:.0f}",
        )
        for cell, row in zip(cells, rows, strict=True)
        for value in [_accuracy(cell.path)]
    ]


def matrix(cells: Sequence[Cell], rows: Sequence[Measurement], precision: Precision) -> str:
    """Markdown: widths down, sizes across, top-1 and p50 of one precision in each field."""
    fields = {
        (cell.row, cell.res): f"{100 * _accuracy(cell.path).final:.1f} %, {row.invoke_ms.p50:.2f} ms"
        for cell, row in zip(cells, rows, strict=True)
        if cell.precision == precision
    }
    lines = [[f"{precision}, width", *map(str, SIZES)], ["---"] * (1 + len(SIZES))]
    lines += [[row, *(fields.get((row, res), "") for res in SIZES)] for row in dict.fromkeys(row for row, _ in fields)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def publish(name: str, cells: Sequence[Cell], rows: Sequence[Measurement], what: str) -> None:
    """Write the report in every form."""
    table = table_of(cells, rows)
    points = points_of(cells, rows)
    front = [point.label for point in sorted(points, key=lambda point: point.ms) if point.front]
    n = _accuracy(cells[0].path).n
    made = Report(
        rows=rows,
        command=["python", "benchmarks/grid.py", name, "--shared", "DIR", "--work", "DIR"],
        title=f"MobileNet V1's widths and resolutions on {name}",
        summary=f"{what}: {len(cells)} files, top-1 of {n} photos; nothing beats {len(front)} of them, from {front[0]} "
        f"to {front[-1]}.",
        points=points,
        candidates=[HEAD, *table],
    )
    folder = board_folder()
    for ending in ("html", "json"):
        write_report(folder / f"grid_{name}.{ending}", made)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEAD, *table])
    save(f"grid_{name}.csv", text.getvalue())
    note = (
        f"{what}: top-1 of {n} photos, p50 of one invoke, 1 thread, LiteRT {rows[0].versions['litert']}, quick, "
        f"{rows[0].board}, at load {max(row.after.load for row in rows):.1f}"
    )
    save(f"grid_{name}.md", "\n\n".join([*(matrix(cells, rows, precision) for precision in PRECISIONS), note]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", choices=("imagenet", "flowers5"))
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="of flowers5 that of benchmarks/choose.py")
    parser.add_argument("--only-convert", action="store_true", help="measure later, when the machine is quiet")
    options = parser.parse_args()
    if options.data == "imagenet":
        cells = published(options.shared, options.work)
        what = "Keras' published weights as they are, learned at the size in brackets; of width 0.5 there are none here"
    else:
        cells = learned(options.work)
        what = "Fine-tuned from Keras' published weights, width 0.5 cut from 0.75"
    if not options.only_convert:
        publish(options.data, cells, measure(cells), what)


if __name__ == "__main__":
    main()
