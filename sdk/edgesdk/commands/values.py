"""What the command line reads from a word: numbers, sizes, times, pairs; argparse says what was wrong with it."""

import argparse
import math
from collections.abc import Callable


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


def floats(text: str) -> list[float]:
    """Numbers between commas."""
    try:
        return [_finite(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} are no numbers between commas, such as 0.25,0.5") from error


def integers(text: str) -> list[int]:
    """Whole numbers between commas."""
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} are no whole numbers between commas, such as 128,160") from error


def milliseconds(text: str) -> float:
    """Milliseconds, with or without their unit."""
    try:
        return _finite(text.removesuffix("ms"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, expected milliseconds such as 30ms") from error


def size(text: str) -> float:
    """Bytes, also as kB, MB or GB."""
    number, factor = text, 1.0
    for unit, value in (("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if text.endswith(unit):
            number, factor = text.removesuffix(unit), value
    try:
        return _finite(number) * factor
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no size, expected bytes such as 900kB or 1MB") from error


def place(text: str) -> str:
    """Where to measure: USER@HOST, phone or adb:SERIAL."""
    kind, colon, serial = text.partition(":")
    if (colon and kind == "adb" and serial) or (not colon and text and not text.startswith("-")):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no USER@HOST and no adb:SERIAL")


def named_value(text: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def pair(mark: str) -> Callable[[str], tuple[int, int]]:
    """What reads two whole numbers with this mark between them."""

    def read(text: str) -> tuple[int, int]:
        first, _, second = text.partition(mark)
        try:
            return int(first), int(second)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no pair of whole numbers such as 3{mark}5") from error

    return read


def duration(text: str) -> float:
    """Seconds, also as s, m or h."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    try:
        return _finite(number) * unit
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, expected such as 90s, 10m or 1h") from error


def _finite(text: str) -> float:
    """A number; ValueError also for nan and inf, which keep or miss every limit."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number
