"""The codec against JPEG, WebP, AVIF and BlurHash: rate and distortion, thumbnails, a fixed camera, speed.

    python benchmarks/codec.py --shared DIR [--camera-codec VIDEO=CODEC ...] [--only kodak,thumbnails,camera,...]

Kodak's 24 pictures were never learned from. All sizes are whole files. A camera's codec is made first with
`edgesdk train --arch compressor --camera VIDEO -o CODEC`; only the last 40 % of its video are measured. Writes
codec.json, a table a part (codec_kodak.md, ...) and codec.html (pictures side by side at equal bytes, with a slider) to
benchmarks/results/<board>/.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import codec_report
import cv2
import numpy as np
from quality import Frame, Point, bd_rate, blurhash, judge, mean_curve
from results import board_folder, save

from edgesdk.atomic import write_text
from edgesdk.codecs.stream import unpack_head
from edgesdk_device.codec import Codec, Compressed, compress_within, psnr
from edgesdk_device.session import Receiver, Sender, read_background

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
    """Curves and BD-rates over the Kodak pictures."""
    frames = kodak_frames(shared)[:limit]
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
    return {"pictures": len(frames), "bd_rate_percent": rates, "curves": means}


def kodak_frames(shared: Path) -> list[Frame]:
    return [cv2.imread(str(path)) for path in sorted((shared / "datasets/kodak").glob("*.png"))]


def shown_picture(codec: Codec, frame: Frame) -> dict[str, Any]:
    """One picture at 0.4 bit a pixel: ours, and what the others make of as many bytes."""
    most = frame.shape[0] * frame.shape[1] // 20
    ours = compress_within(codec, frame, most)
    back = codec.decompress(ours.data)
    rows = {
        "edgesdk": (codec_report.as_uri(lossless(back)), len(ours.data), psnr(frame, back)),
        "original": (codec_report.as_uri(lossless(frame)), 0, 0.0),
    }
    for name, (encode, _) in encoders().items():
        files = [encode(frame, setting) for setting in range(1, 96)]
        best = max((file for file in files if len(file) <= most), key=len, default=min(files, key=len))
        rows[name] = (codec_report.as_uri(best), len(best), psnr(frame, decode(best)))
    return rows


def lossless(frame: Frame) -> bytes:
    return imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, 101])


#: Photos that the thumbnail codec did not learn from; of ImageNet's every twentieth, which learning holds out.
HELD_OUT = {
    "Kodak": ("kodak/*.png", 1),
    "ImageNet sample, held out": ("imagenet_sample/images/*.jp*g", 20),
    "cats and dogs, test": ("cats_dogs/test/*/*.jpg", 4),
    "flowers, test": ("flowers5/test/*/*.jpg", 8),
}


def thumbnails(shared: Path) -> list[dict[str, Any]]:
    """Photos brought to 64x64: mean bytes as a session's message, and PSNR, of each set and over the four sets."""
    sets = {
        name: [
            cv2.resize(cv2.imread(str(path)), (64, 64), interpolation=cv2.INTER_AREA)
            for path in sorted((shared / "datasets").glob(pattern))[::every]
        ]
        for name, (pattern, every) in HELD_OUT.items()
    }
    rows = []
    with Codec("thumbnail") as codec:
        for quality in (1, 8, 15, 30, 45, 60, 80, 100):
            sender = Sender(codec, 64, 64, quality=quality)
            receiver = Receiver(codec, sender.start)

            def ours(frame: Frame, sender: Sender = sender, receiver: Receiver = receiver) -> tuple[int, Frame]:
                data = sender.compress(frame).data
                return len(data), receiver.decompress(data)

            rows.append(_over_sets(f"edgesdk, quality {quality}", sets, ours))
    rows.append(_over_sets("BlurHash 4x4", sets, blurhash))
    for name, encode in (
        ("WebP, its smallest", lambda frame: imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, 1])),
        ("JPEG optimised, quality 5", lambda frame: jpeg_optimised(frame, 5)),
    ):
        rows.append(_over_sets(name, sets, lambda frame, encode=encode: (len(encode(frame)), decode(encode(frame)))))
    return rows


def _over_sets(name: str, sets: dict[str, list[Frame]], there_and_back: Callable[[Frame], Any]) -> dict[str, Any]:
    each = {}
    for title, frames in sets.items():
        results = [there_and_back(frame) for frame in frames]
        sizes, errors = [size for size, _ in results], [psnr(f, b) for f, (_, b) in zip(frames, results, strict=True)]
        each[title] = _row(name, sizes, errors)
    mean = {key: float(np.mean([row[key] for row in each.values()])) for key in ("bytes", "psnr")}
    return {"what": name, **mean, "n": sum(row["n"] for row in each.values()), "sets": each}


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
            receiver = Receiver(codec, sender.start)
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
    """One thread, Kodak's 768x512 at half a bit a pixel, interleaved: ratios to optimised, progressive JPEG."""
    frames = [frame for frame in kodak_frames(shared) if frame.shape[0] == 512][::3]
    each: list[dict[str, float]] = []
    cv2.setNumThreads(1)
    with Codec("photo") as codec:
        for frame in frames:
            data = compress_within(codec, frame, frame.shape[0] * frame.shape[1] // 16)
            each.append(_time(codec, frame, data))
    median = {name: float(np.median([row[name] for row in each])) for name in each[0]}
    return {"pictures": len(frames), "median": median, "each": each}


def _time(codec: Codec, frame: Frame, made: Compressed) -> dict[str, float]:
    """Medians in ms, and the ratios' medians, of one picture; the others make about as many bytes of it."""
    code, (head, _) = codec.encode(frame, made.quality), unpack_head(made.data)
    jobs: dict[str, Callable[[], object]] = {
        "compress": lambda: codec.compress(frame, made.quality),
        "compress, the network's share": lambda: codec.encode(frame, made.quality),
        "decompress": lambda: codec.decompress(made.data),
        "decompress, the network's share": lambda: codec.decode(code, head),
    }
    for name, (encode, _) in encoders().items():
        setting = min(range(5, 95, 3), key=lambda q: abs(len(encode(frame, q)) - len(made.data)))
        jobs[f"{name} encode"] = partial(encode, frame, setting)
        jobs[f"{name} decode"] = partial(decode, encode(frame, setting))
    samples: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(15):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            samples[name].append((time.perf_counter() - start) * 1e3)
    found = {name: float(np.median(times)) for name, times in samples.items()}
    for ours, theirs in (("compress", "JPEG optimised encode"), ("decompress", "JPEG optimised decode")):
        found[f"{ours} / {theirs}"] = float(np.median(np.array(samples[ours]) / np.array(samples[theirs])))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", required=True, type=Path)
    parser.add_argument("--camera-codec", action="append", default=[], metavar="VIDEO=CODEC")
    parser.add_argument("--only", default="kodak,pictures,thumbnails,camera,speed")
    parser.add_argument("--pictures", type=int, default=24, help="of Kodak's")
    options = parser.parse_args()
    wanted = options.only.split(",")
    path = board_folder() / "codec.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    if "kodak" in wanted:
        found["kodak"] = kodak(options.shared, options.pictures)
    if "thumbnails" in wanted:
        found["thumbnails"] = thumbnails(options.shared)
    if "camera" in wanted:
        pairs = [pair.split("=", 1) for pair in options.camera_codec]
        found["camera"] = found.get("camera", {}) | {Path(v).stem: camera(Path(v), Path(c)) for v, c in pairs}
    if "speed" in wanted:
        found["speed"] = speed(options.shared)
    if "pictures" in wanted:
        with Codec("photo") as codec:
            pictures = [shown_picture(codec, kodak_frames(options.shared)[index]) for index in (4, 18, 22)]
        write_text(board_folder() / "codec.html", codec_report.page(found, pictures))
    save("codec.json", json.dumps(found, indent=1))
    for part, text in codec_report.tables(found).items():
        print(text)
        save(f"codec_{part}.md", text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
