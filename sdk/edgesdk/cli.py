"""The command line: parse, call one verb, print. Results go to stdout, everything else to stderr."""

import argparse
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from edgesdk import __version__
from edgesdk.errors import EdgeSDKError
from edgesdk.progress import remark
from edgesdk.spec import ARCHITECTURES

DESCRIPTION = "From a folder of photos to a proved .tflite on a camera device."


class _Parser(argparse.ArgumentParser):
    """argparse with errors of one line, and help that keeps its examples."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _OneOrTwo(argparse.Action):
    """Takes one or two values."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: Any) -> None:
        if len(values) > 2:
            parser.error(f"{len(values)} files were named, expected one, or two to compare")
        setattr(options, self.dest, values)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 for an `EdgeSDKError`, 2 for wrong usage, 130 for Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(arguments)
    options.typed = ["edgesdk", *arguments]
    warnings.showwarning = _show_warning
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except EdgeSDKError as error:
        print(f"edgesdk: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        if options.verbose:
            raise
        print(f"edgesdk {options.verb}: {error} (see edgesdk {options.verb} --help)", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"edgesdk: stopped{_after_stop(options)}", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `edgesdk run ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if options.verbose:
            raise
        found = f"{type(error).__name__} ({' '.join(str(error).split())[:200]})"
        print(f"edgesdk: unexpected {found}: this is a bug in edgesdk; --verbose shows where", file=sys.stderr)
        return 1


def train(options: argparse.Namespace) -> int:
    """`edgesdk train`."""
    from edgesdk import verbs

    done = verbs.train(
        options.data,
        **_network(options),
        **_learning(options),
        weights=options.weights,
        resume=options.resume,
        out=options.out,
        quiet=options.quiet,
    )
    folder = options.out or f"{done.spec.name}_{done.source.dataset}.run"
    if options.json:
        return _print_json({"path": str(folder), **asdict(done)})
    print(f"{folder}: {_percent(done.top1)} of {done.top1_n} test images right")
    for true, answered, count in done.confusions[:3]:
        print(f"  {count} x {true} taken for {answered}")
    print(f"next: edgesdk convert {folder}")
    return 0


def convert(options: argparse.Namespace) -> int:
    """`edgesdk convert`."""
    from edgesdk import verbs

    made = verbs.convert(
        options.model,
        **_network(options),
        **_learning(options),
        data=options.data,
        weights=options.weights,
        quantize=options.quantize,
        io=options.io,
        max_drop=options.max_drop,
        repair=not options.no_repair,
        out=options.out,
        quiet=options.quiet,
    )
    if options.json:
        return _print_json(made.to_json())
    facts = made.to_json()
    proved = facts["accuracy"]
    print(f"{made.path}  ({facts['size_bytes'] / 1000:.0f} kB, {facts['gzip_bytes'] / 1000:.0f} kB gzipped)")
    print(f"  {facts['macs'] / 1e6:.1f} M multiply-adds, {facts['parameters'] / 1e6:.2f} M parameters")
    if proved is None:
        state = "trained, not judged: no data was given" if facts["trained"] else "random weights: only size and speed"
        print(f"  accuracy unknown ({state})")
    else:
        low, high = (_percent(value) for value in proved["ci95"])
        print(
            f"  top-1 on {proved['n']} held-out images: network {_percent(proved['float'])}, float .tflite "
            f"{_percent(proved['float_tflite'])}, this file {_percent(proved['final'])} (95 %: {low} to {high}), "
            f"same answer {_percent(facts['agreement'])}"
        )
    measured = verbs.bench([made.path], quick=True)[0]
    print(
        f"  {measured.invoke_ms.p50:.2f} ms invoke, {measured.frame_ms.p50:.2f} ms frame to label here "
        f"(medians, quick, {measured.backend}, 1 thread)"
    )
    print(f"next: edgesdk verify {made.path}; edgesdk run {made.path} --source 0")
    return 0


def verify(options: argparse.Namespace) -> int:
    """`edgesdk verify`: exit code 1 where an output differs."""
    from edgesdk import verbs

    result = verbs.verify(options.file, backend=options.backend, threads=options.threads)
    if options.json:
        _print_json(asdict(result))
    else:
        print(
            f"{options.file}: {'agrees' if result.ok else 'DISAGREES'} with its {result.inputs} golden outputs on "
            f"{result.backend} (largest difference {result.max_difference:.2g}, allowed {result.tolerance:.2g})"
        )
    return 0 if result.ok else 1


def inspect(options: argparse.Namespace) -> int:
    """`edgesdk inspect`: one file whole, or what differs between two."""
    from edgesdk import inspection, verbs

    found = [verbs.inspect(path) for path in options.files]
    if options.json:
        facts = [inspection.as_json(item) for item in found]
        return _print_json(facts[0] if len(facts) == 1 else facts)
    lines = inspection.as_text(found[0]) if len(found) == 1 else inspection.difference(*found)
    print("\n".join(lines))
    return 0


def bench(options: argparse.Namespace) -> int:
    """`edgesdk bench`."""
    from edgesdk import report, verbs

    if options.report is not None:
        report.check_report(options.report)
    measured = verbs.bench(
        options.files,
        data=options.data,
        backends=options.backend,
        threads=options.threads,
        quick=options.quick,
        quiet=options.quiet,
    )
    print(report.as_json(measured) if options.json else report.as_text(measured))
    if options.report is not None:
        path = report.write_report(options.report, measured, options.typed)
        remark(f"report: {path}", quiet=options.quiet)
    return 0


def run(options: argparse.Namespace) -> int:
    """`edgesdk run`."""
    from edgesdk import verbs

    count = 0
    for seen in verbs.run(
        options.file,
        source=options.source,
        backend=options.backend,
        threads=options.threads,
        frames=options.frames,
        events=options.events,
    ):
        count += 1
        if options.json:
            print(json.dumps(seen.to_json(), ensure_ascii=False), flush=True)
        else:
            where = seen.name or f"frame {seen.frame}"
            print(f"{where}: {seen.answer.label} {_percent(seen.answer.score)}  ({seen.age_ms:.1f} ms)", flush=True)
    remark(f"{count} frames", quiet=options.quiet)
    return 0


def doctor(options: argparse.Namespace) -> int:
    """`edgesdk doctor`."""
    from edgesdk import verbs

    checks = verbs.doctor()
    if options.json:
        return _print_json([asdict(check) for check in checks])
    for check in checks:
        print(f"{'ok' if check.ok else '--'}  {check.name:<15} {check.found}")
        if check.fix and not check.ok:
            print(f"    {'':<15} {check.fix}")
    return 0


def _parser() -> argparse.ArgumentParser:
    start = "Start with: edgesdk convert --width 0.5 --res 160"
    parser = _Parser(prog="edgesdk", description=DESCRIPTION, epilog=start)
    parser.add_argument("--version", action="version", version=f"edgesdk {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def add(function: Callable[[argparse.Namespace], int], summary: str, example: str) -> argparse.ArgumentParser:
        name = function.__name__
        sub = verbs.add_parser(name, help=summary, description=summary, epilog=f"example:\n  {example}")
        sub.set_defaults(command=function)
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--quiet", action="store_true", help="no progress and no remarks on stderr")
        sub.add_argument("--verbose", action="store_true", help="show tracebacks")
        return sub

    command = add(train, "learn the classes of a folder of photos", "edgesdk train photos/ --width 0.75 --res 160")
    command.add_argument("data", metavar="DATA", help="one subfolder of photos a class, or digits")
    _add_network(command)
    command.add_argument("--weights", default="none", metavar="W", help="imagenet, a Keras .h5 file or none (default)")
    _add_learning(command)
    command.add_argument("--resume", action="store_true", help="continue what was interrupted in the run folder")
    command.add_argument("-o", "--out", type=Path, metavar="RUN", help="run folder (default: named by model and data)")

    command = add(convert, "make a proved .tflite", "edgesdk convert --width 0.5 --res 160 --data photos/ --max-drop 1")
    command.add_argument(
        "model", metavar="MODEL", nargs="?", type=Path, help="run folder of train; without it one is built"
    )
    command.add_argument("--data", metavar="DATA", help="photos to learn (without MODEL), calibrate and judge on")
    _add_network(command)
    command.add_argument("--weights", metavar="W", help="imagenet, a Keras .h5 file or none")
    command.add_argument(
        "--quantize",
        default="int8",
        choices=("float32", "float16", "dynamic", "int8", "int16x8"),
        help="float16 and dynamic shrink weights only, int8 everything, int16x8 with finer activations (default int8)",
    )
    command.add_argument(
        "--io",
        choices=("uint8", "int8", "float32"),
        help="input and output type (int8 files: uint8, which MediaPipe reads too)",
    )
    command.add_argument("--max-drop", type=float, metavar="POINTS", help="refuse a larger loss of top-1")
    command.add_argument(
        "--no-repair", action="store_true", help="plain quantization: neither equalization nor bias correction"
    )
    _add_learning(command)
    command.add_argument("-o", "--out", type=Path, metavar="FILE", help="the .tflite (default: named by model, data)")

    command = add(verify, "replay the golden outputs of a file here", "edgesdk verify model.tflite")
    command.add_argument("file", metavar="FILE", type=Path)
    _add_backend(command)

    command = add(
        inspect, "show what is inside a file, or what differs between two", "edgesdk inspect a.tflite b.tflite"
    )
    command.add_argument(
        "files", metavar="FILE", nargs="+", action=_OneOrTwo, type=Path, help="one or two .tflite files"
    )

    command = add(bench, "measure files on this machine", "edgesdk bench model.tflite --data photos/ --report b.html")
    command.add_argument("files", metavar="FILE", nargs="+", type=Path)
    command.add_argument("--data", metavar="DATA", help="labelled photos: adds accuracy on their test split")
    command.add_argument("--backend", type=_words, default=["auto"], metavar="B,..", help="litert, tflite-runtime")
    command.add_argument("--threads", type=_counts, default=[1], metavar="N,..", help="CPU threads, such as 1,2")
    command.add_argument("--quick", action="store_true", help="about a second each instead of about twenty")
    command.add_argument("--report", type=Path, metavar="FILE", help="write .html, .md, .csv or .json")

    command = add(run, "name what a camera sees", "edgesdk run model.tflite --source 0")
    command.add_argument("file", metavar="FILE", type=Path)
    command.add_argument(
        "--source", default="0", metavar="SRC", help="camera number, video, URL, photo folder or synthetic (default 0)"
    )
    command.add_argument("--events", type=Path, metavar="FILE", help="append one JSON object a line")
    command.add_argument("--frames", type=int, metavar="N", help="stop after N frames")
    _add_backend(command)

    add(doctor, "say what works here and how to get the rest", "edgesdk doctor")
    return parser


def _add_network(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--arch", default=ARCHITECTURES[0], metavar="A", help=f"{', '.join(ARCHITECTURES)} (default {ARCHITECTURES[0]})"
    )
    command.add_argument("--width", type=float, default=1.0, metavar="W", help="width multiplier (default 1.0)")
    command.add_argument("--res", type=int, default=224, metavar="R", help="input pixels a side (default 224)")
    command.add_argument(
        "--resize",
        default="crop",
        choices=("crop", "squash", "letterbox"),
        help="how a frame is made square (default crop)",
    )


def _network(options: argparse.Namespace) -> dict[str, Any]:
    return {"arch": options.arch, "width": options.width, "res": options.res, "resize": options.resize}


def _add_learning(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--transfer",
        default="auto",
        choices=("auto", "head", "finetune", "scratch"),
        help="new last layer only, then everything, or everything from nothing (default auto)",
    )
    command.add_argument("--epochs", type=int, default=0, metavar="N", help="default: by the amount of data")
    command.add_argument("--batch", type=int, default=32, metavar="N", help="images a step (default 32)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of everything random (default 0)")
    command.add_argument("--no-flip", action="store_true", help="a mirrored photo would be another class")


def _learning(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "transfer": options.transfer,
        "epochs": options.epochs,
        "batch": options.batch,
        "seed": options.seed,
        "flip": not options.no_flip,
    }


def _add_backend(command: argparse.ArgumentParser) -> None:
    command.add_argument("--backend", default="auto", metavar="B", help="auto, litert or tflite-runtime (default auto)")
    command.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default 1)")


def _words(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _print_json(value: Any) -> int:
    print(json.dumps(value, indent=1, ensure_ascii=False))
    return 0


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"edgesdk: {message}", file=sys.stderr)


def _after_stop(options: argparse.Namespace) -> str:
    return {
        "train": ": continue with the same command and --resume",
        "convert": ": the same command continues where it stopped",
    }.get(options.verb, "")


if __name__ == "__main__":
    sys.exit(main())
