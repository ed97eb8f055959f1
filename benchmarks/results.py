"""Where benchmark results are kept: benchmarks/results/<board>/, one folder a machine."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def save_table(
    name: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str, facts: Mapping[str, Mapping[str, Any]]
) -> None:
    """Print a table and keep it as Markdown, and what it was made of, without paths of this machine, as JSON."""
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    print(f"{table}\n\n{note}")
    save(f"{name}.md", f"{table}\n\n{note}")
    save(f"{name}.json", json.dumps({key: {**value, "path": ""} for key, value in facts.items()}, indent=1))


def earlier_facts(name: str) -> dict[str, Any]:
    """What this machine's table of that name was made of, {} if there is none: for rows not measured again."""
    path = board_folder() / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}
