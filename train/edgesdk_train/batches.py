"""The photos of an epoch as a step takes them: other views of each, and what is to be answered."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.errors import EngineError
from edgesdk.photos.data import Images
from edgesdk.preprocess import Pixels
from edgesdk_train.augment import augment
from edgesdk_train.mixing import mix
from edgesdk_train.randaugment import rand_augment
from edgesdk_train.stage import Stage
from edgesdk_train.team import ALONE, Team

Targets = npt.NDArray[np.float32]


def batches(
    train: Images, stage: Stage, classes: int, epoch: int, ahead: ThreadPoolExecutor, team: Team = ALONE
) -> Iterator[tuple[Pixels, Targets, float, int]]:
    """This process' part of the epoch's batches, each prepared while the one before is learned.

    Every random number depends on the stage's seed, the epoch, the batch and the process alone.

    Yields:
        (pixels uint8 [n, height, width, channels], targets float32 [n, classes], which share of the whole batch these
        are, 0 to 1, and how many photos the whole batch has). A share of 0 comes with one photo that does not count.
    """
    chunks = deal(train, stage, epoch, team)
    answers = class_targets(train.labels, stage, classes)

    def prepare(index: int) -> tuple[Pixels, Targets, float, int]:
        (chunk, whole), member = chunks[index], [1 + team.index] * (team.count > 1)
        rng = np.random.default_rng([stage.seed, epoch, index, *member])
        shown = chunk if len(chunk) else team.own(train)[:1]
        mixed = mix(_views(train.pixels[shown], stage, rng), answers[shown], rng, kind=stage.methods.mix)
        return *mixed, len(chunk) / whole, whole

    upcoming = ahead.submit(prepare, 0)
    for index in range(len(chunks)):
        batch = upcoming.result()
        if index + 1 < len(chunks):
            upcoming = ahead.submit(prepare, index + 1)
        yield batch


def deal(train: Images, stage: Stage, epoch: int, team: Team) -> list[tuple[npt.NDArray[np.int64], int]]:
    """(rows of this process, how many rows all have) of each batch of an epoch, in which every photo comes once.

    All photos are shuffled together and each batch is divided; of shards, each process shuffles its own and spreads
    them over as many batches, so that it needs no other's.

    Raises:
        EngineError: if there are fewer shards than processes.
    """
    steps = -(-len(train.labels) // stage.batch)
    rng = np.random.default_rng([stage.seed, epoch])
    if team.count == 1 or train.shards is None:
        order = rng.permutation(len(train.labels))
        chunks = [order[start : start + stage.batch] for start in range(0, len(order), stage.batch)]
        return [(np.array_split(chunk, team.count)[team.index], len(chunk)) for chunk in chunks]
    orders = [rng.permutation(replace(team, index=member).own(train)) for member in range(team.count)]
    if not all(map(len, orders)):
        raise EngineError(f"there are fewer shards than {team.count} workers: pack again with a smaller --shard-size")
    parts = [np.array_split(order, steps) for order in orders]
    return [(parts[team.index][step], sum(len(part[step]) for part in parts)) for step in range(steps)]


def class_targets(labels: npt.NDArray[np.int32], stage: Stage, classes: int) -> Targets:
    """What is to be answered, [n, classes]: a one at the label, smoothed and weighted as the stage says.

    C. Szegedy et al., Rethinking the Inception Architecture, arXiv 1512.00567, section 7: a share of each answer is
    spread over all classes. A class's weight makes all classes count alike, however many photos each has.
    """
    methods = stage.methods
    targets = np.eye(classes, dtype=np.float32)[labels] * (1 - methods.label_smoothing)
    targets += methods.label_smoothing / classes
    if methods.class_weights:
        counts = np.bincount(labels, minlength=classes)
        present = (counts > 0).sum()
        targets *= (len(labels) / (present * np.maximum(counts, 1))).astype(np.float32)[labels][:, None]
    return targets


def _views(pixels: Pixels, stage: Stage, rng: Any) -> Pixels:
    if stage.methods.augment == "none":
        return pixels
    make = rand_augment if stage.methods.augment == "rand" else augment
    return make(pixels, rng, flip=stage.flip)
