"""The processes that learn one network together, each from its own photos."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgesdk.photos.data import Images
from edgesdk.photos.latepixels import LatePixels
from edgesdk_train.judge import TEMPERATURES, tempered_losses


@dataclass(frozen=True, kw_only=True)
class Team:
    """Who learns together, and which of them this process is.

    Attributes:
        index, count: of this process, and of all.
        strategy: TensorFlow's, which adds up what all of them computed; None where this process learns alone.
    """

    index: int = 0
    count: int = 1
    strategy: Any = None

    def own(self, images: Images) -> npt.NDArray[np.int64]:
        """The rows of the images that are this process' to look at: those of its shards, or an even part."""
        rows: npt.NDArray[np.int64] = np.arange(len(images.labels))
        if images.shards is None:
            return np.array_split(rows, self.count)[self.index]
        held: npt.NDArray[np.int64] = rows[images.shards % self.count == self.index]
        return held

    def sum(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The sum over all processes, which call this at the same point with arrays of one shape and type."""
        if self.count == 1:
            return values
        devices = self.strategy.num_replicas_in_sync // self.count
        nothing = np.zeros_like(values)
        each = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(nothing if context.replica_id_in_sync_group % devices else values)
        )
        total: npt.NDArray[Any] = self.strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None).numpy()
        return total

    def first(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The first process' values, in all of them."""
        return self.sum(values if self.index == 0 else np.zeros_like(values))


ALONE = Team()


def select(images: Images, rows: npt.NDArray[np.int64]) -> Images:
    """Some of the images."""
    pixels: Any = images.pixels
    some: Any = pixels.only(rows) if isinstance(pixels, LatePixels) else pixels[rows]
    return replace(
        images,
        pixels=some,
        labels=images.labels[rows],
        paths=tuple(images.paths[row] for row in rows) if images.paths else (),
        shards=None if images.shards is None else images.shards[rows],
    )


def share_weights(model: Any, team: Team) -> None:
    """Give the model the first process' weights."""
    if team.count == 1:
        return
    weights = model.get_weights()
    flat = team.first(np.concatenate([array.ravel() for array in weights]))
    parts = np.split(flat, np.cumsum([array.size for array in weights])[:-1])
    model.set_weights([part.reshape(array.shape) for part, array in zip(parts, weights, strict=True)])


def judge_together(measure: Any, images: Images, team: Team) -> tuple[float, float, float]:
    """(mean loss, top-1, mean loss at the temperature that suits best) of all images; each process judges its own.

    Of an objective that gives no probabilities, the last is the first.
    """
    rows = team.own(images)
    sums: npt.NDArray[Any] = np.zeros(2 + len(TEMPERATURES))
    if len(rows):
        own = images if team.count == 1 else select(images, rows)
        loss, top1, *probabilities = measure(own)
        tempered = tempered_losses(probabilities[0], own.labels) if probabilities else [loss] * len(TEMPERATURES)
        sums = np.array([loss, top1, *tempered]) * len(rows)
    loss, top1, *tempered = (team.sum(sums) / len(images.labels)).tolist()
    return loss, top1, min(tempered)
