"""`edgesdk bench`: from its flags to rows, a table, a report and an exit code."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk import baseline
from edgesdk.commands.options import Add, add_delegate, delegate_of, refuse
from edgesdk.commands.values import counts, place, words
from edgesdk.errors import NothingMeasuredError
from edgesdk.measurement import MEMORY, Measurement
from edgesdk.progress import remark
from edgesdk.reports import benchlog, report

if TYPE_CHECKING:
    from edgesdk_device.backends import Delegate

REGRESSION = 3  # exit code
PHONE = "phone"  # of --on
OF_DEVICES = ("--backend", "--threads", "--delegate", "--delegate-option")


def add_commands(add: Add) -> None:
    """The command's options."""
    command = add(
        bench,
        "measure files on this machine, another one, or a fleet",
        "edgesdk bench a.tflite b.tflite --data photos/ --report b.html\n"
        "  edgesdk bench a.tflite --on pi@kitchen --baseline before.json --tolerance 5",
    )
    command.add_argument("files", metavar="FILE", nargs="*", type=Path)
    command.add_argument("--data", metavar="DATA", help="labelled photos: adds accuracy on their test split")
    command.add_argument(
        "--backend",
        type=words,
        default=["auto"],
        metavar="B,..",
        help="litert, litert-gpu, tflite-runtime, or auto, which is what `run` would take (default)",
    )
    command.add_argument(
        "--threads", type=counts, default=[None], metavar="N,..", help="CPU threads, such as 1,2, or auto (default)"
    )
    add_delegate(command)
    command.add_argument("--quick", action="store_true", help="about two seconds each instead of half a minute")
    command.add_argument(
        "--source", metavar="SRC", help="frames at their own pace: a camera, video, URL or folder (default memory)"
    )
    command.add_argument(
        "--sustained",
        type=float,
        metavar="MIN",
        help="go on at that pace so long: times, temperature and clock a minute",
    )
    command.add_argument(
        "--baseline", type=Path, metavar="FILE", help="a .json report to compare with; exit code 3 where it got slower"
    )
    command.add_argument(
        "--tolerance", type=float, metavar="PERCENT", help="what --baseline takes for the same (default 5)"
    )
    command.add_argument(
        "--on",
        metavar="HOST",
        type=place,
        help="measure on USER@HOST over OpenSSH (EDGESDK_SSH names another ssh command), in a phone's browser: phone "
        "(--backend litertjs-wasm, litertjs-webgpu), or on the Android device "
        "adb:SERIAL with its benchmark_model, --backend litert, litert-gpu or nnapi (not verified on hardware)",
    )
    command.add_argument(
        "--fleet", type=Path, metavar="TOML", help="measure on every device of a file at once; see docs/bench.md"
    )
    command.add_argument(
        "--import",
        dest="logs",
        action="append",
        default=[],
        type=Path,
        metavar="LOG",
        help="a log of benchmark_model, or its BenchmarkResult as JSON",
    )
    command.add_argument("--report", type=Path, metavar="FILE", help="write .html, .md, .csv or .json")


def bench(options: argparse.Namespace) -> int:
    """Measure, print, write the report; 3 where something is slower than the baseline."""
    delegate = delegate_of(options)
    _check(options)
    if options.report is not None:
        report.check_report(options.report)
    before = None if options.baseline is None else baseline.read_baseline(options.baseline)
    refused: NothingMeasuredError | None = None
    rows: list[report.Row] = [benchlog.read_log(path) for path in options.logs]
    try:
        rows += _measure(options, delegate) if options.files else []
    except NothingMeasuredError as error:  # the report says it, too
        refused, rows = error, [*rows, *error.rows]
    measured = [row for row in rows if isinstance(row, Measurement)]
    found = [] if before is None else _compare(options, delegate, measured, before)
    if options.report is not None:
        made = report.Report(rows=rows, comparisons=found, shares=_shares(options), command=options.typed)
        remark(f"report: {report.write_report(options.report, made)}", quiet=options.quiet)
    if refused is not None and not options.logs:
        raise refused
    if options.json:
        print(report.as_json(rows))
    else:
        print("\n".join([report.as_text(rows), *(f"baseline: {comparison}" for comparison in found)]))
    slower = [comparison for comparison in found if comparison.verdict == "slower"]
    for comparison in slower:
        remark(f"slower than {options.baseline}: {comparison}", quiet=options.quiet and not options.json)
    return REGRESSION if slower else 0


def _compare(
    options: argparse.Namespace,
    delegate: "Delegate | None",
    measured: Sequence[Measurement],
    before: Sequence[Measurement],
) -> list[baseline.Comparison]:
    """With the baseline; what seems faster or slower is measured again before it is told."""
    found = baseline.compare(measured, before, options.tolerance)
    for _ in range(baseline.CONFIRMATIONS):
        changed = {Path(row.path): None for row, item in zip(measured, found, strict=True) if item.changed}
        if not changed:
            break
        remark(f"measuring {len(changed)} again, to be sure", quiet=options.quiet)
        only = argparse.Namespace(**{**vars(options), "files": list(changed), "data": None, "sustained": None})
        try:
            rows = _measure(only, delegate)
        except NothingMeasuredError:
            break
        again = [row for row in rows if isinstance(row, Measurement)]
        found = baseline.confirm(found, baseline.compare(again, before, options.tolerance))
    return found


def _check(options: argparse.Namespace) -> None:
    if not options.files and not options.logs:
        raise ValueError("nothing to measure: name a FILE, or a log with --import")
    if options.tolerance is None:
        options.tolerance = baseline.TOLERANCE_PERCENT
    elif options.baseline is None:
        raise ValueError("--tolerance goes with --baseline")
    baseline.check_tolerance(options.tolerance)
    if options.on is not None and options.fleet is not None:
        raise ValueError("--on names one machine, --fleet several: leave out one of them")
    if options.fleet is not None:
        refuse(options, lambda word: word in OF_DEVICES, "--fleet, whose file says it for each device")
    if options.data is not None and (options.on is not None or options.fleet is not None):
        raise ValueError(
            "--data is judged on this machine only: another one that gives the golden outputs, as bench makes sure, "
            "answers alike; leave out --on and --fleet, or --data"
        )
    if options.on == PHONE and options.source is not None:
        raise ValueError("--source is not for --on phone: the page measures on the phone's own camera; leave it out")
    if options.on is not None and options.on.startswith("adb:"):
        named = [f"--{name}" for name in ("quick", "sustained", "source") if getattr(options, name)]
        if named:
            raise ValueError(f"{' and '.join(named)} is not for --on adb:, whose tool runs 200 times on random values")


def _measure(options: argparse.Namespace, delegate: "Delegate | None") -> Sequence[report.Row]:
    from edgesdk import verbs

    if options.on is not None and options.on.startswith("adb:"):
        serial = options.on.removeprefix("adb:")
        return verbs.bench_android(
            options.files, serial, backends=options.backend, threads=options.threads, delegate=delegate
        )
    if options.on is not None and delegate is not None:
        raise ValueError("--delegate is a library of this machine: leave out --on")
    if options.on == PHONE:
        from edgesdk.commands.phone import show_address
        from edgesdk.verbs import phone as phoneverbs

        return phoneverbs.bench_phone(
            options.files,
            backends=options.backend,
            threads=options.threads,
            sustained_minutes=options.sustained or 0.0,
            quick=options.quick,
            tell=show_address,
        )
    if options.on is not None:
        return verbs.bench_on(
            options.files,
            options.on,
            backends=options.backend,
            threads=options.threads,
            source=options.source or MEMORY,
            sustained_minutes=options.sustained or 0.0,
            quick=options.quick,
            quiet=options.quiet,
        )
    if options.fleet is not None:
        return verbs.bench_fleet(
            options.files,
            options.fleet,
            source=options.source or MEMORY,
            sustained_minutes=options.sustained or 0.0,
            quick=options.quick,
            quiet=options.quiet,
        )
    return verbs.bench(
        options.files,
        data=options.data,
        backends=options.backend,
        threads=options.threads,
        delegate=delegate,
        source=options.source or MEMORY,
        sustained_minutes=options.sustained or 0.0,
        quick=options.quick,
        quiet=options.quiet,
    )


def _shares(options: argparse.Namespace) -> list[tuple[str, list[tuple[str, float, str]]]]:
    """Of each file, how its multiply-adds are shared by types of operations."""
    from edgesdk import verbs

    found = []
    for path in options.files:
        graph = verbs.inspect(path).graph
        macs = {name: sum(op.macs for op in graph.ops if op.name == name) for name in graph.counts}
        parts = [
            (name, count / graph.macs, f"{name}: {count / 1e6:.2f} M multiply-adds in {graph.counts[name]} operations")
            for name, count in macs.items()
            if count
        ]
        found.append((path.name, parts))
    return found
