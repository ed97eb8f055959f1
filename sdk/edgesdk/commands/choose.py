"""`edgesdk choose`: from its flags to a table, a report and the file that was picked."""

import argparse
import json

from edgesdk.grid.candidates import Candidate, Limits
from edgesdk.grid.engine import make_engine
from edgesdk.progress import remark
from edgesdk.reports import report
from edgesdk.reports.drawing import Point
from edgesdk.reports.page import SERIES
from edgesdk.reports.tables import columns

HEAD = ("candidate", "top-1", "95 %", "p90 ms", "frame p90 ms", "kB", "RAM MB", "M MACs", "how far")


def choose(options: argparse.Namespace) -> int:
    """Choose, print the candidates, why one was picked, and what to do next."""
    from edgesdk.grid import choosing

    if options.report is not None:
        report.check_report(options.report)
    chosen = choosing.choose(
        options.data,
        archs=options.archs,
        widths=options.widths,
        resolutions=options.resolutions,
        precisions=options.precisions,
        weights=options.weights,
        transfer=options.transfer,
        epochs=options.epochs,
        batch=options.batch,
        seed=options.seed,
        flip=not options.no_flip,
        limits=Limits(
            budget_ms=options.budget,
            max_size_bytes=options.max_size,
            max_ram_bytes=options.max_ram,
            min_top1=None if options.min_accuracy is None else options.min_accuracy / 100,
        ),
        host=options.on,
        folder=options.work,
        out=options.out,
        everything=options.all,
        quick=options.quick,
        engine=make_engine(options.engine, cpus=options.cpus, gpus=options.gpus),
        quiet=options.quiet,
    )
    front = {candidate.name for candidate in chosen.front}
    table = [HEAD, *(_cells(candidate, front) for candidate in chosen.candidates)]
    guess = "; ".join(f"{p} to {100 * error:.0f} %" for p, error in chosen.errors.items() if error is not None)
    if options.report is not None:
        made = report.Report(
            rows=chosen.rows,
            command=options.typed,
            title=f"Which model for {options.data.rstrip('/').rpartition('/')[2]}",
            summary=f"Take {chosen.pick.name}: {chosen.why}.",
            points=[_point(c, front, chosen.pick) for c in chosen.candidates if c.ms is not None],
            candidates=table,
            picked=chosen.pick.name,
        )
        remark(f"report: {report.write_report(options.report, made)}", quiet=options.quiet)
    if options.json:
        print(json.dumps(chosen.to_json(), indent=1, ensure_ascii=False))
        return 0
    print("\n".join(columns(table)))
    print(f"note: ~ is predicted, with a median error of {guess or 'unknown size: too few were measured'}")
    print(f"pick: {chosen.pick.name}: {chosen.why}")
    print(f"{chosen.path}\nnext: edgesdk verify {chosen.path}; edgesdk run {chosen.path} --source 0")
    return 0


def _cells(c: Candidate, front: set[str]) -> tuple[str, ...]:
    far = "on the front" if c.name in front else c.stage
    if c.top1 is None or c.low is None or c.high is None:
        lesson = f"({100 * c.val_top1:.1f} % of val)"
        return c.name, lesson, "", "" if c.ms is None else f"~{c.ms:.3f}", "", "", "", f"{c.macs / 1e6:.0f}", far
    return (
        c.name,
        f"{100 * c.top1:.1f} %",
        f"{100 * c.low:.1f} to {100 * c.high:.1f}",
        f"{c.ms:.3f}",
        f"{c.frame_ms:.3f}",
        f"{(c.size_bytes or 0) / 1e3:.0f}",
        f"{(c.ram_bytes or 0) / 1e6:.1f}",
        f"{c.macs / 1e6:.0f}",
        far,
    )


def _point(c: Candidate, front: set[str], picked: Candidate) -> Point:
    """A measured candidate; a stopped one where its short lesson left it, its milliseconds predicted."""
    measured = c.top1 is not None
    top1 = c.val_top1 if c.top1 is None else c.top1
    short = f"{c.spec.width:g}-{c.spec.res} {c.precision}"
    tip = (
        f"{c.name}: {100 * top1:.1f} % of {c.n} test photos, p90 {c.ms:.3f} ms, {(c.size_bytes or 0) / 1000:.0f} kB"
        if measured
        else f"{c.name}: stopped after its short lesson with {100 * top1:.1f} % of the validation photos; about "
        f"{c.ms:.3f} ms (predicted)"
    )
    return Point(
        label=short if c.spec.arch == "mobilenet_v1" else f"{c.spec.arch} {short}",
        tip=tip,
        ms=c.ms or 0.0,
        top1=top1,
        low=top1 if c.low is None else c.low,
        high=top1 if c.high is None else c.high,
        series=SERIES.index(c.precision),
        front=c.name in front,
        picked=c == picked,
        guessed=not measured,
    )
