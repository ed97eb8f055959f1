"""The values of a stretch of learning: its settings, its rows, and where it stands."""

import math
from dataclasses import dataclass, field
from typing import Literal

from edgesdk.runfolder import Methods

NOTHING = (float("-inf"), float("-inf"))  # the merit of no epoch at all


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of learning.

    Attributes:
        name: shown to the user and kept in the history.
        epochs: at most.
        rate: Adam's largest learning rate; reached after a warm-up, then a cosine to zero.
        epsilon: Adam's.
        batch: images a step, on all devices together.
        patience: epochs in a row without a better one that it goes on after; one more ends it.
        flip: see `augment`.
        seed: of shuffling and augmentation, with the epoch's number.
        methods: what it does beyond that.
        keep: what makes an epoch the better one: the lower validation loss, or more right validation photos (of equally
            many the lower loss). As it grows sure of itself, a network's loss rises while its answers still get better.
    """

    name: str
    epochs: int
    rate: float
    epsilon: float
    batch: int
    patience: int
    flip: bool
    seed: int
    methods: Methods = field(default_factory=Methods)
    keep: Literal["loss", "top1"] = "loss"

    def merit(self, row: "Epoch") -> tuple[float, float]:
        """What the better epoch has more of."""
        if math.isnan(row.val_loss):
            return NOTHING
        return row.val_top1 if self.keep == "top1" else 0.0, -row.val_loss


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of history.csv: means over the epoch; top-1 as fractions."""

    stage: str
    epoch: int
    loss: float
    top1: float
    val_loss: float
    val_top1: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a stage stands: what a checkpoint holds beside the weights.

    Attributes:
        before: rows of what was learned before the stage, whose weights it starts from.
        best: the merit of the weights that are kept.
        epochs: how many there will be: the stage's, or as many as its time allows.
        seconds: spent so far, over all resumes.
    """

    before: tuple[Epoch, ...] = ()
    history: tuple[Epoch, ...] = ()
    best: tuple[float, float] = NOTHING
    stage: Stage | None = None
    epochs: int = 0
    seconds: float = 0.0

    def stalled(self, stage: Stage) -> bool:
        """Whether the stage's best epoch is more than `patience` epochs ago."""
        merits = [stage.merit(row) for row in self.history]
        return bool(merits) and len(merits) - 1 - merits.index(max(merits)) > stage.patience
