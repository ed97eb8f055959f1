"""The codec against JPEG, WebP, AVIF and BlurHash: rate and distortion, thumbnails, a fixed camera, speed.

    python benchmarks/codec.py --shared DIR [--camera-codec VIDEO=CODEC ...] [--only kodak,thumbnails,camera,speed]

Kodak's 24 pictures were never learned from. All sizes are whole files. A camera's codec is made first with
`edgesdk train --camera VIDEO -o CODEC`; only the last 40 % of its video are measured. Writes codec.json, codec.md and
codec.html (the pictures side by side, with a slider) to benchmarks/results/<board>/.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import codec_report
import cv2
import numpy as np
from quality import Frame, Point, bd_rate, blurhash, judge, mean_curve
from results import board_folder, save

from edgesdk.atomic import write_text
from edgesdk_device.codec import Codec, compress_within, psnr, shipped_codecs
from edgesdk_device.session import Sender, read_background

QUALITIES = (1, 12, 24, 36, 48, 60, 72, 84, 100)
Encode = Callable[[Frame, int], bytes]


def encoders() -> dict[str, tuple[Encode, tuple[int, ...]]]:
    """Name -> (function, settings); AVIF by OpenCV where its build has it, else by Pillow where that has it."""
    settings = (5, 8, 12, 20, 30, 45, 60, 75, 88, 94)
    found: dict[str, tuple[Encode, tuple[int, ...]]] = {
        "JPEG optimised": (jpeg_optimised, settings),
        "JPEG default": (lambda f, q: imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, q]), settings),
        "WebP": (lambda f, q: imencode(".webp", f, [cv2.IMWRITE_WEBP_QUALITY, q]), (1, 5, 12, 25, 40, 60, 75, 85, 92)),
    }
    if cv2.haveImageWriter("x.avif"):
        found["AVIF"] = (
            lambda f, q: imencode(".avif", f, [cv2.IMWRITE_AVIF_QUALITY, q, cv2.IMWRITE_AVIF_SPEED, 9]),
            (5, 15, 25, 35, 45, 55, 65, 75, 85),
        )
    elif pillow_has_avif():
        found["AVIF (Pillow)"] = (pillow_avif, (5, 15, 25, 35, 45, 55, 65, 75, 85))
    return found


def jpeg_optimised(frame: Frame, quality: int) -> bytes:
    """The honest baseline: optimised Huffman tables, progressive."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return imencode(".jpg", frame, settings)


def imencode(kind: str, frame: Frame, settings: list[int]) -> bytes:
    return cv2.imencode(kind, frame, settings)[1].tobytes()


def pillow_has_avif() -> bool:
    try:
        from PIL import features
    except ImportError:
        return False
    return bool(features.check("avif"))


def pillow_avif(frame: Frame, quality: int) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).save(out, "AVIF", quality=quality, speed=9, max_threads=1)
    return out.getvalue()


def decode(data: bytes) -> Frame:
    """Any of those files as a frame."""
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if frame is None:
        import io

        from PIL import Image

        frame = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[..., ::-1]
    return np.ascontiguousarray(frame, np.uint8)


def kodak(shared: Path, limit: int) -> dict[str, Any]:
    """Curves and BD-rates over the Kodak pictures, and three pictures at equal bytes for the report."""
    frames = [cv2.imread(str(path)) for path in sorted((shared / "datasets/kodak").glob("*.png"))[:limit]]
    curves: dict[str, list[list[Point]]] = {}
    with Codec("photo") as codec:
        for index, frame in enumerate(frames):
            row = []
            for quality in QUALITIES:
                data = codec.compress(frame, quality)
                row.append(judge(frame, codec.decompress(data), len(data)))
            curves.setdefault("edgesdk", []).append(row)
            for name, (encode, settings) in encoders().items():
                files = [encode(frame, setting) for setting in settings]
                curves.setdefault(name, []).append([judge(frame, decode(file), len(file)) for file in files])
            print(f"kodak {index + 1} of {len(frames)}", flush=True)
        shown = [shown_picture(codec, frame) for frame in frames[4:23:9]]
    rates = {
        f"against {anchor}": {
            measure: {
                "mean curve": bd_rate(mean_curve(curves[anchor]), mean_curve(curves["edgesdk"]), measure),
                "mean of pictures": float(
                    np.mean([bd_rate(a, b, measure) for a, b in zip(curves[anchor], curves["edgesdk"], strict=True)])
                ),
            }
            for measure in ("psnr", "ssim", "ms_ssim")
        }
        for anchor in curves
        if anchor != "edgesdk"
    }
    means = {name: [vars(point) for point in mean_curve(pictures)] for name, pictures in curves.items()}
    return {"pictures": len(frames), "bd_rate_percent": rates, "curves": means, "shown": shown}


def shown_picture(codec: Codec, frame: Frame) -> dict[str, Any]:
    """One picture at 0.25 bit a pixel, or our least: ours, and what the others make of as many bytes."""
    most = max(frame.shape[0] * frame.shape[1] // 32, len(codec.compress(frame, 1)))
    ours = compress_within(codec, frame, most)
    rows = {"edgesdk": (codec.decompress(ours.data), len(ours.data)), "original": (frame, 0)}
    for name, (encode, _) in encoders().items():
        files = [encode(frame, setting) for setting in range(1, 96)]
        best = max((file for file in files if len(file) <= most), key=len, default=min(files, key=len))
        rows[name] = (decode(best), len(best))
    return {name: (codec_report.as_uri(picture), size, psnr(frame, picture)) for name, (picture, size) in rows.items()}


def thumbnails(shared: Path) -> list[dict[str, Any]]:
    """Photos that were not learned from, 64x64: bytes as a session's message, and PSNR."""
    paths = sorted((shared / "datasets/flowers5/test").rglob("*.jpg"))[::4]
    paths += sorted((shared / "datasets/cats_dogs/test").rglob("*.jpg"))[::2]
    frames = [cv2.resize(cv2.imread(str(path)), (64, 64), interpolation=cv2.INTER_AREA) for path in paths]
    rows = []
    with Codec("thumbnail") as codec:
        for quality in (1, 15, 30, 45, 60, 75, 90, 100):
            sender = Sender(codec, 64, 64, quality=quality)
            sizes, errors = [], []
            for frame in frames:
                code = codec.encode(frame, quality)
                data, _ = codec.pack_code(code, quality, sender.start)
                kept, _ = codec.unpack(data, sender.head)
                sizes.append(1 + len(data))
                errors.append(psnr(frame, codec.decode(kept, sender.head)))
            rows.append(_row(f"edgesdk thumbnail, quality {quality}", sizes, errors))
    hashes = [blurhash(frame) for frame in frames]
    errors = [psnr(frame, back) for frame, (_, back) in zip(frames, hashes, strict=True)]
    rows.append(_row("BlurHash 4x4", [size for size, _ in hashes], errors))
    for name, encode in (
        ("WebP, quality 0", lambda frame: imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, 1])),
        ("JPEG optimised, quality 10", lambda frame: jpeg_optimised(frame, 10)),
    ):
        files = [encode(frame) for frame in frames]
        rows.append(_row(name, list(map(len, files)), [psnr(f, decode(d)) for f, d in zip(frames, files, strict=True)]))
    return rows


def _row(name: str, sizes: list[int], errors: list[float]) -> dict[str, Any]:
    return {"what": name, "bytes": float(np.mean(sizes)), "psnr": float(np.mean(errors)), "n": len(sizes)}


def camera(video: Path, folder: Path) -> list[dict[str, Any]]:
    """The unseen last 40 % of a video: bytes a frame and PSNR, ours and WebP's of the background difference."""
    from edgesdk_train.compression import LEARNED_SHARE, read_frames

    with Codec(folder) as codec:
        background = read_background(codec.encoder.contract)
        assert background is not None
        frames = read_frames(video, background.shape[1])[..., ::-1]
        later = np.ascontiguousarray(frames[int(len(frames) * LEARNED_SHARE) :: 3])
        rows = []
        for quality in (1, 15, 30, 45, 60, 75, 90, 100):
            sender = Sender(codec, *later.shape[1:3], quality=quality)
            sizes, errors = [], []
            receiver = codec_report.receiver(codec, sender)
            for frame in later:
                data = sender.compress(frame).data
                sizes.append(len(data))
                errors.append(psnr(frame, receiver.decompress(data)))
            rows.append(_row(f"edgesdk camera, quality {quality}", sizes, errors))
    halves = ((later.astype(np.int16) - background + 256) >> 1).astype(np.uint8)
    for quality in (1, 5, 10, 20, 35, 50, 70, 85):
        files = [imencode(".webp", half, [cv2.IMWRITE_WEBP_QUALITY, quality]) for half in halves]
        backs = [np.clip(2 * decode(f).astype(np.int16) - 256 + background, 0, 255).astype(np.uint8) for f in files]
        errors = [psnr(frame, back) for frame, back in zip(later, backs, strict=True)]
        rows.append(_row(f"WebP of the difference, quality {quality}", list(map(len, files)), errors))
    return rows


def speed(shared: Path) -> dict[str, Any]:
    """One thread, 768x512 photos, interleaved: ratios to optimised, progressive JPEG of about as many bytes."""
    frames = [cv2.imread(str(path)) for path in sorted((shared / "datasets/kodak").glob("*.png"))]
    frames = [frame for frame in frames if frame.shape[0] == 512][::3]
    ratios: dict[str, list[float]] = {"compress": [], "decompress": []}
    samples: dict[str, list[float]] = {}
    sizes = []
    with Codec("photo", backend="litert") as codec:
        for frame in frames:
            data = compress_within(codec, frame, frame.shape[0] * frame.shape[1] // 16)
            setting = min(range(5, 95), key=lambda q: abs(len(jpeg_optimised(frame, q)) - len(data.data)))
            jpeg, code = jpeg_optimised(frame, setting), codec.encode(frame, data.quality)
            head = codec_report.head_of(data.data)
            jobs: dict[str, Callable[[], object]] = {
                "compress": lambda: codec.compress(frame, data.quality),
                "compress, of it the network": lambda: codec.encode(frame, data.quality),
                "JPEG encode": lambda: jpeg_optimised(frame, setting),
                "decompress": lambda: codec.decompress(data.data),
                "decompress, of it the network": lambda: codec.decode(code, head),
                "JPEG decode": lambda: decode(jpeg),
            }
            times: dict[str, list[float]] = {name: [] for name in jobs}
            for _ in range(15):
                for name, job in jobs.items():
                    start = time.perf_counter()
                    job()
                    times[name].append((time.perf_counter() - start) * 1e3)
            for name in jobs:
                samples.setdefault(name, []).append(float(np.median(times[name])))
            ratios["compress"].append(samples["compress"][-1] / samples["JPEG encode"][-1])
            ratios["decompress"].append(samples["decompress"][-1] / samples["JPEG decode"][-1])
            sizes.append(len(data.data))
    return {
        "photos": len(frames),
        "bytes": float(np.mean(sizes)),
        "median_ms": {name: float(np.median(values)) for name, values in samples.items()},
        "compress_over_jpeg": float(np.median(ratios["compress"])),
        "decompress_over_jpeg": float(np.median(ratios["decompress"])),
        "each": ratios,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", required=True, type=Path)
    parser.add_argument("--camera-codec", action="append", default=[], metavar="VIDEO=CODEC")
    parser.add_argument("--only", default="kodak,thumbnails,camera,speed")
    parser.add_argument("--pictures", type=int, default=24, help="of Kodak's")
    options = parser.parse_args()
    wanted = options.only.split(",")
    path = board_folder() / "codec.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if "kodak" in wanted:
        found["kodak"] = kodak(options.shared, options.pictures)
    if "thumbnails" in wanted and "thumbnail" in shipped_codecs():
        found["thumbnails"] = thumbnails(options.shared)
    if "camera" in wanted:
        pairs = [pair.split("=", 1) for pair in options.camera_codec]
        found["camera"] = found.get("camera", {}) | {Path(v).stem: camera(Path(v), Path(c)) for v, c in pairs}
    if "speed" in wanted:
        found["speed"] = speed(options.shared)
    pictures = found.get("kodak", {}).pop("shown", [])
    if pictures:
        write_text(board_folder() / "codec.html", codec_report.page(found, pictures))
    save("codec.json", json.dumps(found, indent=1))
    text = codec_report.as_markdown(found)
    print(text)
    save("codec.md", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
