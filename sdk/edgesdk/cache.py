"""The one folder outside the user's own where edgesdk keeps things."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where downloads and the embedded digits are kept: $EDGESDK_CACHE, else the platform's cache folder."""
    if named := os.environ.get("EDGESDK_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgesdk"
