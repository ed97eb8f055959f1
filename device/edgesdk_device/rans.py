"""An entropy coder in whole numbers: many rANS states side by side, so that NumPy decodes a thousand symbols at once.

J. Duda, Asymmetric numeral systems, arXiv 1311.2540; lanes as in F. Giesen, Interleaved entropy coders, arXiv
1402.3392. A state lies in [2^16, 2^17) and moves bit by bit, which costs less than half a bit a lane at the end; what a
lane's first state would waste carries 16 bits of the caller's.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.codecs.context import PRECISION, TOTAL, Tables
from edgesdk.errors import StreamError

STATE_BITS = 16
LOW = 1 << STATE_BITS
MOST_LANES = 1024
LONGEST = 12  # bits that one symbol can move

Ints = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, kw_only=True)
class Coding:
    """What `Tables.token_counts` becomes for coding.

    Attributes:
        frequency, start: int32 [bins, tokens], out of 4096.
        shift, limit: int32 [bins, tokens]: a state moves `shift` bits, one more from `limit` on.
        slots: uint32 [bins * 4096]: token, offset within it (12 bits) and frequency (13 bits) of each slot.
        bits: float64 [bins, tokens]: what a symbol costs.
    """

    frequency: Ints
    start: Ints
    shift: Ints
    limit: Ints
    slots: Words
    bits: npt.NDArray[np.float64]


@lru_cache(maxsize=8)
def coding_of(tables: Tables) -> Coding:
    """The coding of a model's tables; the last few are kept."""
    counts = tables.token_counts
    start = np.cumsum(counts, 1) - counts
    floor = np.maximum(counts, 1) << (STATE_BITS - PRECISION)
    shift = STATE_BITS - np.ceil(np.log2(floor)).astype(np.int64)
    token = np.repeat(np.tile(np.arange(counts.shape[1]), len(counts)), counts.reshape(-1))
    slot = np.tile(np.arange(TOTAL), len(counts))
    row = np.repeat(np.arange(len(counts)), TOTAL)
    slots = token | (slot - start[row, token]) << 4 | counts[row, token] << 16
    return Coding(
        frequency=counts.astype(np.int32),
        start=start.astype(np.int32),
        shift=shift.astype(np.int32),
        limit=(floor << (shift + 1)).astype(np.int32),
        slots=slots.astype(np.uint32),
        bits=np.where(counts > 0, -np.log2(np.maximum(counts, 1) / TOTAL), np.inf),
    )


def encode_symbols(
    bins: Ints, tokens: npt.NDArray[Any], passes: list[int], coding: Coding, carried: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """Symbols -> the lanes' last states, which the decoder begins with, and the bits that they moved, 0 and 1.

    Args:
        bins, tokens: of all symbols, in the decoder's order.
        passes: how many of them each pass has.
        carried: 16-bit numbers, one a lane, that the decoder will find in its last states.
    """
    lanes = len(carried)
    state = carried.astype(np.int32) + LOW
    index = bins * coding.frequency.shape[1] + tokens
    frequency, start, shift, limit = (
        np.take(table, index) for table in (coding.frequency, coding.start, coding.shift, coding.limit)
    )
    real, rest = frequency.astype(np.float64), TOTAL - frequency
    moved_values, moved_bits = np.zeros(len(index), np.int32), np.zeros(len(index), np.int32)
    masks = ((1 << np.arange(STATE_BITS + 1)) - 1).astype(np.int32)
    end = len(frequency)
    for length in reversed(passes):
        begin = end - length
        for left in range(begin + (length - 1) // lanes * lanes, begin - 1, -lanes):
            part = slice(left, min(left + lanes, end))
            x = state[: part.stop - left]
            move = shift[part] + (x >= limit[part])
            moved_values[part], moved_bits[part] = x & masks[move], move
            x >>= move
            whole = (x / real[part]).astype(np.int32)  # exact, and faster than whole numbers' division
            x += whole * rest[part] + start[part]
        end = begin
    used = moved_bits > 0
    return (state - LOW).astype(np.uint16), expand_bits(moved_values[used], moved_bits[used])


class Decoder:
    """The way back, pass by pass.

    Args:
        states: uint16, one a lane.
        moved: begins with the bits that the encoder moved out.
        coding: of the same tables.
    """

    def __init__(self, states: npt.NDArray[Any], moved: bytes, coding: Coding) -> None:
        self._state = states.astype(np.uint32) + np.uint32(LOW)
        self._slots = coding.slots
        self._windows = windows(moved, LONGEST * len(states) // 8 + 8)
        self.position, self._bits = 0, 8 * len(moved)

    def decode(self, bins: Ints) -> npt.NDArray[np.uint32]:
        """The tokens of one pass.

        Raises:
            StreamError: if the bits are used up.
        """
        lanes = len(self._state)
        row = bins.astype(np.uint32) << np.uint32(PRECISION)
        tokens = np.empty(len(bins), np.uint32)
        for left in range(0, len(bins), lanes):
            x = self._state[: len(bins) - left]
            entry = self._slots[row[left : left + lanes] + (x & np.uint32(TOTAL - 1))]
            tokens[left : left + lanes] = entry & np.uint32(15)
            x >>= np.uint32(PRECISION)
            x *= entry >> np.uint32(16)
            x += (entry >> np.uint32(4)) & np.uint32(TOTAL - 1)
            move = np.uint32(STATE_BITS + 127) - (x.astype(np.float32).view(np.uint32) >> np.uint32(23))
            end = np.cumsum(move, dtype=np.uint32)
            begin = end - move
            begin += np.uint32(self.position)
            moved = self._windows[begin >> np.uint32(3)] << (begin & np.uint32(7)) >> (np.uint32(32) - move)
            x <<= move
            x |= moved
            self.position += int(end[-1])
            if self.position > self._bits:
                raise StreamError("the stream ends before its picture does: it is damaged or cut short")
        return tokens

    def finish(self) -> npt.NDArray[np.uint16]:
        """The 16-bit numbers that the encoder was given; `position` tells how many bits were read."""
        return (self._state - np.uint32(LOW)).astype(np.uint16)


def expand_bits(values: npt.NDArray[Any], lengths: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bits, 0 and 1, of numbers of so many bits each, one after another, the highest first."""
    total = int(lengths.sum())
    which = np.repeat(np.arange(len(values)), lengths)
    place = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(total)
    bits: npt.NDArray[np.uint8] = ((values[which] >> place) & 1).astype(np.uint8)
    return bits


def windows(data: bytes, padding: int = 8) -> Words:
    """The 32 bits that begin at each byte, zeros after the end, as numbers."""
    padded = np.frombuffer(data + bytes(padding + 3), np.uint8).astype(np.uint32)
    joined = padded[:-3] << 24 | padded[1:-2] << 16 | padded[2:-1] << 8 | padded[3:]
    return joined.astype(np.uint32, copy=False)


class BitReader:
    """Reads numbers that `expand_bits` expanded, packed into bytes."""

    def __init__(self, data: bytes) -> None:
        self._windows, self._bits, self.position = windows(data), 8 * len(data), 0

    def read(self, lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The next numbers, of 0 to 16 bits each.

        Raises:
            StreamError: if the bits are used up.
        """
        end = np.cumsum(lengths) + self.position
        if len(end) and int(end[-1]) > self._bits:
            raise StreamError("the stream ends before its picture does: it is damaged or cut short")
        begin = end - lengths
        word = self._windows[begin >> 3].astype(np.int64)
        if len(end):
            self.position = int(end[-1])
        found: npt.NDArray[np.int64] = (word >> (32 - (begin & 7) - lengths)) & ((1 << lengths) - 1)
        return found

    def take(self, count: int) -> npt.NDArray[np.uint8]:
        """The next bits, uint8 [count] of 0 and 1.

        Raises:
            StreamError: if the bits are used up.
        """
        return self.read(np.ones(count, np.int64)).astype(np.uint8)
