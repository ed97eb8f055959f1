"""Streams made here decode to the same integers in both runtimes, here and on emulated 64-bit Arm.

    python benchmarks/codec_arm64.py --shared DIR

The entropy coder is whole numbers in NumPy, so the codes must be equal; the networks' kernels may round differently,
and the table says by how many grey levels the pictures differ from LiteRT's here. `arm64.py` makes the Arm root.

Writes benchmarks/results/<board>/codec_streams.md. Exit code: as `arm64.py`'s.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from arm64 import RUNTIMES, SKIPPED, find_arm
from results import save

from edgesdk.atomic import make_folder
from edgesdk_device.codec import Codec

# Runs on both sides. Arguments: backend, a folder of streams, a folder for pictures.
JOB = """
import hashlib, json, platform, sys, warnings
from pathlib import Path
import numpy as np
from edgesdk.codecs.stream import CHECK_BYTES, unpack_head
from edgesdk_device.codec import Codec, codec_of
warnings.simplefilter("ignore")
backend, streams, out = sys.argv[1:]
found = {"machine": platform.machine(), "codes": []}
for path in sorted(Path(streams).glob("*.edc")):
    data = path.read_bytes()
    with Codec(codec_of(data), backend=backend) as codec:
        head, end = unpack_head(data)
        code, _ = codec.unpack(data[end + CHECK_BYTES:], head)
        found["codes"].append(hashlib.sha256(code.tobytes()).hexdigest())
        np.save(Path(out) / f"{path.stem}.npy", codec.decompress(data))
print(json.dumps(found))
"""


def ask(python: list[str], backend: str, streams: Path, out: Path) -> dict[str, Any]:
    """The codes' digests under that Python; the pictures come to lie in `out`."""
    arguments = [*python, "-c", JOB, backend, str(streams), str(make_folder(out))]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{Path(python[0]).name}, {backend} failed ({done.returncode}): {done.stderr[-1000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def make_streams(shared: Path, folder: Path) -> None:
    """Photos at several qualities, grey ones, thumbnails, by LiteRT."""
    paths = sorted((shared / "datasets/kodak").glob("*.png"))[::5]
    with Codec("photo", backend="litert") as photo, Codec("thumbnail", backend="litert") as thumbnail:
        for index, path in enumerate(paths):
            frame = cv2.imread(str(path))
            for quality in (1, 50, 100):
                small = np.ascontiguousarray(frame[: 200 + 8 * quality // 2, :320])
                (folder / f"photo_{index}_{quality}.edc").write_bytes(photo.compress(small, quality))
            (folder / f"grey_{index}.edc").write_bytes(photo.compress(frame[:100, :150, 1], 50))
            (folder / f"thumbnail_{index}.edc").write_bytes(thumbnail.compress(frame, 50))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", required=True, type=Path)
    options = parser.parse_args()
    arm = find_arm()
    if arm is None:
        return SKIPPED
    lines = ["| decoded by | equal codes | pictures differ by at most |", "| --- | --- | --- |"]
    ok = True
    with tempfile.TemporaryDirectory() as work:
        streams = make_folder(Path(work) / "streams")
        make_streams(options.shared, streams)
        first = ask([sys.executable], "litert", streams, Path(work) / "first")
        for name, python in (("x86-64", [sys.executable]), ("emulated aarch64", arm)):
            for runtime in RUNTIMES:
                out = Path(work) / f"{name}_{runtime}"
                found = ask(python, runtime, streams, out)
                equal = sum(a == b for a, b in zip(first["codes"], found["codes"], strict=True))
                levels = max(
                    int(np.abs(np.load(path).astype(int) - np.load(Path(work) / "first" / path.name)).max())
                    for path in out.iterdir()
                )
                lines.append(f"| {runtime}, {name} | {equal} of {len(found['codes'])} | {levels} grey levels |")
                ok = ok and equal == len(found["codes"]) > 0
    text = "\n".join([*lines, "", "Streams made by LiteRT on x86-64; each also passed its checksum."])
    print(text)
    save("codec_streams.md", text)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
