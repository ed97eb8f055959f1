"""A code to bytes and back, by the static contexts of `edgesdk.codecontext`.

    u8      channels in use; those after them are all zero
    u8      lanes as a power of two
    varint  bytes of moved bits
    u16 x lanes, moved bits
    then one run of bits: what tokens leave open and predicted channels' signs, in coding order; what did not fit into
    the lanes of: the caller's check, the other channels' signs
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgesdk.codecontext import (
    ESCAPE,
    LARGEST_CONTEXT,
    TOKEN_BASE,
    TOKEN_EXTRA,
    TOKEN_OF,
    Code,
    Floats,
    Grid,
    Stage,
    Tables,
    bins_of,
    grid_of,
)
from edgesdk.errors import StreamError
from edgesdk_device.rans import (
    MOST_LANES,
    STATE_BITS,
    BitReader,
    Coding,
    Decoder,
    Ints,
    coding_of,
    encode_symbols,
    pack_bits,
)

Plane = npt.NDArray[np.int64]
CHECK_BITS = 16


@dataclass(kw_only=True)
class _Known:
    """Magnitudes that contexts see, float32 [channels, places] in coding order: themselves, and summed around."""

    tables: Tables
    grid: Grid
    here: Floats
    around: Floats

    def expect(self, channel: int) -> Floats:
        """Expected magnitudes [places] as far as the channels before say."""
        weights = self.tables.mixing[channel]
        n = self.tables.channels
        result: Floats = weights[:channel] @ self.here[:channel]
        result += weights[n : n + channel] @ self.around[:channel]
        return result

    def learn(self, channel: int, magnitudes: npt.NDArray[np.float32]) -> None:
        """Take in a channel's magnitudes [places], in coding order."""
        self.here[channel] = np.minimum(magnitudes, np.float32(LARGEST_CONTEXT))
        self.around[channel] = self.grid.around(self.here[channel][self.grid.place])


def encode_code(code: Code, tables: Tables, level: int, check: int, *, thrift: float = 0.0) -> tuple[bytes, Code]:
    """A code -> bytes, and the code that they stand for.

    Args:
        code: int8 [h, w, channels].
        tables: of the model that made it.
        level: which expectations to begin with, 0 to tables.levels - 1.
        check: 16 bits that the decoder will get back.
        thrift: values of 1 or -1 that cost this many bits more than a zero become zero; 0 keeps the code as it is.
    """
    height, width, channels = code.shape
    grid, coding = grid_of(height, width), coding_of(tables)
    values = np.ascontiguousarray(code.reshape(-1, channels).T).astype(np.int64)
    expected, stages, sizes = _contexts(values, tables, grid, level)
    first = tables.predicted
    if thrift > 0:
        bins = bins_of(expected)
        dear = coding.bits[bins, 1] + 1 - coding.bits[bins, 0] > thrift
        dear[:first] = False
        ones = np.abs(values[:, grid.order]) == 1
        places = np.argwhere(dear & ones)
        values[places[:, 0], grid.order[places[:, 1]]] = 0
        expected, stages, sizes = _contexts(values, tables, grid, level)
    used = np.flatnonzero(values.any(1))
    top = int(used[-1]) + 1 if used.size else 0
    passes, extra_values, extra_bits = [], [], []

    def put(bins: Ints, residual: Plane, signed: bool) -> None:
        size = np.abs(residual)
        tokens = TOKEN_OF[size]
        tokens[coding.frequency[bins, tokens] == 0] = ESCAPE
        passes.append((bins, tokens.astype(np.int32)))
        extra, open_value = TOKEN_EXTRA[tokens], size - TOKEN_BASE[tokens]
        if signed:
            there = size > 0
            extra, open_value = extra + there, np.where(there, 2 * open_value + (residual < 0), open_value)
        some = extra > 0
        extra_values.append(open_value[some])
        extra_bits.append(extra[some])

    for channel in range(min(first, top)):
        for bins, residual in stages[channel]:
            put(bins, residual, True)
    bins = bins_of(expected[:top])
    ordered, half = values[:, grid.order], len(grid.even)
    for channel in range(first, top):
        put(bins[channel, :half], ordered[channel, :half], False)
        put(bins[channel, half:], ordered[channel, half:], False)
    later = ordered[first:top]
    signs = (later[later != 0] < 0).astype(np.uint8)
    carried = np.concatenate([_bits_of(check, CHECK_BITS), signs])
    lanes_power = int(np.log2(min(MOST_LANES, max(1, len(carried) // STATE_BITS))))
    lanes = 1 << lanes_power
    inside = np.zeros(lanes * STATE_BITS, np.uint8)
    inside[: len(carried)] = carried[: len(inside)]
    words = np.packbits(inside).view(">u2").astype(np.int64)
    states, moved = encode_symbols(passes, coding, words)
    rest = carried[len(inside) :].astype(np.int64)
    tail = pack_bits(np.concatenate([*extra_values, rest]), np.concatenate([*extra_bits, np.ones_like(rest)]))
    head = bytes([top, lanes_power]) + write_varint(len(moved)) + states.astype(">u2").tobytes()
    kept = np.ascontiguousarray(values.T.reshape(code.shape)).astype(np.int8)
    return head + moved + tail, kept


def _contexts(
    values: Plane, tables: Tables, grid: Grid, level: int
) -> tuple[Floats, list[list[tuple[Ints, Plane]]], Floats]:
    """Of a code that is known whole: expected magnitudes [channels, places] in coding order, predicted channels'
    passes (bins, differences), and the magnitudes that contexts see.
    """
    channels, n = values.shape
    first, base = tables.predicted, tables.base[level].astype(np.float32)
    known = _Known(
        tables=tables,
        grid=grid,
        here=np.zeros((channels, n), np.float32),
        around=np.zeros((channels, n), np.float32),
    )
    stages: list[list[tuple[Ints, Plane]]] = []
    for channel in range(first):
        expect = known.expect(channel)[grid.place]
        passes, residuals = [], np.zeros(n, np.int64)
        for stage in grid.stages:
            mean, spread = stage.predict(values[channel])
            residual = values[channel][stage.places] - mean
            passes.append((_stage_bins(tables, level, channel, stage, expect, spread), residual))
            residuals[stage.places] = residual
        stages.append(passes)
        known.learn(channel, np.abs(residuals[grid.order]).astype(np.float32))
    for channel in range(first, channels):
        known.learn(channel, np.abs(values[channel][grid.order]).astype(np.float32))
    expected: Floats = tables.mixing @ np.concatenate([known.here, known.around])
    half = len(grid.even)
    expected[:, :half] += base[:, :1]
    expected[:, half:] += base[:, 1:2]
    for channel in range(first, channels):
        expected[channel, half:] += np.float32(tables.beside[channel]) * grid.beside(known.here[channel, :half])
    return expected, stages, known.here


def _stage_bins(tables: Tables, level: int, channel: int, stage: Stage, expect: Floats, spread: Plane) -> Ints:
    own = tables.base[level, channel, stage.index] + tables.beside[channel] * spread
    return bins_of(expect[stage.places] + own.astype(np.float32))


def decode_code(data: bytes, shape: tuple[int, int, int], tables: Tables, level: int) -> tuple[Code, int]:
    """The way back from `encode_code`.

    Args:
        data: nothing may follow in it.
        shape: of the code, (h, w, channels).
        tables, level: as they were for encoding.

    Returns:
        The code, and the check.

    Raises:
        StreamError: if the bytes cannot have come from `encode_code`. Damage that decodes to another code is possible:
            the check is for that.
    """
    height, width, channels = shape
    grid, coding = grid_of(height, width), coding_of(tables)
    n, half, first = height * width, len(grid.even), tables.predicted
    top, lanes_power, decoder, reader = _open(data, channels, coding)
    known = _Known(
        tables=tables, grid=grid, here=np.zeros((top, n), np.float32), around=np.zeros((top, n), np.float32)
    )
    values = np.zeros((channels, n), np.int64)
    for channel in range(min(first, top)):
        expect = known.expect(channel)[grid.place]
        residuals = np.zeros(n, np.int64)
        for stage in grid.stages:
            mean, spread = stage.predict(values[channel])
            bins = _stage_bins(tables, level, channel, stage, expect, spread)
            residual = _sizes(decoder.decode(bins), reader, signed=True)
            values[channel, stage.places] = mean + residual
            residuals[stage.places] = residual
        known.learn(channel, np.abs(residuals[grid.order]).astype(np.float32))
    base = tables.base[level].astype(np.float32)
    beside = tables.beside.astype(np.float32)
    later = np.zeros((max(0, top - first), n), np.int64)
    for channel in range(first, top):
        expect = known.expect(channel)
        sizes = later[channel - first]
        sizes[:half] = _sizes(decoder.decode(bins_of(expect[:half] + base[channel, 0])), reader, signed=False)
        even = np.minimum(sizes[:half], LARGEST_CONTEXT).astype(np.float32)
        odd = expect[half:] + base[channel, 1]
        odd += beside[channel] * grid.beside(even)
        sizes[half:] = _sizes(decoder.decode(bins_of(odd)), reader, signed=False)
        known.learn(channel, sizes.astype(np.float32))
    carried = np.unpackbits(decoder.finish().astype(">u2").view(np.uint8))
    carried, there = np.concatenate([carried, reader.rest()]), later != 0
    count = CHECK_BITS + int(there.sum())
    if len(carried) < count or carried[count:].any() or len(carried) - count >= 8 + (STATE_BITS << lanes_power):
        raise StreamError("the stream's bits do not come out even: it is damaged or cut short")
    signs = carried[CHECK_BITS:count].astype(np.int64)
    later[there] *= 1 - 2 * signs
    values[first:top][:, grid.order] = later
    if values.min(initial=0) < -128 or values.max(initial=0) > 127:
        raise StreamError("the stream holds a value that no code has: it is damaged")
    check = int(carried[:CHECK_BITS] @ (1 << np.arange(CHECK_BITS)[::-1]))
    return np.ascontiguousarray(values.T.reshape(shape)).astype(np.int8), check


def _open(data: bytes, channels: int, coding: Coding) -> tuple[int, int, Decoder, BitReader]:
    if len(data) < 3:
        raise StreamError("the stream is cut short")
    top, lanes_power = data[0], data[1]
    if top > channels or 1 << lanes_power > MOST_LANES:
        raise StreamError("the stream begins with impossible numbers: it is damaged")
    length, start = read_varint(data, 2)
    lanes_end = start + (2 << lanes_power)
    if lanes_end + length > len(data):
        raise StreamError(f"the stream is cut short at {len(data)} bytes")
    states = np.frombuffer(data[start:lanes_end], ">u2")
    moved = data[lanes_end : lanes_end + length]
    return top, lanes_power, Decoder(states, moved, coding), BitReader(data[lanes_end + length :])


def _sizes(tokens: npt.NDArray[np.uint32], reader: BitReader, *, signed: bool) -> Plane:
    """Tokens -> magnitudes, or signed values, with what the reader holds of them."""
    sizes = TOKEN_BASE[tokens]
    open_places = np.flatnonzero(tokens if signed else tokens >= 8)
    if open_places.size:
        which = tokens[open_places]
        extra = TOKEN_EXTRA[which]
        read = reader.read(extra + (1 if signed else 0))
        whole = sizes[open_places] + (read >> 1 if signed else read)
        sizes[open_places] = np.where(read & 1, -whole, whole) if signed else whole
    return sizes


def _bits_of(value: int, count: int) -> npt.NDArray[np.uint8]:
    return (value >> np.arange(count)[::-1] & 1).astype(np.uint8)


def write_varint(value: int) -> bytes:
    """A whole number >= 0 in 7 bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """(the number, where it ends).

    Raises:
        StreamError: if it is longer than four bytes, written longer than needed, or cut short.
    """
    value = 0
    for count, byte in enumerate(data[start : start + 4]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if count and not byte:
                break
            return value, start + count + 1
    raise StreamError("the stream holds an impossible number: it is damaged or cut short")

