"""The codec's figures as Markdown and as a page with pictures under a slider."""

import base64
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

COLOURS = ("#0b6bcb", "#c2410c", "#a3a3a3", "#15803d", "#7e22ce")


def as_uri(file: bytes) -> str:
    """A picture's own bytes for the page; a browser tells their format by itself."""
    return f"data:image/*;base64,{base64.b64encode(file).decode()}"


def tables(found: dict[str, Any]) -> dict[str, str]:
    """A Markdown table of each part that was measured."""
    made: dict[str, str] = {}
    if "kodak" in found:
        made["kodak"] = f"{_rates(found['kodak'])}\n\n{_curves(found['kodak'])}"
    if "thumbnails" in found:
        made["thumbnails"] = _thumbnails(found["thumbnails"])
    if found.get("camera"):
        videos = found["camera"] | _together(list(found["camera"].values()))
        made["camera"] = "\n\n".join(_camera(name, rows) for name, rows in videos.items())
    if "speed" in found:
        made["speed"] = _speed(found["speed"])
    return made


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _rates(kodak: dict[str, Any]) -> str:
    rows = []
    for anchor, rates in kodak["bd_rate_percent"].items():
        means = [(rates[m]["mean curve"], rates[m]["mean of pictures"]) for m in ("psnr", "ssim", "ms_ssim")]
        rows.append([anchor, *(f"{curve:+.1f} / {pictures:+.1f}" for curve, pictures in means)])
    note = (
        f"BD-rate of edgesdk in percent over Kodak's {kodak['pictures']} pictures, of the mean curve / mean of the "
        "pictures' own; measures are means over RGB."
    )
    return f"{_table(['', 'PSNR', 'SSIM', 'MS-SSIM'], rows)}\n\n{note}"


def _curves(kodak: dict[str, Any]) -> str:
    rows = []
    for name, points in kodak["curves"].items():
        rate = np.log([point["bits_per_pixel"] for point in points])
        cells = []
        for target in (0.25, 0.5, 1.0):
            if rate[0] <= np.log(target) <= rate[-1]:
                values = [np.interp(np.log(target), rate, [p[m] for p in points]) for m in ("psnr", "ms_ssim")]
                cells.append(f"{values[0]:.2f} / {values[1]:.3f}")
            else:
                cells.append("-")
        rows.append([name, *cells])
    return _table(["PSNR / MS-SSIM at", "0.25 bit/pixel", "0.5", "1.0"], rows)


def _thumbnails(rows: list[dict[str, Any]]) -> str:
    sets = list(rows[0]["sets"])
    counts = ", ".join(f"{name}: {rows[0]['sets'][name]['n']}" for name in sets)
    cells = [
        [row["what"], *(f"{one['bytes']:.0f} / {one['psnr']:.2f}" for one in (row, *(row["sets"][n] for n in sets)))]
        for row in rows
    ]
    return f"{_table(['bytes / dB', 'mean of the sets', *sets], cells)}\n\nPhotos not learned from ({counts}), 64x64."


def _together(videos: list[list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Means over the videos, where there are several."""
    rows = [
        {
            "what": same[0]["what"],
            "n": sum(row["n"] for row in same),
            **{key: float(np.mean([row[key] for row in same])) for key in ("bytes", "psnr")},
        }
        for same in zip(*videos, strict=True)
    ]
    return {"mean of the videos": rows} if len(videos) > 1 else {}


def _camera(name: str, rows: list[dict[str, Any]]) -> str:
    cells = [[row["what"], f"{row['bytes']:.0f}", f"{row['psnr']:.2f}"] for row in rows]
    ours, webp = ([row for row in rows if row["what"].startswith(kind)] for kind in ("edgesdk", "WebP"))
    gains = []
    for row in ours:
        at = [(one["psnr"], np.log(one["bytes"])) for one in webp]
        if at[0][0] <= row["psnr"] <= at[-1][0]:
            theirs = float(np.exp(np.interp(row["psnr"], *zip(*at, strict=True))))
            gains.append(f"{100 * (row['bytes'] / theirs - 1):+.0f} % at {row['psnr']:.1f} dB")
    note = f"{name}, {rows[0]['n']} frames not learned from. Bytes against WebP's at the same PSNR: {', '.join(gains)}."
    return f"{_table(['', 'bytes a frame', 'PSNR'], cells)}\n\n{note}"


def _speed(speed: dict[str, Any]) -> str:
    ratios = {name: value for name, value in speed["median"].items() if "/" in name}
    times = [[name, f"{value:.1f}"] for name, value in speed["median"].items() if name not in ratios]
    said = ", ".join(f"{name}: {value:.1f}" for name, value in ratios.items())
    note = f"One thread, {speed['pictures']} Kodak pictures of 768x512 at half a bit a pixel, medians. {said}."
    return f"{_table(['', 'ms'], times)}\n\n{note}"


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
        charts=charts,
        pictures=pictures,
        rates=found["kodak"]["bd_rate_percent"],
        n=found["kodak"]["pictures"],
        speed=found.get("speed"),
    )
