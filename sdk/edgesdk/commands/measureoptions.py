"""The command line's options of `bench` and `choose`, and those that they share with others."""

import argparse
from pathlib import Path


def add_bench(command: argparse.ArgumentParser) -> None:
    """The options of `bench`."""
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
        type=_place,
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


def add_choose(command: argparse.ArgumentParser) -> None:
    """The options of `choose`, but for those of learning."""
    command.add_argument("data", metavar="DATA", help="labelled photos, as of train")
    grid = command.add_argument_group("grid")
    grid.add_argument("--archs", type=words, default=["mobilenet_v1"], metavar="A,..", help="default mobilenet_v1")
    grid.add_argument(
        "--widths", type=_floats, default=[0.25, 0.5, 0.75, 1.0], metavar="W,..", help="default 0.25,0.5,0.75,1"
    )
    grid.add_argument(
        "--resolutions", type=_integers, default=[128, 160, 192, 224], metavar="R,..", help="default 128,160,192,224"
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
    group.add_argument("--budget", type=_milliseconds, metavar="MS", help="of one invoke, p90, such as 30ms")
    group.add_argument("--max-size", type=size, metavar="BYTES", help="of the file, such as 1MB")
    group.add_argument("--max-ram", type=size, metavar="BYTES", help="that the model adds to a process, such as 20MB")
    group.add_argument("--min-accuracy", type=float, metavar="PERCENT", help="top-1 of the test photos")
    command.add_argument("--on", metavar="USER@HOST", help="measure there over OpenSSH")
    command.add_argument("--quick", action="store_true", help="about two seconds for each measurement")
    command.add_argument("--work", type=Path, metavar="DIR", help="what is kept and found again (default choose_DATA)")
    command.add_argument("--report", type=Path, metavar="FILE", help="write .html, .md, .csv or .json")
    command.add_argument("-o", "--out", type=Path, metavar="FILE", help="the .tflite (default: named by model, data)")


def add_delegate(command: argparse.ArgumentParser) -> None:
    """`--delegate` and what it is told."""
    command.add_argument("--delegate", metavar="LIB", help="external delegate: a shared library that takes operations")
    command.add_argument(
        "--delegate-option",
        dest="delegate_options",
        type=_named_value,
        action="append",
        default=[],
        metavar="K=V",
        help="what the delegate is told; may be repeated",
    )


def words(text: str) -> list[str]:
    """Words between commas."""
    return text.split(",")


def count(text: str) -> int | None:
    """A number, None for "auto"."""
    try:
        return None if text == "auto" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, and not auto") from error


def counts(text: str) -> list[int | None]:
    """Numbers between commas, as `count`."""
    return [count(word) for word in text.split(",")]


def _floats(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers between commas, such as 0.25,0.5") from error


def _integers(text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} are no whole numbers between commas, such as 128,160") from error


def _milliseconds(text: str) -> float:
    try:
        return float(text.removesuffix("ms"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, expected milliseconds such as 30ms") from error


def size(text: str) -> float:
    """Bytes, also as kB, MB or GB."""
    number, factor = text, 1.0
    for unit, value in (("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if text.endswith(unit):
            number, factor = text.removesuffix(unit), value
    try:
        return float(number) * factor
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, expected bytes such as 900kB or 1MB") from error


def _place(text: str) -> str:
    kind, colon, serial = text.partition(":")
    if (colon and kind == "adb" and serial) or (not colon and text and not text.startswith("-")):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no USER@HOST and no adb:SERIAL")


def _named_value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value
