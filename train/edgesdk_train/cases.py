"""Which of the four cases of transfer learning a data set is, measured.

The course's table, after J. Yosinski et al., How transferable are features in deep neural networks?, arXiv 1411.1792:

| photos | like what the weights learned from | unlike it |
| --- | --- | --- |
| few | `head`: a new last layer | `slice`: cut at an early layer, and a new last layer |
| many | `finetune`: a new last layer, then everything | `scratch`: everything from nothing, or from the weights |

Unlike: some earlier depth tells the classes apart better than the network's last features do.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput
from edgesdk.runfolder import Transfer
from edgesdk_train.depths import find_cuts, pooled_features, separability

LAST = "features"
PROBED = 1000  # photos, evenly of all classes
MARGIN = 0.01  # of separability: less is chance
FEW = 40  # photos a class: at 10 fine-tuning gains nothing, at 70 four points (benchmarks/transfer.py)


@dataclass(frozen=True, kw_only=True)
class Depth:
    """What the features of a layer are worth: the share of photos that a linear classifier on them names rightly."""

    layer: str
    separability: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A case of transfer learning and what it was chosen by.

    Attributes:
        transfer: the case.
        cut: the layer after which "slice" cuts; "" for the others.
        per_class: training photos of each class, their mean.
        depths: what was measured, from the first depth to the network's own last features.
    """

    transfer: Transfer
    cut: str
    per_class: float
    depths: tuple[Depth, ...]

    @property
    def sentences(self) -> tuple[str, str]:
        """What was measured; the case and its reason."""
        shown = ", ".join(f"{depth.layer} {100 * depth.separability:.1f} %" for depth in self.depths)
        best, last = max(self.depths, key=lambda depth: depth.separability), self.depths[-1]
        gain = 100 * (best.separability - last.separability)
        like = (
            f"unlike those of the weights ({best.layer} is {gain:.1f} points better than the last features)"
            if _differs(self.depths)
            else "like those of the weights (no earlier depth is better than the last features)"
        )
        action = {
            "head": "a new last layer on frozen features",
            "slice": f"cut after {self.cut}, and a new last layer on frozen features",
            "finetune": "a new last layer, then everything, from the weights",
        }[self.transfer]
        return (
            f"{self.per_class:.0f} training photos a class; a linear classifier names rightly, by the features of "
            f"{shown}",
            f"{'few' if self.per_class < FEW else 'many'} photos, {like}: --transfer {self.transfer}, {action}",
        )


def choose_case(
    model: Any, train: Images, image_input: ImageInput, *, classes: int, asked: Transfer = "auto"
) -> Choice:
    """Measure the features of a pretrained network on the training photos, and take the case they belong to.

    Where there are many photos unlike those of the weights, the course's table says from nothing or from the weights;
    this takes the weights.

    Args:
        asked: "slice" leaves only the cut to choose.
    """
    depths = measure_depths(model, train, image_input, classes=classes)
    return decide(depths, len(train.labels) / classes, asked=asked)


def decide(depths: tuple[Depth, ...], per_class: float, *, asked: Transfer = "auto") -> Choice:
    """The case that these measurements and so many photos a class belong to; see `choose_case`.

    Raises:
        ValueError: if "slice" is asked of a network without a layer to cut after.
    """
    transfer: Transfer = "slice" if asked == "slice" or _differs(depths) else "head"
    if asked == "auto" and per_class >= FEW:
        transfer = "finetune"
    if transfer == "slice" and len(depths) == 1:
        raise ValueError("the network has no layer to cut after, which --transfer slice does: take head")
    cut = max(depths[:-1], key=lambda depth: depth.separability).layer if transfer == "slice" else ""
    return Choice(transfer=transfer, cut=cut, per_class=per_class, depths=depths)


def measure_depths(model: Any, train: Images, image_input: ImageInput, *, classes: int) -> tuple[Depth, ...]:
    """What the features at each cut, and the last ones, are worth for these classes; measured in seconds."""
    some = _some(train)
    found = pooled_features(model, [*find_cuts(model), LAST], some.pixels, image_input)
    return tuple(
        Depth(layer=layer, separability=separability(features, some.labels, classes))
        for layer, features in found.items()
    )


def _differs(depths: tuple[Depth, ...]) -> bool:
    return max(depth.separability for depth in depths) >= depths[-1].separability + MARGIN


def _some(train: Images) -> Images:
    """At most `PROBED` photos, class after class in turn."""
    turn = np.empty(len(train.labels), np.int64)
    for label in np.unique(train.labels):
        turn[train.labels == label] = np.arange((train.labels == label).sum())
    order = np.sort(np.argsort(turn, kind="stable")[:PROBED])
    return Images(
        pixels=train.pixels[order],
        labels=train.labels[order],
        paths=tuple(train.paths[index] for index in order),
        skipped=(),
    )
