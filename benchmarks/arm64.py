"""The device side on 64-bit Arm, emulated: verify, classify and stream give what they give on this machine.

    python benchmarks/arm64.py FILE.tflite... --photos FOLDER [--video VIDEO]

A Debian bookworm arm64 root (80 MB) and the Arm wheels of numpy, OpenCV and both runtimes are fetched once into
edgesdk's cache folder; nothing in the root is executed but its Python, by QEMU's user emulation, so no root rights and
no binfmt are needed: `apt-get install -y mmdebstrap qemu-user-static`. Emulated, nothing is measured in milliseconds.

Writes benchmarks/results/<board>/arm64.md. Exit code: 0 if all agree, 1 if something differs, 77 (skipped) where the
root cannot be made.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
from results import save

from edgesdk import modelfile, open_source
from edgesdk.atomic import make_folder, write_text
from edgesdk.cache import cache_folder

ROOT = Path(__file__).parents[1]
SKIPPED = 77
PHOTOS = 20
FRAMES = 36
RUNTIMES = ("litert", "tflite-runtime")
PACKAGES = ("numpy", "ai-edge-litert", "tflite-runtime", "flatbuffers", "ml_dtypes", "protobuf", "typing_extensions")
OPENCV = "opencv-python-headless==4.11.0.86"  # the root has no libGL
PLATFORMS = tuple(f"manylinux{name}_aarch64" for name in ("2014", "_2_17", "_2_27", "_2_28", "_2_34"))
#: What a board with two cores of a Raspberry Pi 4 (Cortex-A72) says of itself.
CPU_FILES = {
    "proc/cpuinfo": "".join(
        f"processor\t: {core}\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n"
        for core in range(2)
    ),
    "sys/devices/system/cpu/possible": "0-1\n",
    "sys/devices/system/cpu/present": "0-1\n",
}

# Runs on both sides. Arguments: backend, model, folder of photos, number of photos, folder of a video's frames or "".
JOB = """
import json, platform, sys, warnings
from edgesdk import Classifier, Stream, open_source
warnings.simplefilter("ignore")
backend, model, photos, count, frames = sys.argv[1:]
found = {"machine": platform.machine(), "stream": []}
with Classifier(model, backend=backend, threads=1) as classify:
    checked = classify.verify()
    found["verify"] = [checked.ok, checked.max_difference, checked.tolerance]
    with open_source(photos) as source:
        seen = list(source)
    chosen = seen[:: max(1, len(seen) // int(count))][: int(count)]
    found["photos"] = [dict(classify(frame.image, top=len(classify.labels)).top) for frame in chosen]
    if frames:
        with Stream(open_source(frames), classify) as stream:
            found["stream"] = [[answer.label, answer.score] for answer in stream]
print(json.dumps(found))
"""


class UnavailableError(Exception):
    """The Arm root cannot be made here."""


def arm_python(folder: Path) -> list[str]:
    """The command that starts Arm's Python; root and wheels are fetched where they are missing.

    Raises:
        UnavailableError: says what to install, or why fetching failed.
    """
    tools = {name: shutil.which(name) for name in ("qemu-aarch64-static", "mmdebstrap")}
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        raise UnavailableError(f"{', '.join(missing)} not found: apt-get install -y mmdebstrap qemu-user-static")
    root, site = folder / "root", folder / "site"
    if not root.is_dir():
        # "extract" runs no program of the root: no emulation is needed to make it.
        _fetch(
            root,
            "mmdebstrap",
            "--variant=extract",
            "--arch=arm64",
            "--include=python3.11,libstdc++6,libgomp1",
            "bookworm",
        )
    # Without these QEMU shows the host's, and XNNPACK takes an x86 processor for an Arm one and dies.
    for name, text in CPU_FILES.items():
        write_text(make_folder((root / name).parent) / Path(name).name, text)
    if not site.is_dir():
        wanted = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]
        options = [f"--platform={name}" for name in PLATFORMS]
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python-version=3.11",
            "--only-binary=:all:",
        ]
        _fetch(site, *pip, *options, *wanted, OPENCV, "--target")
    path = os.pathsep.join(map(str, (site, ROOT / "sdk", ROOT / "device")))
    variables = {
        "PYTHONHOME": root / "usr",
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": 1,
        "OPENBLAS_NUM_THREADS": 1,
    }
    settings = [word for name, value in variables.items() for word in ("-E", f"{name}={value}")]
    return [
        str(tools["qemu-aarch64-static"]),
        "-cpu",
        "cortex-a72",
        "-L",
        str(root),
        *settings,
        str(root / "usr/bin/python3.11"),
    ]


def _fetch(target: Path, *command: str) -> None:
    """Run a command that makes a folder, aside first; its last argument is the folder."""
    aside = target.with_name(f"{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    done = subprocess.run([*command, str(aside)], capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"{command[0]} failed: {' '.join(done.stderr.split())[-300:]}")
    aside.rename(target)


def keep_frames(video: Path, folder: Path) -> str:
    """The folder, with the first frames of the video in it.

    Decoded once, here: FFmpeg's colour conversion on Arm differs from that on x86 by up to 3 grey levels, which would
    stand in the table as a difference of the model's.
    """
    with open_source(video) as source:
        for frame in itertools.islice(source, FRAMES):
            cv2.imwrite(str(folder / f"{frame.index:04}.png"), frame.image)
    return str(folder)


def ask(python: list[str], *arguments: str) -> dict[str, Any]:
    """What the job answers under that Python."""
    done = subprocess.run([*python, "-c", JOB, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{Path(python[0]).name} failed ({done.returncode}): {done.stderr[-1000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def compare(here: dict[str, Any], there: dict[str, Any], tolerance: float) -> tuple[bool, tuple[str, ...]]:
    """Whether the two sides agree, and a table's cells: verify, equal labels, largest difference of a score."""
    pairs = list(zip(here["photos"], there["photos"], strict=True))
    equal = sum(max(a, key=a.get) == max(b, key=b.get) for a, b in pairs)
    differences = [abs(a[label] - b[label]) for a, b in pairs for label in a]
    frames = list(zip(here["stream"], there["stream"], strict=True))
    alike = sum(a[0] == b[0] for a, b in frames)
    differences += [abs(a[1] - b[1]) for a, b in frames if a[0] == b[0]]
    verified, golden, _ = there["verify"]
    agrees = verified and equal == len(pairs) and alike == len(frames) and max(differences) <= tolerance
    cells = (
        f"{golden:.2g}",
        f"{equal} of {len(pairs)}",
        f"{alike} of {len(frames)}",
        f"{max(differences):.2g}",
        f"{tolerance:.2g}",
    )
    return agrees, cells


def find_arm() -> list[str] | None:
    """The command of the emulated Python, its root made where it is missing; None, and why, where that cannot be."""
    try:
        return arm_python(make_folder(cache_folder() / "arm64"))
    except UnavailableError as reason:
        print(f"skipped: {reason}", file=sys.stderr)
        return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--photos", required=True, type=Path)
    parser.add_argument("--video", type=Path)
    options = parser.parse_args()
    arm = find_arm()
    if arm is None:
        return SKIPPED
    head = (
        "file",
        "runtime",
        "golden outputs differ by",
        "equal labels, photos",
        "equal labels, stream",
        "scores differ by",
        "allowed",
        "",
    )
    lines, ok = [head, ("---",) * len(head)], True
    with tempfile.TemporaryDirectory() as scratch:
        frames = "" if options.video is None else keep_frames(options.video, Path(scratch))
        for path, runtime in itertools.product(options.files, RUNTIMES):
            contract = modelfile.read(path).required_contract()
            question = (runtime, str(path), str(options.photos), str(PHOTOS), frames)
            here, there = ask([sys.executable], *question), ask(arm, *question)
            assert there["machine"] == "aarch64", there["machine"]
            agrees, cells = compare(here, there, contract.tolerance["cpu"])
            lines.append((path.name, runtime, *cells, "agrees" if agrees else "DIFFERS"))
            ok = ok and agrees
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("ai-edge-litert", "tflite-runtime"))
    note = f"aarch64 under QEMU's user emulation against x86-64; {versions}"
    print(f"{table}\n\n{note}")
    save("arm64.md", f"{table}\n\n{note}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
