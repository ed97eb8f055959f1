"""What both ends of a codec know of a code before they see it: order, predictions, contexts, static integer tables.

A code is int8 [h, w, channels]. Its channels come in groups. The first group, a picture's averages, is predicted from
coarse to fine: each pass fills the points between those already there with their neighbours' mean, along an edge if
there is one, and what is coded is the difference. Every other group comes in two passes, as the squares of a
chessboard. How large a value will be is expected as a weighted sum of magnitudes already known: at the same place and
around it in the groups before, and beside it in its own channel. The sum is a whole number below 2^24, so that float32
holds it exactly and every machine finds the same one; its four leading bits choose the table of probabilities, and
where next to nothing is expected, zero is taken for granted. No network takes part. After D. He et al., ELIC, arXiv
2203.10886, whose space-channel contexts are networks.
"""

import base64
import zlib
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from edgesdk.errors import ModelFileError
from edgesdk.frozen import frozen

Code = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

UNIT = 4096  # of expected magnitudes
MOST_GROUPS = 24  # of channels that are coded side by side: more would save bits and cost time
LARGEST_CONTEXT = 31  # larger magnitudes count as this much in a context
EXACT = 2**24
BINS = 56  # quarter octaves from 4 / UNIT up
LOWEST_BIN = (127 + 2) << 2
SKIPPED_BINS = 8  # where less is expected, a value is zero and is not coded
THRIFT_BITS = 5.0  # values of 1 or -1 that cost so much more than a zero become zero
STRIDES = (16, 8, 4, 2, 1)
STAGES = 1 + 2 * len(STRIDES)
PRECISION = 12
TOTAL = 1 << PRECISION
TOKENS = 16
ESCAPE = TOKENS - 1
#: token -> its smallest magnitude, and how many bits say which of its magnitudes it is
TOKEN_BASE = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 22, 38, 70, 134, 0])
TOKEN_EXTRA = np.array([0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 9])
#: magnitude 0 to 261 -> token
TOKEN_OF = np.repeat(np.arange(ESCAPE), 1 << TOKEN_EXTRA[:ESCAPE])


@frozen
class Tables:
    """The static integers of one model's entropy coder, as its contract holds them.

    Attributes:
        channels: of the code.
        predicted: how many channels come first, as one group, and are predicted from their own neighbours.
        levels: how many qualities have expectations of their own.
        weights: base64 of the zlib-compressed little-endian int32 of `base` [levels, channels, 11], `here` and `around`
            [channels, channels] and `beside` [channels], one after another.
        frequencies: base64 of the zlib-compressed little-endian uint16 [56, 16]: of each token in each bin, of 4096.

    Raises:
        ModelFileError: if the numbers do not fit together: then the file is damaged.
    """

    channels: int
    predicted: int
    levels: int
    weights: str
    frequencies: str

    def __post_init__(self) -> None:
        n, counts = self.channels, self.token_counts
        if not (1 <= n <= 1024 and 1 <= self.predicted <= n and 1 <= self.levels <= 64):
            raise ModelFileError("the codec's tables have impossible sizes: the file is damaged")
        if self._numbers.size != self.levels * n * STAGES + 2 * n * n + n or counts.size != BINS * TOKENS:
            raise ModelFileError("the codec's tables are of another size than their channels say: the file is damaged")
        if (counts.sum(1) != TOTAL).any() or (counts[:, [0, ESCAPE]] == 0).any():
            raise ModelFileError(f"the codec's frequencies do not add up to {TOTAL}: the file is damaged")
        largest = np.abs(self.here).sum(1) * LARGEST_CONTEXT + np.abs(self.around).sum(1) * 8 * LARGEST_CONTEXT
        largest = largest + np.abs(self.beside) * 1024 + np.abs(self.base).max((0, 2))
        later = ~earlier_groups(n, self.predicted)
        if (largest >= EXACT).any() or self.here[later].any() or self.around[later].any():
            raise ModelFileError("the codec's context weights are out of range: the file is damaged")

    @cached_property
    def _numbers(self) -> npt.NDArray[np.int64]:
        return _unpack(self.weights, "<i4")

    @cached_property
    def token_counts(self) -> npt.NDArray[np.int64]:
        """Frequency of each token in each bin, int64 [56, 16], out of 4096."""
        return _unpack(self.frequencies, "<u2").reshape(-1, TOKENS)

    @cached_property
    def base(self) -> npt.NDArray[np.int64]:
        """Expected magnitude where nothing else is known, [levels, channels, stages], in 1 / UNIT."""
        size = self.levels * self.channels * STAGES
        return self._numbers[:size].reshape(self.levels, self.channels, STAGES)

    def _square(self, which: int) -> npt.NDArray[np.int64]:
        start = self.levels * self.channels * STAGES + which * self.channels**2
        return self._numbers[start : start + self.channels**2].reshape(self.channels, self.channels)

    @cached_property
    def here(self) -> npt.NDArray[np.int64]:
        """Weights [channel, channel of an earlier group] of the magnitude at the same place."""
        return self._square(0)

    @cached_property
    def around(self) -> npt.NDArray[np.int64]:
        """Weights [channel, channel of an earlier group] of the sum of the eight neighbours' magnitudes."""
        return self._square(1)

    @cached_property
    def beside(self) -> npt.NDArray[np.int64]:
        """Weight [channels] of the four neighbours in the channel itself, or of their spread where it is predicted."""
        return self._numbers[-self.channels :]

    @cached_property
    def contexts(self) -> tuple[Floats, Floats]:
        """`here` and `around` as float32."""
        return self.here.astype(np.float32), self.around.astype(np.float32)

    @cached_property
    def groups(self) -> tuple[slice, ...]:
        """Of channels, in coding order; the predicted ones are the first."""
        return groups_of(self.channels, self.predicted)


def groups_of(channels: int, predicted: int) -> tuple[slice, ...]:
    """The predicted channels, then at most 24 groups of as many as it takes."""
    size = max(1, -(-(channels - predicted) // MOST_GROUPS))
    rest = (slice(start, min(start + size, channels)) for start in range(predicted, channels, size))
    return slice(0, predicted), *rest


def earlier_groups(channels: int, predicted: int) -> npt.NDArray[np.bool_]:
    """Whether the second channel's group comes before the first's, bool [channels, channels]."""
    earlier = np.zeros((channels, channels), bool)
    for group in groups_of(channels, predicted):
        earlier[group, : group.start] = True
    return earlier


def make_tables(
    *,
    predicted: int,
    base: npt.NDArray[np.int64],
    here: npt.NDArray[np.int64],
    around: npt.NDArray[np.int64],
    beside: npt.NDArray[np.int64],
    frequencies: npt.NDArray[np.int64],
) -> Tables:
    """Tables of these whole numbers; see `Tables` for shapes and errors."""
    weights = np.concatenate([part.reshape(-1) for part in (base, here, around, beside)]).astype("<i4")
    return Tables(
        channels=len(beside),
        predicted=predicted,
        levels=len(base),
        weights=base64.b64encode(zlib.compress(weights.tobytes(), 9)).decode(),
        frequencies=base64.b64encode(zlib.compress(frequencies.astype("<u2").tobytes(), 9)).decode(),
    )


def _unpack(text: str, kind: str) -> npt.NDArray[np.int64]:
    limit = 64 * 2**20
    try:
        inflate = zlib.decompressobj()
        data = inflate.decompress(base64.b64decode(text, validate=True), limit)
        return np.frombuffer(data, kind).astype(np.int64)
    except (ValueError, zlib.error) as error:
        raise ModelFileError(f"the codec's tables cannot be unpacked ({error}): the file is damaged") from error


@frozen
class Stage:
    """A pass over a predicted channel: the places it fills, and their up to four known neighbours.

    Attributes:
        index: which of the 11 stages.
        places: flat indices [n].
        neighbours: flat indices [4, n], two that face each other, then the other two; where there is none, that of the
            place itself.
        known: 1 or 0 [4, n]: whether there is one.
    """

    index: int
    places: Indices
    neighbours: Indices
    known: npt.NDArray[np.int64]

    def predict(self, planes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What is expected [k, n], 0 without neighbours, and their spread around it [k, n], as if they were four.

        It is the neighbours' rounded mean, or that of two which face each other and differ less than half as much as
        the other two.

        Args:
            planes: channels, flat, [k, height * width]; known at the neighbours.
        """
        values = planes[:, self.neighbours] * self.known
        count = np.maximum(self.known.sum(0), 1)
        mean = (2 * values.sum(1) + count) // (2 * count)
        one, two, three, four = (values[:, k] for k in range(4))
        first, second = np.abs(one - two), np.abs(three - four)
        whole = count == 4
        mean = np.where(whole & (2 * first < second), (one + two + 1) >> 1, mean)
        mean = np.where(whole & (2 * second < first), (three + four + 1) >> 1, mean)
        spread = (np.abs(values - mean[:, None]) * self.known).sum(1) * 4 // count
        return mean, np.minimum(spread, 1023)


class Grid:
    """The places of a code of one size, in the order in which they are coded.

    Attributes:
        even, odd: flat indices of the chessboard's squares.
        order: even, then odd ones.
        stages: of predicted channels, coarse to fine; empty ones left out.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        rows, columns = np.divmod(np.arange(height * width), width)
        self.even, self.odd = np.flatnonzero((rows + columns) % 2 == 0), np.flatnonzero((rows + columns) % 2)
        self.order = np.concatenate([self.even, self.odd])
        self.place = np.argsort(self.order)
        first = 2 * STRIDES[0]
        stages = [self._stage(0, np.flatnonzero((rows % first == 0) & (columns % first == 0)), ())]
        for number, s in enumerate(STRIDES):
            grid = (rows % s == 0) & (columns % s == 0)
            odd_row, odd_column = rows // s % 2 == 1, columns // s % 2 == 1
            corners, sides = grid & odd_row & odd_column, grid & (odd_row != odd_column)
            diagonal = ((-s, -s), (s, s), (-s, s), (s, -s))
            straight = ((-s, 0), (s, 0), (0, -s), (0, s))
            stages.append(self._stage(1 + 2 * number, np.flatnonzero(corners), diagonal))
            stages.append(self._stage(2 + 2 * number, np.flatnonzero(sides), straight))
        self.stages = tuple(stage for stage in stages if stage.places.size)

    def _stage(self, index: int, places: Indices, steps: tuple[tuple[int, int], ...]) -> Stage:
        rows, columns = np.divmod(places, self.width)
        neighbours = np.tile(places, (4, 1))
        known = np.zeros((4, len(places)), np.int64)
        for k, (down, right) in enumerate(steps):
            row, column = rows + down, columns + right
            inside = (row >= 0) & (row < self.height) & (column >= 0) & (column < self.width)
            neighbours[k, inside] = (row * self.width + column)[inside]
            known[k] = inside
        return Stage(index=index, places=places, neighbours=neighbours, known=known)

    def around(self, sizes: Floats) -> Floats:
        """The sum of the eight neighbours of each place; both [k, height * width], in coding order."""
        wide = self._framed(np.take(sizes, self.place, 1))
        rows = wide[:, :-2] + wide[:, 1:-1]
        rows += wide[:, 2:]
        whole = rows[:, :, :-2] + rows[:, :, 1:-1]
        whole += rows[:, :, 2:]
        found: Floats = np.take(whole.reshape(len(sizes), -1), self.order, 1)
        found -= sizes
        return found

    def beside(self, even: Floats) -> Floats:
        """The sum of the four neighbours of each odd place, [k, odd]; `even` holds the even places' magnitudes."""
        flat = np.zeros((len(even), self.height * self.width), np.float32)
        flat[:, self.even] = even
        wide = self._framed(flat)
        whole = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1]
        whole += wide[:, 1:-1, :-2]
        whole += wide[:, 1:-1, 2:]
        found: Floats = np.take(whole.reshape(len(even), -1), self.odd, 1)
        return found

    def _framed(self, planes: Floats) -> Floats:
        wide = np.zeros((len(planes), self.height + 2, self.width + 2), np.float32)
        wide[:, 1:-1, 1:-1] = planes.reshape(-1, self.height, self.width)
        return wide


@lru_cache(maxsize=8)
def grid_of(height: int, width: int) -> Grid:
    """The grid of a size; the last few are kept."""
    return Grid(height, width)


def bins_of(expected: Floats) -> npt.NDArray[np.int32]:
    """The table that each expected magnitude chooses: its exponent and two leading bits.

    Args:
        expected: whole numbers below 2^24, in 1 / UNIT.
    """
    bits = np.maximum(expected, np.float32(4)).view(np.int32) >> 21
    return np.minimum(bits - LOWEST_BIN, BINS - 1)
