"""`edgesdk choose`: from its flags to a table, a report and the file that was picked."""

import argparse
from pathlib import Path

from edgesdk.commands.options import Add, add_learning, learning_of
from edgesdk.commands.printing import print_json, print_next
from edgesdk.commands.scale import add_engine
from edgesdk.commands.values import floats, integers, milliseconds, size, words
from edgesdk.grid.candidates import Candidate, Limits
from edgesdk.grid.engine import make_engine
from edgesdk.progress import remark
from edgesdk.reports import report
from edgesdk.reports.drawing import Point
from edgesdk.reports.page import SERIES
from edgesdk.reports.tables import columns

HEAD = ("candidate", "top-1", "95 %", "p90 ms", "frame p90 ms", "kB", "RAM MB", "M MACs", "how far")


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(
        choose,
        "learn, convert and measure a grid of models, and take the best that keeps the limits",
        "edgesdk choose photos/ --weights imagenet --budget 30ms --max-size 2MB --report choose.html",
    )
    command.add_argument("data", metavar="DATA", help="labelled photos, as of train")
    grid = command.add_argument_group("grid")
    grid.add_argument("--archs", type=words, default=["mobilenet_v1"], metavar="A,..", help="default mobilenet_v1")
    grid.add_argument(
        "--widths", type=floats, default=[0.25, 0.5, 0.75, 1.0], metavar="W,..", help="default 0.25,0.5,0.75,1"
    )
    grid.add_argument(
        "--resolutions", type=integers, default=[128, 160, 192, 224], metavar="R,..", help="default 128,160,192,224"
    )
    grid.add_argument(
        "--precisions", type=words, default=["int8", "float32"], metavar="P,..", help="default int8,float32"
    )
    grid.add_argument(
        "--weights",
        default="none",
        metavar="W",
        help="imagenet, a .h5 file, a folder of them (a width without its own is cut from the next wider), or none",
    )
    grid.add_argument("--all", action="store_true", help="stop no candidate: learn and measure the whole grid")
    group = command.add_argument_group("limits")
    group.add_argument("--budget", type=milliseconds, metavar="MS", help="of one invoke, p90, such as 30ms")
    group.add_argument("--max-size", type=size, metavar="BYTES", help="of the file, such as 1MB")
    group.add_argument("--max-ram", type=size, metavar="BYTES", help="that the model adds to a process, such as 20MB")
    group.add_argument("--min-accuracy", type=float, metavar="PERCENT", help="top-1 of the test photos")
    command.add_argument("--on", metavar="USER@HOST", help="measure there over OpenSSH")
    command.add_argument("--quick", action="store_true", help="about two seconds for each measurement")
    command.add_argument("--work", type=Path, metavar="DIR", help="what is kept and found again (default choose_DATA)")
    command.add_argument("--report", type=Path, metavar="FILE", help="write .html, .md, .csv or .json")
    command.add_argument("-o", "--out", type=Path, metavar="FILE", help="the .tflite (default: named by model, data)")
    add_learning(command, slicing=False)
    add_engine(command, "cell")


def choose(options: argparse.Namespace) -> int:
    """Choose, print the candidates, why one was picked, and what to do next."""
    from edgesdk.grid import choosing

    if options.report is not None:
        report.check_report(options.report)
    learning = learning_of(options)
    del learning["cut"]
    chosen = choosing.choose(
        options.data,
        archs=options.archs,
        widths=options.widths,
        resolutions=options.resolutions,
        precisions=options.precisions,
        weights=options.weights,
        **learning,
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
        return print_json(chosen.to_json())
    print("\n".join(columns(table)))
    print(f"note: ~ is predicted, with a median error of {guess or 'unknown size: too few were measured'}")
    print(f"pick: {chosen.pick.name}: {chosen.why}")
    print(chosen.path)
    print_next(("verify", chosen.path), ("run", chosen.path, "--source", 0))
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
