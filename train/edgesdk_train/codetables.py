"""The entropy coder's integer tables, learned from codes: what to expect of each value, and how often it is what.

Expected magnitudes minimize what a geometric distribution of that mean would cost; the probabilities are then counted,
bin by bin, on the whole numbers that the device will compute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.codecontext import (
    BINS,
    ESCAPE,
    LARGEST_CONTEXT,
    STAGES,
    TOKEN_OF,
    TOKENS,
    TOTAL,
    UNIT,
    Code,
    Tables,
    bins_of,
    grid_of,
    make_tables,
)

STEPS = 600  # with every weight; then half as many with those that are kept
MOST_HERE, MOST_AROUND = 12, 4  # weights of a channel: each one costs time
ROWS = 8192  # places a step
RATE = 0.05
PRIOR_COUNT = 200.0  # how many values of a geometric distribution are mixed into a bin's count

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A code, and the quality it was made at: 0 to levels - 1."""

    code: Code
    level: int


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """All places of all codes: float32 [places, channels] each, and int32 [places, channels] `start` into base."""

    size: Floats
    here: Floats
    around: Floats
    beside: Floats
    start: npt.NDArray[np.int32]


def fit_tables(examples: Sequence[Example], *, predicted: int, levels: int, seed: int = 0) -> Tables:
    """Tables for codes like these.

    Args:
        examples: at least one of each level, better hundreds.
        predicted: how many channels, from the first, are predicted from coarse to fine.
        levels: how many qualities have expectations of their own.
        seed: of the order in which places are looked at.
    """
    channels = examples[0].code.shape[2]
    parts = [_describe(example, predicted, levels) for example in examples]
    rows = _Rows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].__dict__})
    base, here, around, beside = _fit_expectations(rows, levels, channels, seed)

    def whole(values: Floats) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = np.rint(values.astype(np.float64) * UNIT).astype(np.int64)
        return found

    numbers = {"base": whole(base), "here": whole(here), "around": whole(around), "beside": whole(beside)}
    expected = rows.here @ numbers["here"].T.astype(np.float32) + rows.around @ numbers["around"].T.astype(np.float32)
    expected += rows.beside * numbers["beside"].astype(np.float32)
    expected += numbers["base"].reshape(-1)[rows.start]
    frequencies = _count(bins_of(expected.astype(np.float32)), rows.size)
    return make_tables(predicted=predicted, frequencies=frequencies, **numbers)


def _describe(example: Example, predicted: int, levels: int) -> _Rows:
    """One code as rows in reading order, with what the device will know at each place."""
    height, width, channels = example.code.shape
    grid = grid_of(height, width)
    values = example.code.reshape(-1, channels).astype(np.int64)
    size, beside = np.abs(values).astype(np.float32), np.zeros(values.shape, np.float32)
    stage = np.zeros(values.shape, np.int32)
    stage[grid.odd] = 1
    for channel in range(predicted):
        for item in grid.stages:
            mean, spread = item.predict(values[:, channel])
            size[item.places, channel] = np.abs(values[item.places, channel] - mean)
            beside[item.places, channel] = spread
            stage[item.places, channel] = item.index
    here = np.minimum(size, LARGEST_CONTEXT)
    around = np.stack([grid.around(np.ascontiguousarray(plane))[grid.place] for plane in here.T], 1)
    for channel in range(predicted, channels):
        beside[grid.odd, channel] = grid.beside(here[grid.even, channel])
    start = (example.level * channels + np.arange(channels, dtype=np.int32)) * STAGES + stage
    return _Rows(size=size, here=here, around=around, beside=beside, start=start.astype(np.int32))


def _fit_expectations(rows: _Rows, levels: int, channels: int, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """base [levels, channels, stages], here and around [channels, channels], beside [channels], all >= 0."""
    before = np.tril(np.ones((channels, channels), np.float32), -1)
    masks = [tf.Variable(before), tf.Variable(before)]
    mean = np.maximum(rows.size.mean(0), 0.003)
    logs = [
        tf.Variable(np.tile(np.log(mean / 3)[None, :, None], (levels, 1, STAGES)).astype(np.float32)),
        tf.Variable(np.full((channels, channels), -7.0, np.float32)),
        tf.Variable(np.full((channels, channels), -9.0, np.float32)),
        tf.Variable(np.full(channels, -3.0, np.float32)),
    ]
    schedule = keras.optimizers.schedules.CosineDecay(RATE, STEPS + STEPS // 2)
    optimizer = keras.optimizers.Adam(schedule, epsilon=1e-6)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(size: Any, here: Any, around: Any, beside: Any, start: Any) -> Any:
        with tf.GradientTape() as tape:
            weights = [tf.exp(log) for log in logs]
            expected = tf.gather(tf.reshape(weights[0], [-1]), start)
            expected += tf.matmul(here, weights[1] * masks[0], transpose_b=True)
            expected += tf.matmul(around, weights[2] * masks[1], transpose_b=True)
            expected += beside * weights[3]
            expected = tf.maximum(expected, 4 / UNIT)
            cost = size * tf.math.log1p(1 / expected) + tf.math.log1p(expected)
            loss = tf.reduce_mean(tf.reduce_sum(cost, 1))
        optimizer.apply_gradients(zip(tape.gradient(loss, logs), logs, strict=True))
        return loss

    rng = np.random.default_rng(seed)
    importance = [rows.here.mean(0), rows.around.mean(0)]
    for done in range(STEPS + STEPS // 2):
        if done == STEPS:
            for mask, log, values, most in zip(masks, logs[1:3], importance, (MOST_HERE, MOST_AROUND), strict=True):
                mask.assign(_strongest(np.exp(log.numpy()) * before * values, most))
        pick = rng.integers(len(rows.size), size=min(ROWS, len(rows.size)))
        step(*(tf.constant(part[pick]) for part in (rows.size, rows.here, rows.around, rows.beside, rows.start)))
    base, here, around, beside = (np.exp(log.numpy()) for log in logs)
    return base, here * masks[0].numpy(), around * masks[1].numpy(), beside


def _strongest(weights: Floats, most: int) -> Floats:
    """1 at the largest few of each row that are not zero, else 0."""
    order = np.argsort(-weights, 1)
    keep = np.zeros_like(weights)
    np.put_along_axis(keep, order[:, :most], 1, 1)
    return np.where(weights > 0, keep, 0).astype(np.float32)


def _count(bins: npt.NDArray[np.int32], size: Floats) -> npt.NDArray[np.int64]:
    """Frequencies [bins, tokens] that add up to 4096 in each bin; a token that is rarer than one is an escape there."""
    tokens = TOKEN_OF[size.astype(np.int64)]
    counted = np.bincount((bins * TOKENS + tokens).reshape(-1), minlength=BINS * TOKENS).reshape(BINS, TOKENS)
    frequencies = np.zeros((BINS, TOKENS), np.int64)
    for index in range(BINS):
        mean = (4 << index // 4) * (1 + (index % 4 + 0.5) / 4) / UNIT
        geometric = 1 / (1 + mean) * (mean / (1 + mean)) ** np.arange(len(TOKEN_OF))
        prior = np.bincount(TOKEN_OF, geometric, TOKENS)
        share = counted[index] + PRIOR_COUNT * prior
        share = share / share.sum() * TOTAL
        row = np.rint(share).astype(np.int64)
        row[[0, ESCAPE]] = np.maximum(row[[0, ESCAPE]], 1)
        row[int(row.argmax())] += TOTAL - row.sum()
        frequencies[index] = row
    return frequencies
