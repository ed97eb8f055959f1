"""Draws the networks' table as one picture: docs/networks/comparison.png, from this machine's results.

python benchmarks/networks.py --only table; python benchmarks/comparison.py
"""

import io
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from results import board_folder

from edgesdk.atomic import make_folder, write_bytes

PICTURE = Path(__file__).parents[1] / "docs" / "networks" / "comparison.png"
INT8, FLOAT, MARKED = "#1f6feb", "#9ec5fe", "#d1242f"


def draw(facts: dict[str, Any]) -> bytes:
    """Accuracy, multiply-adds, bytes and milliseconds of each network, the fastest on top."""
    from matplotlib.figure import Figure

    ordered = sorted(facts.items(), key=lambda item: item[1]["ms"]["LiteRT"] or np.inf, reverse=True)
    names = [name for name, _ in ordered]
    rows = [row for _, row in ordered]
    places = np.arange(len(names))
    figure = Figure((13, 0.32 * len(names) + 1.2), dpi=90, layout="constrained")
    panels = figure.subplots(1, 4, sharey=True)
    panels[0].plot([100 * row["accuracy"]["float"] for row in rows], places, "o", color=FLOAT, label="float")
    panels[0].plot([100 * row["accuracy"]["final"] for row in rows], places, ".", color=INT8, label="int8")
    panels[0].set(title="top-1, %", yticks=places, yticklabels=names)
    panels[1].barh(places, [row["macs"] / 1e6 for row in rows], color=INT8)
    panels[1].set(title="multiply-adds, M", xscale="log")
    panels[2].barh(places, [row["size_bytes"] / 1000 for row in rows], color=INT8)
    panels[2].set(title="int8 file, kB", xscale="log")
    for shift, key, color in ((0.2, "LiteRT float32", FLOAT), (-0.2, "LiteRT", INT8)):
        panels[3].barh(places + shift, [row["ms"][key] or 0 for row in rows], 0.4, color=color)
    panels[3].set(title="ms an image, LiteRT, 1 thread", xscale="log")
    shown = [tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if panels[3].get_xlim()[1] > tick]
    panels[3].set_xticks(shown, [f"{tick:g}" for tick in shown])
    panels[3].minorticks_off()
    panels[0].legend(frameon=False, loc="lower left")
    for label in panels[0].get_yticklabels():
        label.set_color(MARKED if label.get_text().startswith("mobilenet") else "black")
    for panel in panels:
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def main() -> None:
    mpl.use("Agg")
    facts = json.loads((board_folder() / "networks.json").read_text())
    make_folder(PICTURE.parent)
    print(f"written: {write_bytes(PICTURE, draw(facts))}")


if __name__ == "__main__":
    main()
