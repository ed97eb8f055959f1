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
        help="measure on USER@HOST over OpenSSH (EDGESDK_SSH names another ssh command), or on the Android device "
        "adb:SERIAL with its benchmark_model, --backend litert, litert-gpu or nnapi (not verified on hardware)",
    )
    command.add_argument(
        "--fleet", type=Path, metavar="TOML", help="measure on every device of a file at once; see docs/bench.md"
    )
    command.add_argument(
        "--import", dest="logs", action="append", default=[], type=Path, metavar="LOG", help="a log of benchmark_model"
    )
    command.add_argument("--report", type=Path, metavar="FILE", help="write .html, .md, .csv or .json")


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
    return None if text == "auto" else int(text)


def counts(text: str) -> list[int | None]:
    """Numbers between commas, as `count`."""
    return [count(word) for word in text.split(",")]


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
