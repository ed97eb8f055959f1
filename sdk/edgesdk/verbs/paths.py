"""What the verbs that take several files are given."""

from collections.abc import Sequence
from pathlib import Path

Paths = Path | str | Sequence[Path | str]


def each(paths: Paths) -> Sequence[Path | str]:
    """The paths; one that stands alone is one of them, and no sequence of letters."""
    return [paths] if isinstance(paths, Path | str) else paths
