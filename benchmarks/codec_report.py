"""The codec's figures as Markdown and as a page with pictures under a slider."""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
import numpy.typing as npt

from edgesdk.codecstream import Head, unpack_head
from edgesdk_device.codec import Codec
from edgesdk_device.session import Receiver, Sender

COLOURS = ("#0b6bcb", "#c2410c", "#a3a3a3", "#15803d", "#7e22ce")


def receiver(codec: Codec, sender: Sender) -> Receiver:
    """The other end of a sender, here."""
    return Receiver(codec, sender.start)


def head_of(data: bytes) -> Head:
    """A stream's head."""
    return unpack_head(data)[0]


def as_uri(frame: npt.NDArray[np.uint8]) -> str:
    """A picture for the page, without loss."""
    data = cv2.imencode(".webp", frame, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def as_markdown(found: dict[str, Any]) -> str:
    """Tables of what was measured."""
    lines: list[str] = []
    if "kodak" in found:
        kodak = found["kodak"]
        lines += [
            f"Kodak, {kodak['pictures']} pictures, whole files; BD-rate of edgesdk in percent (mean curve / mean of "
            "the pictures' own), measures are means over RGB",
            "",
            "| | PSNR | SSIM | MS-SSIM |",
            "| --- | --- | --- | --- |",
        ]
        for anchor, rates in kodak["bd_rate_percent"].items():
            cells = [
                f"{rates[m]['mean curve']:+.1f} / {rates[m]['mean of pictures']:+.1f}"
                for m in ("psnr", "ssim", "ms_ssim")
            ]
            lines.append(f"| {anchor} | {' | '.join(cells)} |")
        lines += ["", "| PSNR / MS-SSIM at | 0.25 bit/pixel | 0.5 | 1.0 |", "| --- | --- | --- | --- |"]
        for name, points in kodak["curves"].items():
            rate = np.log([point["bits_per_pixel"] for point in points])
            cells = []
            for target in (0.25, 0.5, 1.0):
                if not rate[0] <= np.log(target) <= rate[-1]:
                    cells.append("-")
                    continue
                values = [np.interp(np.log(target), rate, [p[m] for p in points]) for m in ("psnr", "ms_ssim")]
                cells.append(f"{values[0]:.2f} / {values[1]:.3f}")
            lines.append(f"| {name} | {' | '.join(cells)} |")
    sections = {"thumbnails 64x64, photos not learned from": found.get("thumbnails", [])}
    sections |= {
        f"{name}, 320 pixels wide, frames not learned from": rows for name, rows in found.get("camera", {}).items()
    }
    for title, rows in sections.items():
        if rows:
            lines += ["", f"{title} ({rows[0]['n']})", "", "| | bytes | PSNR |", "| --- | --- | --- |"]
            lines += [f"| {row['what']} | {row['bytes']:.0f} | {row['psnr']:.2f} |" for row in rows]
    if "speed" in found:
        speed = found["speed"]
        lines += [
            "",
            f"{speed['photos']} Kodak pictures of 768x512, one thread, {speed['bytes']:.0f} bytes in the mean; medians",
            "",
            "| | ms |",
            "| --- | --- |",
        ]
        lines += [f"| {name} | {value:.1f} |" for name, value in speed["median_ms"].items()]
        lines += [
            "",
            f"compress takes {speed['compress_over_jpeg']:.1f} times JPEG's encode, decompress "
            f"{speed['decompress_over_jpeg']:.1f} times its decode (medians of the pictures' ratios)",
        ]
    return "\n".join(lines)


def page(found: dict[str, Any], pictures: list[dict[str, Any]]) -> str:
    """The page: curves as SVG, and each picture under a slider against one that the reader picks."""
    template = (Path(__file__).parent / "codec.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    curves = found["kodak"]["curves"]
    charts = []
    for measure, title in (("psnr", "PSNR, dB"), ("ms_ssim", "MS-SSIM, -10 log10(1 - x)")):
        lines = {
            name: [
                (p["bits_per_pixel"], p[measure] if measure == "psnr" else -10 * np.log10(1 - p[measure]))
                for p in points
            ]
            for name, points in curves.items()
        }
        inside = [(x, y) for line in lines.values() for x, y in line if x <= 1.6]
        low, high = min(y for _, y in inside), max(y for _, y in inside)
        charts.append(
            {
                "title": title,
                "ticks": [(round(y, 1), 280 - 260 * (y - low) / (high - low)) for y in np.linspace(low, high, 5)],
                "lines": [
                    (
                        name,
                        COLOURS[i % len(COLOURS)],
                        " ".join(
                            f"{40 + 340 * x / 1.6:.1f},{280 - 260 * (y - low) / (high - low):.1f}"
                            for x, y in line
                            if x <= 1.6
                        ),
                    )
                    for i, (name, line) in enumerate(lines.items())
                ],
            }
        )
    return environment.from_string(template).render(
        charts=charts, pictures=pictures, rates=found["kodak"]["bd_rate_percent"], n=found["kodak"]["pictures"]
    )
