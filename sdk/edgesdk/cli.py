"""The command line: parse, call one verb, print. Results go to stdout, everything else to stderr."""

import argparse
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from edgesdk.choice import name_place, name_runtime
from edgesdk.commands import codec as codeccommands
from edgesdk.commands import generative as generativecommands
from edgesdk.commands import phone as phonecommands
from edgesdk.commands import run as runapp
from edgesdk.commands import scale as scalecommands
from edgesdk.commands.options import build_parser
from edgesdk.errors import EdgeSDKError
from edgesdk.generation import is_generated
from edgesdk.runfolder import Methods, name_run_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0, 1 for an `EdgeSDKError`, 2 for wrong usage, 3 for `bench` that found something slower, 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(arguments)
    options.typed = ["edgesdk", *arguments]
    warnings.showwarning = _show_warning
    try:
        return COMMANDS[options.verb](options)
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
    from edgesdk.verbs import codec as codecverbs

    team = scalecommands.make_team(options)
    if options.arch in codecverbs.CODECS or options.camera is not None:
        return codeccommands.train(options)

    if generativecommands.generates(options):
        return generativecommands.train(options)
    done = verbs.train(
        options.data,
        **_network(options),
        **_learning(options),
        methods=_methods(options),
        teacher=options.teacher,
        time_budget=options.time_budget,
        tensorboard=options.tensorboard,
        weights=options.weights,
        init_from=options.init_from,
        resume=options.resume,
        team=team,
        out=options.out,
        quiet=options.quiet,
    )
    folder = options.out or name_run_folder(done.spec, done.source.dataset)
    if options.json:
        return _print_json({"path": str(folder), **asdict(done)})
    if done.top1 is None:
        print(f"{folder}: {done.source.weights} as they are, {len(done.classes)} classes")
    else:
        print(f"{folder}: {_percent(done.top1)} of {done.top1_n} test images right")
    for true, answered, count in done.confusions[:3]:
        print(f"  {count} x {true} taken for {answered}")
    print(f"next: edgesdk convert {folder}")
    return 0


def convert(options: argparse.Namespace) -> int:
    """`edgesdk convert`."""
    from edgesdk import verbs
    from edgesdk.reports import report

    if is_generated(options.model):
        return generativecommands.convert(options)
    made = verbs.convert(
        options.model,
        **_network(options),
        **_learning(options),
        data=options.data,
        weights=options.weights,
        values=options.values,
        labels=options.labels,
        trust=options.trust,
        recipe=options.recipe,
        quantize=options.quantize,
        io=options.io,
        quantizer=options.quantizer,
        shrink=options.shrink,
        prune=options.prune,
        cluster=options.cluster,
        qat=options.qat,
        max_drop=options.max_drop,
        min_snr=options.min_snr,
        repairs=() if options.no_repair else None,
        out=options.out,
        quiet=options.quiet,
    )
    if options.json:
        return _print_json(made.to_json())
    facts = made.to_json()
    proved = facts["accuracy"]
    print(f"{made.path}  ({facts['size_bytes'] / 1000:.0f} kB, {facts['gzip_bytes'] / 1000:.0f} kB gzipped)")
    print(f"  {facts['macs'] / 1e6:.1f} M multiply-adds, {facts['parameters'] / 1e6:.2f} M parameters")
    if not made.contract.output.classifies:
        print(f"  no classifier: its output is {made.contract.output.kind}")
    elif proved is None:
        state = "trained, not judged: no data was given" if facts["trained"] else "random weights: only size and speed"
        print(f"  accuracy unknown ({state})")
    else:
        low, high = (_percent(value) for value in proved["ci95"])
        print(
            f"  top-1 on {proved['n']} held-out images: network {_percent(proved['float'])}, float .tflite "
            f"{_percent(proved['float_tflite'])}, this file {_percent(proved['final'])} (95 %: {low} to {high}), "
            f"same answer {_percent(facts['agreement'])}"
        )
    ran = ", ".join(f"{row['runtime']} {row['version']}" for row in facts["runtimes"] if row["ok"])
    print(f"  gave its golden outputs in {ran}, each in a process of its own")
    (measured,), _ = report.split_rows(verbs.bench([made.path], backends=["litert"], threads=[1], quick=True))
    print(
        f"  {measured.invoke_ms.p50:.2f} ms invoke, {measured.frame_ms.p50:.2f} ms frame to label here "
        f"(medians, quick, {measured.backend}, 1 thread)"
    )
    print(f"next: edgesdk verify {made.path}; edgesdk run {made.path} --source 0")
    return 0


def verify(options: argparse.Namespace) -> int:
    """`edgesdk verify`: exit code 1 where an output differs."""
    from edgesdk import verbs

    result = verbs.verify(options.file, **_backend(options), trust=bool(options.trust))
    if options.json:
        _print_json(asdict(result))
    else:
        name = name_runtime(result.backend, result.choice.threads, result.delegate)
        found = "NaN" if result.max_difference is None else f"{result.max_difference:.2g}"
        verdict = "agrees" if result.ok else "DISAGREES"
        print(f"{options.file}: {verdict} with its {result.inputs} golden outputs on {name}")
        print(f"  largest difference {found}, allowed {result.tolerance:.2g}")
        place = name_place(result.backend, result.delegate)
        print(f"  {result.delegated_nodes} of {result.nodes} operations on {place}")
    return 0 if result.ok else 1


def inspect(options: argparse.Namespace) -> int:
    """`edgesdk inspect`: one file or run whole, or what differs between two files."""
    from edgesdk import inspection, verbs
    from edgesdk.reports import runreport

    if options.activations or options.report or options.files[0].is_dir():
        if len(options.files) > 1:
            raise ValueError(f"{len(options.files)} names beside a run folder, expected it alone")
        looked = verbs.inspect_run(options.files[0], activations=options.activations, report=options.report)
        if options.json:
            return _print_json(runreport.as_json(looked))
        print("\n".join(runreport.as_text(looked)))
        return 0
    found = [verbs.inspect(path) for path in options.files]
    if options.json:
        facts = [inspection.as_json(item) for item in found]
        return _print_json(facts[0] if len(facts) == 1 else facts)
    lines = inspection.as_text(found[0]) if len(found) == 1 else inspection.difference(*found)
    print("\n".join(lines))
    return 0


def bench(options: argparse.Namespace) -> int:
    """`edgesdk bench`."""
    from edgesdk.commands import bench as benchapp

    return benchapp.bench(options, _delegate(options))


def choose(options: argparse.Namespace) -> int:
    """`edgesdk choose`."""
    from edgesdk.commands import choose as chooseapp

    return chooseapp.choose(options)


def run(options: argparse.Namespace) -> int:
    """`edgesdk run`: the camera app, or a codec's session of the source."""
    return runapp.run(options) if options.compress is None else codeccommands.record(options)


def doctor(options: argparse.Namespace) -> int:
    """`edgesdk doctor`."""
    from edgesdk import verbs

    checks = verbs.doctor(options.file, delegate=_delegate(options))
    if options.json:
        return _print_json([asdict(check) for check in checks])
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{'ok' if check.ok else '--'}  {check.name:<{width}}  {check.found}")
        if check.fix and not check.ok:
            print(f"    {'':<{width}}  {check.fix}")
    return 0


def _network(options: argparse.Namespace) -> dict[str, Any]:
    return {"arch": options.arch, "width": options.width, "res": options.res, "resize": options.resize}


def _learning(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "transfer": options.transfer,
        "cut": options.cut,
        "epochs": options.epochs,
        "batch": options.batch or 32,
        "seed": options.seed,
        "flip": not options.no_flip,
    }


def _methods(options: argparse.Namespace) -> Methods:
    return Methods(
        augment=options.augment,
        mix=options.mix,
        label_smoothing=options.label_smoothing,
        class_weights=options.class_weights,
        clip_norm=options.clip_norm,
        ema=options.ema,
        mixed_precision=options.mixed_precision,
    )


def _backend(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "backend": options.backend,
        "threads": options.threads,
        "delegate": _delegate(options),
        "quiet": options.quiet,
    }


def _delegate(options: argparse.Namespace) -> Any:
    if options.delegate is None:
        if options.delegate_options:
            raise ValueError("--delegate-option without --delegate")
        return None
    from edgesdk import Delegate

    return Delegate(path=options.delegate, options=dict(options.delegate_options))


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
        "choose": ": the same command continues where it stopped",
        "pack": ": the same command continues where it stopped",
    }.get(options.verb, "")


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "train": train,
    "convert": convert,
    "verify": verify,
    "inspect": inspect,
    "bench": bench,
    "choose": choose,
    "pack": scalecommands.pack,
    "run": run,
    "compress": codeccommands.compress,
    "decompress": codeccommands.decompress,
    "generate": generativecommands.generate,
    "augment": generativecommands.augment,
    "phone": phonecommands.phone,
    "web": phonecommands.web,
    "doctor": doctor,
}

if __name__ == "__main__":
    sys.exit(main())
