"""The two pictures of a run: how it learned and what it mixes up."""

import csv
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from edgesdk.atomic import write_bytes, write_text
from edgesdk_train.stage import Epoch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

mpl.use("Agg")
mpl.rcParams["text.parse_math"] = False  # a class may be called $5-$10
MOST_CLASSES_DRAWN = 40


def draw_history(folder: Path, history: Sequence[Epoch]) -> None:
    """learning_curve.png."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3.2), layout="constrained")
    loss, top1 = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    marker = "o" if len(history) < 30 else ""
    loss.plot(epochs, [row.loss for row in history], marker=marker, ms=3, label="train")
    loss.plot(epochs, [row.val_loss for row in history], marker=marker, ms=3, label="validation")
    top1.plot(epochs, [100 * row.top1 for row in history], marker=marker, ms=3, label="train (augmented)")
    top1.plot(epochs, [100 * row.val_top1 for row in history], marker=marker, ms=3, label="validation")
    for axes, title in ((loss, "cross-entropy"), (top1, "top-1 (%)")):
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save_figure(figure, folder / "learning_curve.png")


def write_confusions(
    folder: Path, classes: Sequence[str], truth: npt.NDArray[np.int32], answers: npt.NDArray[np.int64]
) -> tuple[tuple[str, str, str], ...]:
    """confusion.csv and, up to 40 classes, confusion.png.

    Returns:
        (true label, answered label, how often) of the wrong answers, most frequent first.
    """
    matrix = np.zeros((len(classes), len(classes)), int)
    np.add.at(matrix, (truth, answers), 1)
    wrong = [(int(matrix[i, j]), i, j) for i, j in np.argwhere(matrix) if i != j]
    wrong.sort(key=lambda item: (-item[0], item[1], item[2]))
    pairs = tuple((classes[i], classes[j], str(count)) for count, i, j in wrong)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("true", "answered", "count"))
    writer.writerows(pairs)
    write_text(folder / "confusion.csv", text.getvalue())
    if len(classes) <= MOST_CLASSES_DRAWN:
        _draw_matrix(matrix, classes, folder / "confusion.png")
    return pairs


def _draw_matrix(matrix: npt.NDArray[np.int_], classes: Sequence[str], path: Path) -> None:
    from matplotlib.figure import Figure

    side = 2.5 + 0.35 * len(classes)
    figure = Figure((side, side), layout="constrained")
    axes = figure.subplots()
    share = matrix / np.maximum(1, matrix.sum(1, keepdims=True))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=60, ha="right")
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="answered", ylabel="true", title="test images")
    for i, j in np.argwhere(matrix):
        axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    save_figure(figure, path)


def save_figure(figure: "Figure", path: Path) -> None:
    """A figure as a PNG."""
    write_bytes(path, png_of(figure, dpi=110))


def png_of(figure: "Figure", *, dpi: float) -> bytes:
    """A figure as the bytes of a PNG; letters that the font lacks are drawn as boxes without a word."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
