"""`choose` against the exhaustive way: the 4 x 4 x 2 grid of MobileNet V1 on flowers5, learned cell by cell.

    python benchmarks/choose.py --shared DIR --work DIR [--only cells,measure,choose,table] [--epochs 2]
        [--widths 0.25,0.5] [--sizes 128,160] [--precisions int8]    a part of the grid

One by one, a network is learned for each of its two cells; the same seed gives the same network, so that it is learned
once here and its seconds count twice. `choose` learns and converts for itself, for each budget in a folder of its own,
as if it were called once. Its files are equal to the last bit to those made one by one (the table says how many), so
that it finds them measured already; these seconds count for it, too. What is in --work is not done again: the same
command goes on after any kill. Costs are processor seconds of all processes, which other work on the machine does not
stretch much.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from results import save_table

from edgesdk import modelfile, verbs
from edgesdk.atomic import make_folder, write_text
from edgesdk.grid.candidates import Candidate, Limits, pick
from edgesdk.grid.choosing import choose
from edgesdk.grid.workshop import MEASURED, recipe_of
from edgesdk.measurement import Measurement
from edgesdk.progress import remark
from edgesdk.recipe import Precision
from edgesdk.reports.report import Report, write_report
from edgesdk.spec import ModelSpec, make_spec
from edgesdk_device.board import board_name
from edgesdk_train.shelf import pick_weights

WIDTHS, SIZES = (0.25, 0.5, 0.75, 1.0), (128, 160, 192, 224)
PRECISIONS: tuple[Precision, ...] = ("int8", "float32")
COST, POINTS, TIME = 0.35, 0.5, 1.05  # the targets
KEPT = f"quick_here_{MEASURED}"  # where `choose` looks for what is measured


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Processor and wall seconds."""

    cpu_s: float
    wall_s: float


class Meter:
    """What this process and all that it started spent between two readings."""

    def __init__(self) -> None:
        self._last = Spent(cpu_s=0.0, wall_s=time.monotonic())

    def read(self) -> Spent:
        """Since the last reading; the first one counts the imports, too."""
        cpu_s = sum(os.times()[:4]) + _running_s(os.getpid())
        now = Spent(cpu_s=cpu_s, wall_s=time.monotonic())
        spent = Spent(cpu_s=now.cpu_s - self._last.cpu_s, wall_s=now.wall_s - self._last.wall_s)
        self._last = now
        return spent


def _running_s(parent: int) -> float:
    """Processor seconds of what a process started and has not waited for yet."""
    total = 0.0
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            with suppress(OSError):  # it may end meanwhile
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + _running_s(child)
    return total


def run_cells(spec: ModelSpec, options: argparse.Namespace) -> None:
    """Learn one network as `train` does, then convert and measure its two cells; keeps the facts as JSON."""
    meter, folder = Meter(), options.work / "cells"
    run = folder / f"{spec.name}.run"
    shutil.rmtree(run, ignore_errors=True)  # of a killed try, whose seconds nobody counted
    verbs.train(
        options.shared / "datasets/flowers5",
        width=spec.width,
        res=spec.res,
        weights=str(options.weights),
        transfer="finetune",
        epochs=options.epochs,
        out=run,
    )
    facts: dict[str, Any] = {"weights": options.weights.name, "learn": asdict(meter.read())}
    for precision in options.precisions:
        made = verbs.convert(run, recipe=recipe_of(precision), out=folder / f"{spec.name}_{precision}.tflite")
        converted = meter.read()
        (row,) = verbs.bench([made.path], backends=["litert"], threads=[1], quick=True)
        proved = made.contract.measured.accuracy
        assert isinstance(row, Measurement) and proved is not None
        facts[precision] = {
            "convert": asdict(converted),
            "measure": asdict(meter.read()),
            "top1": proved.final,
            "ci95": proved.ci95,
            "n": proved.n,
            "macs": made.contract.measured.macs,
            "size_bytes": row.size_bytes,
            "ms": row.invoke_ms.p90,
            "p50_ms": row.invoke_ms.p50,
        }
    write_text(folder / f"{spec.name}.json", json.dumps(facts, indent=1))


def run_choose(budget_ms: float | None, options: argparse.Namespace) -> None:
    """Run `choose`; its seconds are noted every few, so that a kill loses none of them."""
    folder = make_folder(options.work / "choose")
    label = "none" if budget_ms is None else f"{budget_ms:g}"
    work = make_folder(folder / f"work_{label}")
    if not (work / KEPT).is_file():
        shutil.copy(options.work / KEPT, work)
    meter, start = Meter(), time.time()
    total = Spent(cpu_s=0.0, wall_s=0.0)
    over = threading.Event()

    def note() -> None:
        nonlocal total
        while True:
            done, spent = over.wait(5), meter.read()
            total = Spent(cpu_s=total.cpu_s + spent.cpu_s, wall_s=total.wall_s + spent.wall_s)
            write_text(folder / f"spent_{label}_{start:.0f}.json", json.dumps(asdict(total)))
            if done:
                return

    noting = threading.Thread(target=note)
    noting.start()
    try:
        chosen = choose(
            options.shared / "datasets/flowers5",
            weights=str(options.shared / "models/keras"),
            widths=options.widths,
            resolutions=options.sizes,
            precisions=options.precisions,
            epochs=options.epochs,
            limits=Limits(budget_ms=budget_ms),
            folder=work,
            out=folder / f"pick_{label}.tflite",
            quick=True,
            quiet=False,
        )
    finally:
        over.set()
        noting.join()
    write_text(folder / f"{label}.json", json.dumps(chosen.to_json(), indent=1))


def again(options: argparse.Namespace, *words: str) -> None:
    """This script in a process of its own, whose processor seconds are its alone."""
    common = ["--shared", str(options.shared), "--work", str(options.work), "--epochs", str(options.epochs)]
    for name in ("widths", "sizes", "precisions"):
        common += [f"--{name}", ",".join(map(str, getattr(options, name)))]
    subprocess.run([sys.executable, __file__, *common, *words], check=True)


def read_cells(options: argparse.Namespace) -> dict[ModelSpec, dict[str, Any]]:
    """The facts of each network of these widths that was learned."""
    files = {spec: options.work / "cells" / f"{spec.name}.json" for spec in options.specs}
    return {spec: json.loads(path.read_bytes()) for spec, path in files.items() if path.is_file()}


def measure(options: argparse.Namespace) -> None:
    """Measure all files of the exhaustive grid in turns; `choose` makes the same files and finds them measured."""
    files = {
        f"{spec.name} {precision}": options.work / "cells" / f"{spec.name}_{precision}.tflite"
        for spec in read_cells(options)
        for precision in options.precisions
    }
    rows = verbs.bench(list(files.values()), backends=["litert"], threads=[1], quick=True, quiet=False)
    times = {name: row.invoke_ms.p90 for name, row in zip(files, rows, strict=True) if isinstance(row, Measurement)}
    write_report(options.work / KEPT, Report(rows=rows))
    write_text(options.work / "measured.json", json.dumps(times, indent=1))


def as_candidates(options: argparse.Namespace) -> list[Candidate]:
    """The exhaustive grid as `choose` would see it, had it stopped none."""
    times = json.loads((options.work / "measured.json").read_bytes())
    return [
        Candidate(
            spec=spec,
            precision=precision,
            stage="measured",
            macs=facts[precision]["macs"],
            val_top1=0.0,
            top1=facts[precision]["top1"],
            n=facts[precision]["n"],
            ms=times[f"{spec.name} {precision}"],
            size_bytes=facts[precision]["size_bytes"],
            path=f"{spec.name}_{precision}.tflite",
        )
        for spec, facts in read_cells(options).items()
        for precision in options.precisions
    ]


def budgets_of(options: argparse.Namespace) -> list[float]:
    """Milliseconds that a quarter, half and three quarters of the cells keep."""
    times = sorted(candidate.ms or 0.0 for candidate in as_candidates(options))
    middle = [len(times) * quarter // 4 for quarter in (1, 2, 3)]
    return [round((times[index - 1] + times[index]) / 2, 3) for index in middle]


def one_by_one(cells: dict[ModelSpec, dict[str, Any]], precisions: Sequence[Precision]) -> Spent:
    """What learning, converting and measuring each cell for itself costs."""
    parts = [
        part
        for facts in cells.values()
        for precision in precisions
        for part in (facts["learn"], facts[precision]["convert"], facts[precision]["measure"])
    ]
    return Spent(cpu_s=sum(part["cpu_s"] for part in parts), wall_s=sum(part["wall_s"] for part in parts))


def show(options: argparse.Namespace) -> None:
    """The table of picks and costs, a row a run of `choose`."""
    cells, candidates = read_cells(options), as_candidates(options)
    exhaustive = one_by_one(cells, options.precisions)
    by_name = {candidate.name: candidate for candidate in candidates}
    facts: dict[str, Any] = {spec.name: value for spec, value in cells.items()}
    rows = []
    for budget in [*budgets_of(options), None]:
        label = "none" if budget is None else f"{budget:g}"
        chosen = json.loads((options.work / "choose" / f"{label}.json").read_bytes())
        parts = [json.loads(path.read_bytes()) for path in (options.work / "choose").glob(f"spent_{label}_*.json")]
        learned = {item["name"].split()[0] for item in chosen["candidates"] if item["stage"] == "measured"}
        cpu_s = sum(part["cpu_s"] for part in parts)
        found = [value for spec, value in cells.items() if spec.name in learned]
        cpu_s += sum(value[precision]["measure"]["cpu_s"] for value in found for precision in options.precisions)
        best, _ = pick(candidates, Limits(budget_ms=budget))
        taken = by_name[chosen["pick"]["name"]]
        points, ratio = 100 * ((best.top1 or 0) - (taken.top1 or 0)), (taken.ms or 0) / (best.ms or 1)
        share = cpu_s / exhaustive.cpu_s
        rows.append(
            (
                "none" if budget is None else f"{budget:g} ms",
                f"{best.name}: {100 * (best.top1 or 0):.2f} %, {best.ms:.3f} ms",
                f"{taken.name}: {100 * (taken.top1 or 0):.2f} %, {taken.ms:.3f} ms",
                f"{points:+.2f}",
                f"{ratio:.3f}",
                "ok" if points <= POINTS + 1e-9 and ratio <= TIME else "MISSED",
                f"{len(learned)} of {len(cells)}",
                f"{cpu_s:.0f} s, {share:.3f}",
                "ok" if share <= COST else "MISSED",
            )
        )
        seen = [{key: value for key, value in item.items() if key != "path"} for item in chosen["candidates"]]
        facts[f"budget {label}"] = {"best": best.name, "taken": taken.name, "points": points, "ratio": ratio}
        facts[f"budget {label}"] |= {"cpu_s": cpu_s, "share": share, "candidates": seen}
    head = (
        "budget",
        "exhaustive best",
        "choose took",
        "points below",
        "times as long",
        "within 0.5 points and 5 %",
        "learned in full",
        "processor time, of the exhaustive way's",
        "<= 0.35",
    )
    widths, sizes = (", ".join(f"{value:g}" for value in part) for part in (options.widths, options.sizes))
    files = [path for path in (options.work / "choose").glob("work_*/*.tflite") if ".draft" not in path.name]
    equal = sum(
        modelfile.read(path).sha256 == modelfile.read(options.work / "cells" / path.name).sha256 for path in files
    )
    note = (
        f"MobileNet V1 on flowers5, {options.epochs} epochs of fine-tuning: widths {widths}, sizes {sizes}, "
        f"{' and '.join(options.precisions)}: {len(candidates)} of the grid's 32 cells, one by one "
        f"{exhaustive.cpu_s:.0f} processor seconds. {equal} of {len(files)} files of choose are equal to the last bit "
        f"to these. {board_name()}, other work beside"
    )
    save_table("choose", head, rows, note, facts | {"one by one": asdict(exhaustive)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="everything is kept here, and gone on from")
    parser.add_argument("--only", default="cells,measure,choose,table")
    parser.add_argument("--epochs", type=int, default=2, help="of both ways")
    parser.add_argument("--widths", type=lambda text: tuple(map(float, text.split(","))), default=WIDTHS)
    parser.add_argument("--sizes", type=lambda text: tuple(map(int, text.split(","))), default=SIZES)
    parser.add_argument("--precisions", type=lambda text: tuple(text.split(",")), default=PRECISIONS)
    parser.add_argument("--weights", type=Path, help="of that cell")
    parser.add_argument("--cell", default="", help="WIDTH-SIZE: that network alone")
    parser.add_argument("--budget", type=float, default=None, help="that run of choose alone, 0 for none")
    options = parser.parse_args()
    options.specs = [make_spec("mobilenet_v1", *cell, 5) for cell in itertools.product(options.widths, options.sizes)]
    if options.cell:
        width, res = options.cell.split("-")
        run_cells(make_spec("mobilenet_v1", float(width), int(res), 5), options)
        return
    if options.budget is not None:
        run_choose(options.budget or None, options)
        return
    make_folder(options.work / "cells")
    if "cells" in options.only:
        for spec in options.specs:
            if spec not in read_cells(options):
                weights = pick_weights(options.shared / "models/keras", spec)
                again(options, "--cell", f"{spec.width:g}-{spec.res}", "--weights", str(weights))
                remark(f"{spec.name}: {read_cells(options)[spec]}", quiet=False)
    if "measure" in options.only and not (options.work / "measured.json").is_file():
        measure(options)
    if "choose" in options.only:
        for budget in [*budgets_of(options), 0.0]:
            if not (options.work / "choose" / f"{budget or 'none'}.json").is_file():
                again(options, "--budget", f"{budget:g}")
    if "table" in options.only:
        show(options)


if __name__ == "__main__":
    main()
