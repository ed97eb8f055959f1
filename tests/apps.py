"""The camera app in a process of its own, and what it wrote."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgesdk.converted import Converted

#: Starts `edgesdk run` on a file with these flags, in a process that ends with the test at the latest.
StartApp = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def running_apps() -> Iterator[StartApp]:
    """`edgesdk run` on one thread of LiteRT, as often as it is called; what still runs at the end is killed."""
    started = []

    def start(file: Converted | Path, *more: str) -> "subprocess.Popen[str]":
        path = file if isinstance(file, Path) else file.path
        command = [sys.executable, "-m", "edgesdk.cli", "run", str(path), "--backend", "litert", "--threads", "1"]
        app = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(app)
        return app

    try:
        yield start
    finally:
        for app in started:
            app.kill()
            app.communicate()


def until(true: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for something that is true; returns it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The events in a file of them."""
    return [json.loads(line) for line in path.read_text().splitlines()]
