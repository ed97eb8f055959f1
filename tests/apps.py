"""The camera app in a process of its own, and what it wrote."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgesdk.converted import Converted


def start_app(file: Converted, *more: str) -> "subprocess.Popen[str]":
    """`edgesdk run` on the file, on one thread of LiteRT."""
    command = [
        sys.executable,
        "-m",
        "edgesdk.cli",
        "run",
        str(file.path),
        "--backend",
        "litert",
        "--threads",
        "1",
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait until it is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The events in a file of them."""
    return [json.loads(line) for line in path.read_text().splitlines()]
