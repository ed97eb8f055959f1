"""What works on this machine, found by trying it, and how to get the rest."""

import importlib.metadata
import sys
from importlib.util import find_spec
from pathlib import Path

from edgesdk.cache import cache_folder
from edgesdk.results import Check
from edgesdk_device.backends import BACKENDS
from edgesdk_device.board import board_name, governor, temperature_c

_VIDEO_PARTS = ("FFMPEG:", "GStreamer:", "v4l/v4l2:", "AVFoundation:")


def probe() -> list[Check]:
    """One line a part: machine, runtimes, camera, extras."""
    return [_machine(), *map(_runtime, BACKENDS), _opencv(), _cameras(), *_extras(), _cache()]


def _machine() -> Check:
    facts = [board_name(), f"Python {sys.version.split()[0]}"]
    if (heat := temperature_c()) is not None:
        facts.append(f"{heat:.0f} °C")
    if governor():
        facts.append(f"governor {governor()}")
    return Check(name="machine", ok=True, found=", ".join(facts))


def _runtime(name: str) -> Check:
    runtime = BACKENDS[name]
    if not runtime.installed:
        return Check(name=name, ok=False, found="not installed", fix=runtime.install)
    version = importlib.metadata.version(runtime.package)
    try:
        # Importing is not enough: under numpy 2, tflite-runtime imports and then fails to build an interpreter.
        __import__(f"{runtime.module}.interpreter", fromlist=["Interpreter"]).Interpreter(model_content=b"")
    except ValueError:  # it works so far that it refuses an empty model
        return Check(name=name, ok=True, found=f"{version}, CPU (XNNPACK)")
    except Exception as error:  # whatever it raises is what the user must know
        fix = (
            "pip install 'numpy<2'"
            if "_ARRAY_API" in str(error)
            else f"pip install --force-reinstall {runtime.package}"
        )
        reason = " ".join(str(error).split())[:100]
        return Check(name=name, ok=False, found=f"{version}, does not run: {reason}", fix=fix)
    return Check(name=name, ok=True, found=version)


def _opencv() -> Check:
    try:
        import cv2
    except ImportError as error:
        fix = "apt-get install libgl1 libglib2.0-0" if "libGL" in str(error) else "pip install opencv-python"
        return Check(name="opencv", ok=False, found=f"does not load ({error})", fix=fix)
    built = [line.split() for line in cv2.getBuildInformation().splitlines()]
    parts = [word[0].rstrip(":") for word in built if word[1:2] == ["YES"] and word[0] in _VIDEO_PARTS]
    return Check(name="opencv", ok=True, found=f"{cv2.__version__} with {', '.join(parts) or 'no video part'}")


def _cameras() -> Check:
    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    if found:
        return Check(name="cameras", ok=True, found=", ".join(found))
    fix = "plug one in; a Raspberry Pi's ribbon camera needs picamera2 (apt-get install python3-picamera2)"
    return Check(name="cameras", ok=False, found="no /dev/video*", fix=fix)


def _extras() -> list[Check]:
    checks = []
    for extra, modules, purpose in (
        ("train", ("tensorflow", "tf_keras", "sklearn"), "train and convert"),
        ("report", ("jinja2",), "bench --report"),
    ):
        missing = [module for module in modules if find_spec(module) is None]
        found = f"not installed: {', '.join(missing)} (for {purpose})" if missing else f"installed ({purpose})"
        fix = f"pip install 'edgesdk[{extra}]'" if missing else ""
        checks.append(Check(name=f"extra {extra}", ok=not missing, found=found, fix=fix))
    return checks


def _cache() -> Check:
    return Check(name="cache", ok=True, found=f"{cache_folder()} (EDGESDK_CACHE names another)")
