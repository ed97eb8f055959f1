"""How commands print."""

import json
import shlex
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> int:
    """One JSON value on stdout; returns exit code 0."""
    print(json.dumps(value, indent=1, ensure_ascii=False))
    return 0


def print_next(*commands: Sequence[object]) -> None:
    """What to type next, each command without `edgesdk` before it; a path with spaces stays one word of a shell."""
    print("next: " + "; ".join(shlex.join(["edgesdk", *map(str, command)]) for command in commands))


def millions(count: int, digits: int) -> str:
    """A count in millions, or as it is where that would say nothing."""
    return f"{count / 1e6:.{digits}f} M" if count >= 100_000 else f"{count:,}"


def percent(share: float | None) -> str:
    """A share of 0 to 1 for people."""
    return "unknown" if share is None else f"{100 * share:.1f} %"
