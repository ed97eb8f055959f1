"""What both ends of a codec know of a code before they see it: order, predictions, contexts, static integer tables.

A code is int8 [h, w, channels]. Its channels come one after another. The first few, a picture's averages, are predicted
from coarse to fine: each pass fills the points between those already there with their neighbours' mean, along an edge
if there is one, and what is coded is the difference. Every other channel comes in two passes, as the squares of a
chessboard. How large a value will be is expected as a weighted sum of magnitudes already known: at the same place and
around it in the channels before, and beside it in its own. The sum is a whole number below 2^24, so that float32 holds
it exactly and every machine finds the same one; its four leading bits choose the table of probabilities, and where next
to nothing is expected, zero is taken for granted. No network takes part. After D. He et al., ELIC, arXiv 2203.10886,
whose space-channel contexts are networks.
"""

import base64
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from edgesdk.errors import ModelFileError

Code = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

UNIT = 4096  # of expected magnitudes
LARGEST_CONTEXT = 31  # larger magnitudes count as this much in a context
EXACT = 2**24
BINS = 56  # quarter octaves from 4 / UNIT up
LOWEST_BIN = (127 + 2) << 2
SKIPPED_BINS = 8  # where less is expected, a value is zero and is not coded
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


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The static integers of one model's entropy coder, as its contract holds them.

    Attributes:
        channels: of the code.
        predicted: how many channels come first and are predicted from their own neighbours.
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
        if not (1 <= n <= 1024 and 0 <= self.predicted <= n and 1 <= self.levels <= 64):
            raise ModelFileError("the codec's tables have impossible sizes: the file is damaged")
        if self._numbers.size != self.levels * n * STAGES + 2 * n * n + n or counts.size != BINS * TOKENS:
            raise ModelFileError("the codec's tables are of another size than their channels say: the file is damaged")
        if (counts.sum(1) != TOTAL).any() or (counts[:, [0, ESCAPE]] == 0).any():
            raise ModelFileError(f"the codec's frequencies do not add up to {TOTAL}: the file is damaged")
        largest = np.abs(self.here).sum(1) * LARGEST_CONTEXT + np.abs(self.around).sum(1) * 8 * LARGEST_CONTEXT
        largest = largest + np.abs(self.beside) * 1024 + np.abs(self.base).max((0, 2))
        if (largest >= EXACT).any() or np.triu(self.here).any() or np.triu(self.around).any():
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
        """Weights [channel, channel before it] of the magnitude at the same place."""
        return self._square(0)

    @cached_property
    def around(self) -> npt.NDArray[np.int64]:
        """Weights [channel, channel before it] of the sum of the eight neighbours' magnitudes."""
        return self._square(1)

    @cached_property
    def beside(self) -> npt.NDArray[np.int64]:
        """Weight [channels] of the four neighbours in the channel itself, or of their spread where it is predicted."""
        return self._numbers[-self.channels :]

    @cached_property
    def inputs(self) -> tuple[tuple[Indices, Floats], ...]:
        """Of each channel: which magnitudes it looks at, 0 to 2 * channels - 1 (`here`, then `around`), and weights."""
        both = np.concatenate([self.here, self.around], 1)
        rows = [np.flatnonzero(row) for row in both]
        return tuple((index, row[index].astype(np.float32)) for index, row in zip(rows, both, strict=True))


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


@dataclass(frozen=True, kw_only=True)
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

    def predict(self, plane: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What is expected [n], 0 without neighbours, and their spread around it [n], as if they were four.

        It is the neighbours' rounded mean, or that of two which face each other and differ less than half as much as
        the other two.

        Args:
            plane: the channel, flat; known at the neighbours.
        """
        values = plane[self.neighbours] * self.known
        count = np.maximum(self.known.sum(0), 1)
        mean = (2 * values.sum(0) + count) // (2 * count)
        first, second = np.abs(values[0] - values[1]), np.abs(values[2] - values[3])
        whole = count == 4
        mean = np.where(whole & (2 * first < second), (values[0] + values[1] + 1) >> 1, mean)
        mean = np.where(whole & (2 * second < first), (values[2] + values[3] + 1) >> 1, mean)
        spread = (np.abs(values - mean) * self.known).sum(0) * 4 // count
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

    def around(self, plane: Floats) -> Floats:
        """The sum of the eight neighbours of each place, in coding order; `plane` is flat, in reading order."""
        wide = np.zeros((self.height + 2, self.width + 2), np.float32)
        wide[1:-1, 1:-1] = plane.reshape(self.height, self.width)
        rows = wide[:-2] + wide[1:-1] + wide[2:]
        whole = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - wide[1:-1, 1:-1]
        found: Floats = whole.reshape(-1)[self.order]
        return found

    def beside(self, even: Floats) -> Floats:
        """The sum of the four neighbours of each odd place; `even` holds the even places' magnitudes."""
        wide = np.zeros((self.height + 2, self.width + 2), np.float32)
        inner = np.zeros(self.height * self.width, np.float32)
        inner[self.even] = even
        wide[1:-1, 1:-1] = inner.reshape(self.height, self.width)
        whole = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
        found: Floats = whole.reshape(-1)[self.odd]
        return found


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
