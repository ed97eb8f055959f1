"""The values of a stretch of learning: its settings, its rows, and where it stands."""

from dataclasses import dataclass, field

from edgesdk.runfolder import Methods


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


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of history.csv: means over the epoch; top-1 as fractions.

    Attributes:
        val_calibrated: the validation loss at the temperature that suits the answers best. The epoch where it is lowest
            is the best one: the plain loss rises as a network grows sure of itself, while its answers still get better.
    """

    stage: str
    epoch: int
    loss: float
    top1: float
    val_loss: float
    val_top1: float
    val_calibrated: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a stage stands: what a checkpoint holds beside the weights.

    Attributes:
        before: rows of what was learned before the stage, whose weights it starts from.
        epochs: how many there will be: the stage's, or as many as its time allows.
        seconds: spent so far, over all resumes.
    """

    before: tuple[Epoch, ...] = ()
    history: tuple[Epoch, ...] = ()
    best_loss: float = float("inf")
    stage: Stage | None = None
    epochs: int = 0
    seconds: float = 0.0

    def stalled(self, patience: int) -> bool:
        """Whether the stage's best epoch is more than `patience` epochs ago."""
        losses = [row.val_calibrated for row in self.history]
        return bool(losses) and len(losses) - 1 - losses.index(min(losses)) > patience
