"""Where benchmark results are kept: benchmarks/results/<board>/, one folder a machine."""

import re
from pathlib import Path

from edgesdk.atomic import make_folder, write_text
from edgesdk_device.board import board_name


def board_folder() -> Path:
    """The folder of this machine, named by its processor."""
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(r\)|\(tm\)|cpu|@.*?ghz", "", board_name().lower())).strip("-")
    return make_folder(Path(__file__).parent / "results" / name)


def save(name: str, text: str) -> None:
    """Write one result and say where."""
    print(
        f"written: {write_text(board_folder() / name, text.rstrip() + chr(10)).relative_to(Path(__file__).parents[1])}"
    )
