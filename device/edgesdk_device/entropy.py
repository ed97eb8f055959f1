"""A code to bytes and back, by the static contexts of `edgesdk.codecs.context`.

What is written:

    4 bits  lanes as a power of two
    4 bits  fifteenths of the groups of channels that are in use; what comes after them is zero
    u16 x lanes

and then bits from both ends: from the front those that the lanes moved; from the back what tokens leave open and
predicted channels' signs, in coding order, then what did not fit into the lanes of: the caller's check, the other
channels' signs. Fewer than eight zeros lie between.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgesdk.codecs.context import (
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

Planes = npt.NDArray[np.int64]
Small = npt.NDArray[np.int16]
#: (channels, places in coding order, bins [k, n]) -> the magnitudes there, [k, n]
Visit = Callable[[slice, slice, Ints], Small]
#: (a stage of the predicted channels, what is expected [k, n], bins) -> the differences from it
Predicted = Callable[[Stage, Planes, Ints], Planes]
CHECK_BITS = 16


def _walk(tables: Tables, level: int, grid: Grid, groups: int, predicted: Predicted, visit: Visit) -> None:
    """Go through a code in coding order; encoder and decoder differ in what they do at each pass."""
    n, half, channels = grid.height * grid.width, len(grid.even), tables.channels
    base, beside = tables.base[level].astype(np.float32), tables.beside.astype(np.float32)[:, None]
    known, around = (np.zeros((channels, n), np.float32) for _ in range(2))  # magnitudes, and their sums around
    for group in tables.groups[:groups]:
        sizes = known[group]
        if not group.start:
            planes, residuals = (np.zeros((tables.predicted, n), np.int64) for _ in range(2))
            for stage in grid.stages:
                mean, spread = stage.predict(planes)
                expected = base[group, stage.index, None] + beside[group] * spread.astype(np.float32)
                residuals[:, stage.places] = predicted(stage, mean, bins_of(expected))
                planes[:, stage.places] = mean + residuals[:, stage.places]
            sizes[:] = np.take(np.abs(residuals), grid.order, 1)
        else:
            here, near = (weights[group, : group.start] for weights in tables.contexts)
            expected = here @ known[: group.start]
            expected += near @ around[: group.start]
            even, odd = slice(0, half), slice(half, n)
            sizes[:, even] = visit(group, even, bins_of(expected[:, even] + base[group, :1]))
            np.minimum(sizes[:, even], np.float32(LARGEST_CONTEXT), out=sizes[:, even])
            own = base[group, 1:2] + beside[group] * grid.beside(sizes[:, even])
            sizes[:, odd] = visit(group, odd, bins_of(expected[:, odd] + own))
        np.minimum(sizes, np.float32(LARGEST_CONTEXT), out=sizes)
        around[group] = grid.around(sizes)


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
    planes = code.reshape(-1, channels).T.copy()
    later = np.take(planes[first:], grid.order, 1).astype(np.int16)
    dear = coding.bits[:, 1] + 1 - coding.bits[:, 0] > (thrift or np.inf)
    passes: list[tuple[slice, Ints, npt.NDArray[Any]]] = []

    def predicted(stage: Stage, mean: Planes, bins: Ints) -> Planes:
        residual = planes[:first, stage.places] - mean
        passes.append((slice(0, first), bins.reshape(-1), residual.reshape(-1)))
        return residual

    def visit(group: slice, where: slice, bins: Ints) -> Small:
        rows = slice(group.start - first, group.stop - first)
        values, flat = later[rows, where].reshape(-1), bins.reshape(-1)
        live = np.flatnonzero(flat >= SKIPPED_BINS)
        live_bins, coded = flat[live], values[live]
        sizes = np.abs(coded)
        thrifty = dear[live_bins] & (sizes == 1)
        coded[thrifty], sizes[thrifty] = 0, 0
        passes.append((group, live_bins, sizes))
        values[:] = 0
        values[live] = coded
        later[rows, where] = values.reshape(bins.shape)
        found: Small = np.abs(later[rows, where])
        return found

    _walk(tables, level, grid, len(tables.groups), predicted, visit)
    planes[first:] = np.take(later.astype(np.int8), grid.place, 1)
    groups = max((k + 1 for k, group in enumerate(tables.groups) if planes[group].any()), default=0)
    share = -(-groups // _share(tables))
    top = tables.groups[min(share * _share(tables), len(tables.groups)) - 1].stop if share else 0
    kept = np.ascontiguousarray(planes.T).reshape(code.shape)
    there = later.reshape(-1)
    signs = (there[np.flatnonzero(there)] < 0).astype(np.uint8)
    carried = np.concatenate([_bits_of(check(kept), CHECK_BITS), signs])
    return _write([item for item in passes if item[0].start < top], first, coding, share, carried), kept


def _write(
    passes: list[tuple[slice, Ints, npt.NDArray[Any]]],
    predicted: int,
    coding: Coding,
    share: int,
    carried: npt.NDArray[np.uint8],
) -> bytes:
    lengths = [len(item[1]) for item in passes]
    bins = np.concatenate([np.zeros(0, np.int32), *(item[1] for item in passes)])
    residual = np.concatenate([np.zeros(0, np.int16), *(item[2].astype(np.int16) for item in passes)])
    size = np.abs(residual)
    token = TOKEN_OF[size]
    token[coding.frequency[bins, token] == 0] = ESCAPE
    open_ = token >= 8
    signed = sum(len(item[1]) for item in passes if item[0].start < predicted)  # they come first
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
    return bytes([lanes_power << 4 | share]) + states.astype(">u2").tobytes() + bits


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
    share, decoder, reader = _open(data, coding)
    averages = np.zeros((first, height * width), np.int16)
    later = np.zeros((channels - first, height * width), np.int16)

    def predicted(stage: Stage, mean: Planes, bins: Ints) -> Planes:
        residual = _sizes(decoder.decode(bins.reshape(-1)), reader, signed=True).reshape(mean.shape)
        averages[:, stage.places] = mean + residual
        return residual

    def visit(group: slice, where: slice, bins: Ints) -> Small:
        flat = bins.reshape(-1)
        live = np.flatnonzero(flat >= SKIPPED_BINS)
        sizes = np.zeros(len(flat), np.int16)
        sizes[live] = _sizes(decoder.decode(flat[live]), reader, signed=False)
        later[group.start - first : group.stop - first, where] = sizes.reshape(bins.shape)
        return sizes.reshape(bins.shape)

    _walk(tables, level, grid, share * _share(tables), predicted, visit)
    carried = np.unpackbits(decoder.finish().astype(">u2").view(np.uint8))
    inside, flat = len(carried), later.reshape(-1)
    there = np.flatnonzero(flat)
    count = CHECK_BITS + len(there)
    carried = np.concatenate([carried, reader.take(max(0, count - inside))])
    gap = 8 * (len(data) - 1 - 2 * (inside // STATE_BITS)) - decoder.position - reader.position
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


def _share(tables: Tables) -> int:
    """Groups that are one fifteenth of all."""
    return -(-len(tables.groups) // 15)


def _open(data: bytes, coding: Coding) -> tuple[int, Decoder, BitReader]:
    if len(data) < 3:
        raise StreamError(f"the stream is cut short at {len(data)} bytes")
    lanes_power, share = data[0] >> 4, data[0] & 15
    if 1 << lanes_power > MOST_LANES:
        raise StreamError("the stream begins with an impossible number: it is damaged")
    start = 1 + (2 << lanes_power)
    if start > len(data):
        raise StreamError(f"the stream is cut short at {len(data)} bytes")
    backwards = np.unpackbits(np.frombuffer(data[start:], np.uint8))[::-1]
    return (
        share,
        Decoder(np.frombuffer(data[1:start], ">u2"), data[start:], coding),
        BitReader(np.packbits(backwards).tobytes()),
    )


def _sizes(tokens: npt.NDArray[np.uint32], reader: BitReader, *, signed: bool) -> Planes:
    """Tokens -> magnitudes, or signed values, with what the reader holds of them."""
    sizes: Planes = TOKEN_BASE[tokens]
    open_places = np.flatnonzero(tokens if signed else tokens >= 8)
    if open_places.size:
        read = reader.read(TOKEN_EXTRA[tokens[open_places]] + signed)
        whole = sizes[open_places] + (read >> signed)
        sizes[open_places] = np.where(read & 1, -whole, whole) if signed else whole
    return sizes


def _bits_of(value: int, count: int) -> npt.NDArray[np.uint8]:
    return (value >> np.arange(count)[::-1] & 1).astype(np.uint8)
