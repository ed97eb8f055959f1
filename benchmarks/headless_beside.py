"""OpenCV's wheel without windows beside the installed one; for `device.py`."""

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from edgesdk.atomic import make_folder
from edgesdk.cache import cache_folder
from edgesdk.progress import remark


def headless_opencv() -> Path | None:
    """A folder with OpenCV's wheel without windows, of the installed version; None where it cannot be fetched."""
    wanted = f"opencv-python-headless=={version('opencv-python')}"
    folder = cache_folder() / wanted
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=make_folder(folder.parent)) as scratch:
            install = ("install", "-q", "--no-deps", "--retries", "1", "--target", f"{scratch}/whole", wanted)
            if subprocess.run([sys.executable, "-m", "pip", *install], capture_output=True).returncode:
                remark(f"without {wanted}: pip cannot install it", quiet=False)
                return None
            Path(scratch, "whole").rename(folder)
    return folder
