"""The photos of an epoch as a step takes them: other views of each, and what is to be answered."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.data import Images
from edgesdk.preprocess import Pixels
from edgesdk_train.augment import augment
from edgesdk_train.mixing import mix
from edgesdk_train.randaugment import rand_augment
from edgesdk_train.stage import Stage

Targets = npt.NDArray[np.float32]


def batches(
    train: Images, stage: Stage, classes: int, epoch: int, ahead: ThreadPoolExecutor
) -> Iterator[tuple[Pixels, Targets]]:
    """The epoch's batches, each prepared while the one before is learned.

    Every random number depends on the stage's seed, the epoch and the batch alone.

    Yields:
        (pixels uint8 [n, height, width, channels], targets float32 [n, classes]).
    """
    rng = np.random.default_rng([stage.seed, epoch])
    order = rng.permutation(len(train.labels))
    chunks = [order[start : start + stage.batch] for start in range(0, len(order), stage.batch)]
    answers = class_targets(train.labels, stage, classes)

    def prepare(index: int) -> tuple[Pixels, Targets]:
        chunk, rng = chunks[index], np.random.default_rng([stage.seed, epoch, index])
        return mix(_views(train.pixels[chunk], stage, rng), answers[chunk], rng, kind=stage.methods.mix)

    upcoming = ahead.submit(prepare, 0)
    for index in range(len(chunks)):
        batch = upcoming.result()
        if index + 1 < len(chunks):
            upcoming = ahead.submit(prepare, index + 1)
        yield batch


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
