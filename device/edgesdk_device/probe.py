"""What works on this machine, found by trying it, and how to get the rest."""

import importlib.metadata
import sys
from importlib.util import find_spec
from pathlib import Path

from edgesdk import modelfile
from edgesdk.cache import cache_folder
from edgesdk.choice import Trial, name_place
from edgesdk.errors import BackendError
from edgesdk.results import Check
from edgesdk_device.auto import settle, try_file
from edgesdk_device.backends import BACKENDS, Delegate
from edgesdk_device.backends.litert_gpu import has_driver
from edgesdk_device.board import board_name, governor, temperature_c

_VIDEO_PARTS = ("FFMPEG:", "GStreamer:", "v4l/v4l2:", "AVFoundation:")


def probe() -> list[Check]:
    """One line a part: machine, runtimes, camera, extras."""
    runtimes = [_runtime(name) for name in BACKENDS if BACKENDS[name].family == "cpu"]
    return [_machine(), *runtimes, _gpu(), _delegates(), _opencv(), _cameras(), *_extras(), _cache()]


def probe_file(path: Path, delegate: Delegate | None = None) -> list[Check]:
    """One line a runtime that was tried with the file, in a process of its own, and what "auto" takes from now on.

    Raises:
        ModelFileError: if the file is missing, damaged or has no contract.
    """
    file = modelfile.read(path)
    file.required_contract()
    tried = try_file(file, delegate)
    checks = [Check(name=trial.name, ok=not trial.reason, found=_tell(trial)) for trial in tried]
    try:
        choice = str(settle(file, "auto", None, tried))
        return [*checks, Check(name="auto", ok=True, found=choice)]
    except BackendError:
        return [
            *checks,
            Check(name="auto", ok=False, found="none gives the golden outputs", fix="see each one's reason"),
        ]


def _tell(trial: Trial) -> str:
    if trial.reason:
        return trial.reason
    place = trial.device or name_place(trial.backend, trial.delegate)
    return (
        f"{trial.p50_ms:.2f} ms (p90 {trial.p90_ms:.2f}), {trial.cpu_over_wall:.2f} CPUs, {trial.delegated_nodes} of "
        f"{trial.nodes} operations on {place}, golden outputs within "
        f"{trial.max_difference:.2g}"
    )


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


def _gpu() -> Check:
    runtime = BACKENDS["litert-gpu"]
    if not runtime.installed:
        return Check(name="litert-gpu", ok=False, found="not installed", fix=runtime.install)
    if not has_driver():
        fix = "install the Vulkan driver of the board's maker, or Mesa (apt-get install mesa-vulkan-drivers)"
        return Check(name="litert-gpu", ok=False, found="no Vulkan driver is installed", fix=fix)
    return Check(
        name="litert-gpu", ok=True, found="a driver is there: `edgesdk doctor FILE` says whether it runs a model"
    )


def _delegates() -> Check:
    return Check(
        name="delegates",
        ok=True,
        found="loaded by path, `--delegate LIB` (Edge TPU, Arm NN, GPU); NNAPI and Hexagon on Android only",
    )


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
        ("app", ("aiohttp", "paho"), "run --serve and --mqtt"),
        ("phone", ("aiohttp", "cryptography", "segno"), "phone and web"),
    ):
        missing = [module for module in modules if find_spec(module) is None]
        found = f"not installed: {', '.join(missing)} (for {purpose})" if missing else f"installed ({purpose})"
        fix = f"pip install 'edgesdk[{extra}]'" if missing else ""
        checks.append(Check(name=f"extra {extra}", ok=not missing, found=found, fix=fix))
    return checks


def _cache() -> Check:
    return Check(name="cache", ok=True, found=f"{cache_folder()} (EDGESDK_CACHE names another)")
