"""A code to bytes and back, by the static contexts of `edgesdk.codecontext`.

What is written:

    u8      channels in use; those after them are all zero
    u8      lanes as a power of two
    u16 x lanes

and then bits from both ends: from the front those that the lanes moved; from the back what tokens leave open and
predicted channels' signs, in coding order, then what did not fit into the lanes of: the caller's check, the other
channels' signs. Fewer than eight zeros lie between.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.codecontext import (
    ESCAPE,
    LARGEST_CONTEXT,
    SKIPPED_BINS,
    TOKEN_BASE,
    TOKEN_EXTRA,
    TOKEN_OF,
    Code,
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
    expand_bits,
)

Plane = npt.NDArray[np.int64]
Small = npt.NDArray[np.int16]
#: (channel, where its pass lies in coding order, bins) -> the magnitudes there
Visit = Callable[[int, slice, Ints], Small]
#: (channel, a stage of it, what is expected there, bins) -> the differences from it
Predicted = Callable[[int, Stage, Plane, Ints], Plane]
CHECK_BITS = 16


def _walk(tables: Tables, level: int, grid: Grid, top: int, predicted: Predicted, visit: Visit) -> None:
    """Go through a code in coding order; encoder and decoder differ in what they do at each pass."""
    n, half, channels = grid.height * grid.width, len(grid.even), tables.channels
    known = np.zeros((2 * channels, n), np.float32)  # magnitudes in coding order, then their sums around
    base, beside = tables.base[level].astype(np.float32), tables.beside.astype(np.float32)
    for channel in range(top):
        rows, weights = tables.inputs[channel]
        expected = weights @ known[rows] if rows.size else np.zeros(n, np.float32)
        sizes = known[channel]
        if channel < tables.predicted:
            expected = expected[grid.place]
            plane, residuals = np.zeros(n, np.int64), np.zeros(n, np.int64)
            for stage in grid.stages:
                mean, spread = stage.predict(plane)
                own = base[channel, stage.index] + beside[channel] * spread.astype(np.float32)
                residual = predicted(channel, stage, mean, bins_of(expected[stage.places] + own))
                plane[stage.places] = mean + residual
                residuals[stage.places] = residual
            sizes[:] = np.abs(residuals[grid.order])
        else:
            sizes[:half] = visit(channel, slice(0, half), bins_of(expected[:half] + base[channel, 0]))
            np.minimum(sizes[:half], np.float32(LARGEST_CONTEXT), out=sizes[:half])
            odd = expected[half:]
            odd += base[channel, 1]
            odd += beside[channel] * grid.beside(sizes[:half])
            sizes[half:] = visit(channel, slice(half, n), bins_of(odd))
        np.minimum(sizes, np.float32(LARGEST_CONTEXT), out=sizes)
        known[channels + channel] = grid.around(sizes[grid.place])


def encode_code(
    code: Code, tables: Tables, level: int, check: Callable[[Code], int], *, thrift: float = 0.0
) -> tuple[bytes, Code]:
    """A code -> bytes, and the code that they stand for, where lonely values are zero.

    Args:
        code: int8 [h, w, channels].
        tables: of the model that made it.
        level: which expectations to begin with, 0 to tables.levels - 1.
        check: the code they stand for -> 16 bits that the decoder will get back.
        thrift: values of 1 or -1 that cost this many bits more than a zero become zero; 0: none.
    """
    height, width, channels = code.shape
    grid, coding, first = grid_of(height, width), coding_of(tables), tables.predicted
    planes = np.ascontiguousarray(code.reshape(-1, channels).T)
    later = np.take(planes[first:], grid.order, 1).astype(np.int16)
    dear = coding.bits[:, 1] + 1 - coding.bits[:, 0] > (thrift or np.inf)
    passes: list[tuple[int, Ints, npt.NDArray[Any]]] = []

    def predicted(channel: int, stage: Stage, mean: Plane, bins: Ints) -> Plane:
        residual = planes[channel, stage.places] - mean
        passes.append((channel, bins, residual))
        return residual

    def visit(channel: int, where: slice, bins: Ints) -> Small:
        values = later[channel - first, where]
        live = np.flatnonzero(bins >= SKIPPED_BINS)
        live_bins, coded = bins[live], values[live]
        coded[dear[live_bins] & (np.abs(coded) == 1)] = 0
        values[:] = 0
        values[live] = coded
        passes.append((channel, live_bins, np.abs(coded)))
        return np.abs(values)

    _walk(tables, level, grid, channels, predicted, visit)
    planes[first:] = np.take(later.astype(np.int8), grid.place, 1)
    used = np.flatnonzero(planes.any(1))
    top = int(used[-1]) + 1 if used.size else 0
    kept = np.ascontiguousarray(planes.T).reshape(code.shape)
    there = later[: max(0, top - first)].reshape(-1)
    signs = (there[np.flatnonzero(there)] < 0).astype(np.uint8)
    carried = np.concatenate([_bits_of(check(kept), CHECK_BITS), signs])
    return _write([item for item in passes if item[0] < top], first, coding, top, carried), kept


def _write(
    passes: list[tuple[int, Ints, npt.NDArray[Any]]],
    predicted: int,
    coding: Coding,
    top: int,
    carried: npt.NDArray[np.uint8],
) -> bytes:
    lengths = [len(item[1]) for item in passes]
    bins = np.concatenate([np.zeros(0, np.int32), *(item[1] for item in passes)])
    residual = np.concatenate([np.zeros(0, np.int16), *(item[2].astype(np.int16) for item in passes)])
    size = np.abs(residual)
    token = TOKEN_OF[size]
    token[coding.frequency[bins, token] == 0] = ESCAPE
    open_ = token >= 8
    signed = sum(len(item[1]) for item in passes if item[0] < predicted)  # predicted channels come first
    open_[:signed] |= token[:signed] > 0
    some = np.flatnonzero(open_)
    with_sign = some < signed
    left = size[some] - TOKEN_BASE[token[some]]
    left = np.where(with_sign, 2 * left + (residual[some] < 0), left)
    extra = TOKEN_EXTRA[token[some]] + with_sign
    lanes_power = int(np.log2(min(MOST_LANES, max(1, len(carried) // STATE_BITS))))
    inside = np.zeros(STATE_BITS << lanes_power, np.uint8)
    inside[: len(carried)] = carried[: len(inside)]
    states, moved = encode_symbols(bins, token, lengths, coding, np.packbits(inside).view(">u2"))
    rest = carried[len(inside) :]
    tail = np.concatenate([expand_bits(left, extra), rest])
    gap = np.zeros(-(len(moved) + len(tail)) % 8, np.uint8)
    bits = np.packbits(np.concatenate([moved, gap, tail[::-1]])).tobytes()
    return bytes([top, lanes_power]) + states.astype(">u2").tobytes() + bits


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
    grid, coding, first = grid_of(height, width), coding_of(tables), tables.predicted
    top, decoder, reader = _open(data, channels, coding)
    averages = np.zeros((first, height * width), np.int16)
    later = np.zeros((channels - first, height * width), np.int16)

    def predicted(channel: int, stage: Stage, mean: Plane, bins: Ints) -> Plane:
        residual = _sizes(decoder.decode(bins), reader, signed=True)
        averages[channel, stage.places] = mean + residual
        return residual

    def visit(channel: int, where: slice, bins: Ints) -> Small:
        live = np.flatnonzero(bins >= SKIPPED_BINS)
        sizes = later[channel - first, where]
        sizes[live] = _sizes(decoder.decode(bins[live]), reader, signed=False)
        return sizes

    _walk(tables, level, grid, top, predicted, visit)
    carried = np.unpackbits(decoder.finish().astype(">u2").view(np.uint8))
    inside, flat = len(carried), later.reshape(-1)
    there = np.flatnonzero(flat)
    count = CHECK_BITS + len(there)
    carried = np.concatenate([carried, reader.take(max(0, count - inside))])
    gap = 8 * (len(data) - 2 - 2 * (inside // STATE_BITS)) - decoder.position - reader.position
    if carried[count:].any() or not 0 <= gap < 8 or reader.take(gap).any():
        raise StreamError("the stream's bits do not come out even: it is damaged or cut short")
    turned = there[carried[CHECK_BITS:count] == 1]
    flat[turned] = -flat[turned]
    for planes in (averages, flat):
        if planes.min(initial=0) < -128 or planes.max(initial=0) > 127:
            raise StreamError("the stream holds a value that no code has: it is damaged")
    check = int(carried[:CHECK_BITS] @ (1 << np.arange(CHECK_BITS)[::-1]))
    code = np.concatenate([averages.astype(np.int8), np.take(later.astype(np.int8), grid.place, 1)])
    return np.ascontiguousarray(code.T).reshape(shape), check


def _open(data: bytes, channels: int, coding: Coding) -> tuple[int, Decoder, BitReader]:
    if len(data) < 4:
        raise StreamError(f"the stream is cut short at {len(data)} bytes")
    top, lanes_power = data[0], data[1]
    if top > channels or 1 << lanes_power > MOST_LANES:
        raise StreamError("the stream begins with impossible numbers: it is damaged")
    start = 2 + (2 << lanes_power)
    if start > len(data):
        raise StreamError(f"the stream is cut short at {len(data)} bytes")
    backwards = np.unpackbits(np.frombuffer(data[start:], np.uint8))[::-1]
    return (
        top,
        Decoder(np.frombuffer(data[2:start], ">u2"), data[start:], coding),
        BitReader(np.packbits(backwards).tobytes()),
    )


def _sizes(tokens: npt.NDArray[np.uint32], reader: BitReader, *, signed: bool) -> Plane:
    """Tokens -> magnitudes, or signed values, with what the reader holds of them."""
    sizes: Plane = TOKEN_BASE[tokens]
    open_places = np.flatnonzero(tokens if signed else tokens >= 8)
    if open_places.size:
        read = reader.read(TOKEN_EXTRA[tokens[open_places]] + signed)
        whole = sizes[open_places] + (read >> signed)
        sizes[open_places] = np.where(read & 1, -whole, whole) if signed else whole
    return sizes


def _bits_of(value: int, count: int) -> npt.NDArray[np.uint8]:
    return (value >> np.arange(count)[::-1] & 1).astype(np.uint8)
