"""The pictures of a run that generates: sample grid, reconstructions, map of the codes, curves, and the report."""

import base64
import csv
import html
import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from edgesdk.atomic import write_bytes, write_text
from edgesdk.generation import Generated
from edgesdk.preprocess import Pixels
from edgesdk_train.generativeloop import Row
from edgesdk_train.plots import save_figure

mpl.use("Agg")
GAP = 2  # pixels between the pictures of a grid
LEAST_SIDE = 56  # pixels a picture is shown with
MAPPED = 2000  # pictures on the map of the codes

SAMPLES, RECONSTRUCTIONS = "samples.png", "reconstructions.png"
LATENT_MAP, CURVE, REPORT = "latent_map.png", "learning_curve.png", "report.html"
CAPTIONS = {
    SAMPLES: "Pictures of random codes",
    RECONSTRUCTIONS: "Test pictures (upper row) and what comes back of their codes (lower row)",
    LATENT_MAP: "Where the codes of test pictures lie",
    CURVE: "How it learned",
}


def grid(pixels: Pixels, columns: int) -> Pixels:
    """Pictures uint8 [n, h, w, 1] side by side on white, enlarged by a whole factor where they are small."""
    factor = max(1, LEAST_SIDE // pixels.shape[1])
    large = pixels.repeat(factor, 1).repeat(factor, 2)[..., 0]
    n, h, w = large.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (h + GAP) + GAP, columns * (w + GAP) + GAP), 255, np.uint8)
    for index, picture in enumerate(large):
        top, left = GAP + index // columns * (h + GAP), GAP + index % columns * (w + GAP)
        sheet[top : top + h, left : left + w] = picture
    return sheet


def write_grid(path: Path, pixels: Pixels, columns: int) -> None:
    """`grid` as a PNG."""
    encoded, png = cv2.imencode(".png", grid(pixels, columns))
    assert encoded
    write_bytes(path, png.tobytes())


def write_reconstructions(path: Path, wanted: Pixels, given: Pixels) -> None:
    """A PNG of pairs: each picture above what came back of it, uint8 [n, h, w, 1] both."""
    write_grid(path, np.concatenate([wanted, given]), len(wanted))


def write_latent_map(
    path: Path, codes: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], classes: Sequence[str]
) -> None:
    """A PNG of the codes [n, latent], a colour for each class.

    Two entries are drawn as they are, three in space, more by their two principal components, one against its rank.
    """
    from matplotlib.figure import Figure

    title, points = _place(codes)
    figure = Figure((6.4, 5.2), layout="constrained")
    axes = figure.add_subplot(projection="3d" if points.shape[1] == 3 else None)
    colors = mpl.colormaps["tab10" if len(classes) <= 10 else "tab20"]
    for index, name in enumerate(classes or ("",)):
        own = points[labels == index] if classes else points
        axes.plot(*own.T, ".", ms=3, alpha=0.6, color=colors(index % colors.N), label=name)
    axes.set(title=title)
    if len(classes) > 1:
        figure.legend(loc="outside right center", frameon=False, markerscale=3)
    save_figure(figure, path)


def write_curve(folder: Path, rows: Sequence[Row]) -> None:
    """history.csv and the curves of all of its columns, a small picture each."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "history.csv", text.getvalue())

    from matplotlib.figure import Figure

    names = [name for name in rows[0] if name != "epoch"]
    across = min(4, len(names))
    down = -(-len(names) // across)
    figure = Figure((3 * across, 2.3 * down), layout="constrained")
    for index, name in enumerate(names):
        axes = figure.add_subplot(down, across, index + 1)
        axes.plot([row["epoch"] for row in rows], [row[name] for row in rows])
        axes.set(title=name.replace("_", " "))
        axes.grid(alpha=0.3)
    save_figure(figure, folder / CURVE)


def write_report(folder: Path, run: Generated) -> Path:
    """report.html: one page that holds the run's numbers and pictures."""
    parts = [
        f"<!doctype html><meta charset=utf-8><title>{html.escape(run.spec.name)}</title>",
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}img{max-width:100%}"
        "td{padding:.2em 1em .2em 0}</style>",
        f"<h1>{html.escape(run.spec.name)}, {html.escape(run.source.dataset)}</h1>",
        f"<p>{html.escape(run.source.paper)}; {run.generation.latent} entries a code, epochs: {run.generation.epochs}, "
        f"{run.seconds:.0f} s.</p><table>",
    ]
    parts += [f"<tr><td>{html.escape(name)}<td>{value:.4g}" for name, value in run.results.items()]
    parts.append("</table>")
    for problem in run.problems:
        text = f"{problem.name}, since epoch {problem.epoch}: {problem.evidence}; {problem.remedy}"
        parts.append(f"<p><b>Seen:</b> {html.escape(text)}.</p>")
    for name, caption in CAPTIONS.items():
        if (folder / name).is_file():
            data = base64.b64encode((folder / name).read_bytes()).decode()
            parts.append(f'<h2>{caption}</h2><img alt="{caption}" src="data:image/png;base64,{data}">')
    write_text(folder / REPORT, "\n".join(parts))
    return folder / REPORT


def _place(codes: npt.NDArray[np.float32]) -> tuple[str, npt.NDArray[np.float32]]:
    """What the map shows, and a point [n, 2 or 3] for each code."""
    latent = codes.shape[1]
    if latent == 1:
        ranks = codes[:, 0].argsort().argsort().astype(np.float32)
        return "the code, and its rank", np.stack([codes[:, 0], ranks], 1)
    if latent <= 3:
        return f"the code's {latent} entries", codes
    centred = codes - codes.mean(0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    share = 100 * np.square(sizes[:2]).sum() / np.square(sizes).sum()
    return f"two principal components of {latent} entries ({share:.0f} % of the variance)", centred @ directions[:2].T
