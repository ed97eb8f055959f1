"""How commands print."""

import json
from typing import Any


def print_json(value: Any) -> int:
    """One JSON value on stdout; returns exit code 0."""
    print(json.dumps(value, indent=1, ensure_ascii=False))
    return 0


def percent(share: float | None) -> str:
    """A share of 0 to 1 for people."""
    return "unknown" if share is None else f"{100 * share:.1f} %"
