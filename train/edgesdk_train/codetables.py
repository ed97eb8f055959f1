"""The entropy coder's integer tables, learned from codes: what to expect of each value, and how often it is what.

Expected magnitudes minimize what a geometric distribution of that mean would cost; the probabilities are then counted,
bin by bin, on the whole numbers that the device will compute. All of it happens twice: what the first tables leave out
of a code is no longer there for the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

from edgesdk.codecs.context import (
    BINS,
    ESCAPE,
    LARGEST_CONTEXT,
    SKIPPED_BINS,
    STAGES,
    THRIFT_BITS,
    TOKEN_OF,
    TOKENS,
    TOTAL,
    UNIT,
    Code,
    Tables,
    bins_of,
    earlier_groups,
    grid_of,
    make_tables,
)

STEPS = 600
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
    tables, bins = _fit(examples, predicted, levels, seed)
    return _fit(_thin_out(examples, tables, bins), predicted, levels, seed)[0]


def _fit(examples: Sequence[Example], predicted: int, levels: int, seed: int) -> tuple[Tables, npt.NDArray[np.int32]]:
    """Tables, and the bin of each place of all codes, int32 [places, channels]."""
    parts = [_describe(example, predicted, levels) for example in examples]
    rows = _Rows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].__dict__})
    base, here, around, beside = (
        np.rint(values.astype(np.float64) * UNIT).astype(np.int64)
        for values in _fit_expectations(rows, levels, predicted, seed)
    )
    expected = rows.here @ here.T.astype(np.float32) + rows.around @ around.T.astype(np.float32)
    expected += rows.beside * beside.astype(np.float32) + base.reshape(-1)[rows.start].astype(np.float32)
    bins = bins_of(expected)
    frequencies = _count(bins, rows.size)
    tables = make_tables(
        predicted=predicted, base=base, here=here, around=around, beside=beside, frequencies=frequencies
    )
    return tables, bins


def _thin_out(examples: Sequence[Example], tables: Tables, bins: npt.NDArray[np.int32]) -> list[Example]:
    """The codes as the device will send them: where little is expected, zero."""
    counts = np.maximum(tables.token_counts, 0.5)
    dear = np.log2(counts[:, 0] / counts[:, 1]) + 1 > THRIFT_BITS
    thin, start = [], 0
    for example in examples:
        code = example.code.reshape(-1, tables.channels)
        there = bins[start : start + len(code)]
        start += len(code)
        lonely = (there < SKIPPED_BINS) | (dear[there] & (np.abs(code.astype(np.int16)) == 1))
        lonely[:, : tables.predicted] = False
        thin.append(replace(example, code=np.where(lonely, 0, code).astype(np.int8).reshape(example.code.shape)))
    return thin


def _describe(example: Example, predicted: int, levels: int) -> _Rows:
    """One code as rows in reading order, with what the device will know at each place."""
    height, width, channels = example.code.shape
    grid = grid_of(height, width)
    values = example.code.reshape(-1, channels).astype(np.int64)
    size, beside = np.abs(values).astype(np.float32), np.zeros(values.shape, np.float32)
    stage = np.zeros(values.shape, np.int32)
    stage[grid.odd] = 1
    for item in grid.stages:
        mean, spread = (found.T for found in item.predict(values[:, :predicted].T))
        size[item.places, :predicted] = np.abs(values[item.places, :predicted] - mean)
        beside[item.places, :predicted] = spread
        stage[item.places, :predicted] = item.index
    here = np.minimum(size, LARGEST_CONTEXT)
    around = grid.around(here[grid.order].T)[:, grid.place].T
    beside[grid.odd, predicted:] = grid.beside(here[grid.even, predicted:].T).T
    start = (example.level * channels + np.arange(channels, dtype=np.int32)) * STAGES + stage
    return _Rows(size=size, here=here, around=around, beside=beside, start=start.astype(np.int32))


def _fit_expectations(rows: _Rows, levels: int, predicted: int, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """base [levels, channels, stages], here and around [channels, channels], beside [channels], all >= 0."""
    channels = rows.size.shape[1]
    before = earlier_groups(channels, predicted).astype(np.float32)
    mean = np.maximum(rows.size.mean(0), 0.003)
    logs = [
        tf.Variable(np.tile(np.log(mean / 3)[None, :, None], (levels, 1, STAGES)).astype(np.float32)),
        tf.Variable(np.full((channels, channels), -7.0, np.float32)),
        tf.Variable(np.full((channels, channels), -9.0, np.float32)),
        tf.Variable(np.full(channels, -3.0, np.float32)),
    ]
    schedule = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    optimizer = keras.optimizers.Adam(schedule, epsilon=1e-6)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(size: Any, here: Any, around: Any, beside: Any, start: Any) -> Any:
        with tf.GradientTape() as tape:
            weights = [tf.exp(log) for log in logs]
            expected = tf.gather(tf.reshape(weights[0], [-1]), start)
            expected += tf.matmul(here, weights[1] * before, transpose_b=True)
            expected += tf.matmul(around, weights[2] * before, transpose_b=True)
            expected += beside * weights[3]
            expected = tf.maximum(expected, 4 / UNIT)
            cost = size * tf.math.log1p(1 / expected) + tf.math.log1p(expected)
            loss = tf.reduce_mean(tf.reduce_sum(cost, 1))
        optimizer.apply_gradients(zip(tape.gradient(loss, logs), logs, strict=True))
        return loss

    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        pick = rng.integers(len(rows.size), size=min(ROWS, len(rows.size)))
        step(*(tf.constant(part[pick]) for part in (rows.size, rows.here, rows.around, rows.beside, rows.start)))
    base, here, around, beside = (np.exp(log.numpy()) for log in logs)
    return base, here * before, around * before, beside


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
