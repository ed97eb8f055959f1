"""The entropy coder alone, with made tables: what goes in comes out, and nothing else is taken."""

from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.codecs.context import (
    BINS,
    ESCAPE,
    STAGES,
    TOKEN_OF,
    TOKENS,
    TOTAL,
    Tables,
    bins_of,
    earlier_groups,
    grid_of,
    make_tables,
)
from edgesdk.codecs.stream import Head, read_varint, unpack_head, write_varint
from edgesdk.errors import ModelFileError, StreamError
from edgesdk_device.entropy import decode_code, encode_code
from edgesdk_device.rans import BitReader, Decoder, coding_of, encode_symbols, expand_bits

CHANNELS, PREDICTED, LEVELS = 12, 2, 3


@lru_cache
def made_tables() -> Tables:
    rng = np.random.default_rng(0)
    base = np.full((LEVELS, CHANNELS, STAGES), 1500)
    means = 4 / 4096 * 2 ** (np.arange(BINS) / 4 + 0.12)
    shares = 1 / (1 + means[:, None]) * (means / (1 + means))[:, None] ** np.arange(len(TOKEN_OF))
    counts = np.stack([np.rint(np.bincount(TOKEN_OF, row, TOKENS) * TOTAL).astype(int) for row in shares])
    counts[:, [0, ESCAPE]] = np.maximum(counts[:, [0, ESCAPE]], 1)
    for row in counts:
        row[row.argmax()] += TOTAL - row.sum()
    return make_tables(
        predicted=PREDICTED,
        base=base,
        here=rng.integers(0, 300, (CHANNELS, CHANNELS)) * earlier_groups(CHANNELS, PREDICTED),
        around=rng.integers(0, 40, (CHANNELS, CHANNELS)) * earlier_groups(CHANNELS, PREDICTED),
        beside=np.full(CHANNELS, 300),
        frequencies=counts,
    )


def made_code(seed: int, height: int, width: int, spread: float) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    scale = spread * np.exp(-np.arange(CHANNELS) / 4)
    return np.clip(np.rint(rng.laplace(0, scale, (height, width, CHANNELS))), -128, 127).astype(np.int8)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 19),
    width=st.integers(1, 35),
    spread=st.sampled_from([0.0, 0.3, 3.0, 60.0, 4000.0]),
    level=st.integers(0, LEVELS - 1),
    check=st.integers(0, 2**16 - 1),
    thrift=st.sampled_from([0.0, 5.0]),
)
def test_any_code_comes_back(
    seed: int, height: int, width: int, spread: float, level: int, check: int, thrift: float
) -> None:
    code = made_code(seed, height, width, spread)
    given = code.copy()
    data, kept = encode_code(code, made_tables(), level, lambda _: check, thrift=thrift)
    assert np.array_equal(code, given)
    assert ((kept == code) | (kept == 0)).all()
    back, found = decode_code(data, code.shape, made_tables(), level)
    assert np.array_equal(back, kept)
    assert found == check
    again, _ = encode_code(back, made_tables(), level, lambda _: check, thrift=thrift)
    assert again == data


def test_the_extremes_need_no_clipping() -> None:
    code = np.tile(np.array([-128, 127, 0, -1], np.int8).repeat(3), (9, 14, 1))
    data, kept = encode_code(code, made_tables(), 0, lambda _: 0)
    assert np.array_equal(kept, code)
    assert np.array_equal(decode_code(data, code.shape, made_tables(), 0)[0], code)


def test_the_coder_costs_little_more_than_its_probabilities() -> None:
    rng, coding = np.random.default_rng(3), coding_of(made_tables())
    bins = rng.integers(8, BINS, 200_000).astype(np.int32)
    slots = coding.slots[bins.astype(np.int64) * TOTAL + rng.integers(0, TOTAL, len(bins))]
    tokens = (slots & 15).astype(np.int64)
    carried = rng.integers(0, 2**16, 256)
    states, moved = encode_symbols(bins, tokens, [len(bins)], coding, carried)
    ideal = coding.bits[bins, tokens].sum() / 8
    assert len(moved) / 8 + 2 * len(states) < 1.002 * ideal + 2 * len(carried)
    decoder = Decoder(states, np.packbits(moved).tobytes(), coding)
    assert np.array_equal(decoder.decode(bins), tokens)
    assert np.array_equal(decoder.finish(), carried)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=40))
def test_noise_is_an_error_or_another_code(seed: int, tail: bytes) -> None:
    code = made_code(seed, 3, 4, 3.0)
    data, _ = encode_code(code, made_tables(), 1, lambda _: 77)
    for damaged in (tail, data[: len(data) // 2] + tail, data + tail):
        try:
            back, _ = decode_code(damaged, code.shape, made_tables(), 1)
        except StreamError:
            continue
        assert back.shape == code.shape


def test_a_stream_cut_anywhere_is_refused() -> None:
    code = made_code(1, 6, 7, 4.0)
    data, _ = encode_code(code, made_tables(), 1, lambda _: 0xABCD)
    for end in range(len(data)):
        try:
            back, check = decode_code(data[:end], code.shape, made_tables(), 1)
        except StreamError:
            continue
        assert check != 0xABCD or np.array_equal(back, code)


@given(st.lists(st.tuples(st.integers(0, 16), st.integers(0, 2**16 - 1)), max_size=50))
def test_bits_come_back(items: list[tuple[int, int]]) -> None:
    lengths = np.array([length for length, _ in items], np.int64)
    values = np.array([value & ((1 << length) - 1) for length, value in items], np.int64)
    reader = BitReader(np.packbits(expand_bits(values, lengths)).tobytes())
    assert np.array_equal(reader.read(lengths), values)
    assert not reader.take(-int(lengths.sum()) % 8).any()
    with pytest.raises(StreamError, match="ends before"):
        reader.read(np.array([16]))


@given(st.integers(0, 2**28 - 1))
def test_varints_come_back(value: int) -> None:
    packed = write_varint(value)
    assert read_varint(packed, 0) == (value, len(packed))
    with pytest.raises(StreamError):
        read_varint(packed[:-1], 0)


@given(st.integers(1, 100), st.integers(1, 16000), st.integers(1, 16000), st.none() | st.integers(0, 65535))
def test_heads_come_back(quality: int, height: int, width: int, session: int | None) -> None:
    head = Head(codec="01ab23cd", quality=quality, height=height, width=width, session=session, grey=bool(quality % 2))
    packed = head.pack()
    assert unpack_head(packed + b"\0\0") == (head, len(packed))
    assert 10 + 2 <= len(packed) + 2 <= 18


def test_every_pass_sees_what_came_before_and_nothing_else() -> None:
    grid = grid_of(11, 23)
    seen = np.zeros(11 * 23, bool)
    for stage in grid.stages:
        assert seen[stage.neighbours][stage.known == 1].all()
        assert not seen[stage.places].any()
        seen[stage.places] = True
    assert seen.all()
    assert sorted(grid.order) == list(range(11 * 23))


def test_bins_are_quarter_octaves() -> None:
    expected = np.array([0, 3, 4, 5, 8, 4096, 65535, 2**23], np.float32)
    assert bins_of(expected).tolist() == [0, 0, 0, 1, 4, 40, 55, 55]


def test_tables_that_do_not_fit_are_refused() -> None:
    good = made_tables()
    with pytest.raises(ModelFileError, match="another size"):
        Tables(
            channels=CHANNELS + 1,
            predicted=PREDICTED,
            levels=LEVELS,
            weights=good.weights,
            frequencies=good.frequencies,
        )
    with pytest.raises(ModelFileError, match="cannot be unpacked"):
        Tables(channels=CHANNELS, predicted=2, levels=LEVELS, weights="AAAA", frequencies=good.frequencies)
    counts = good.token_counts.copy()
    counts[3, 0] -= 1
    with pytest.raises(ModelFileError, match="add up"):
        make_tables(
            predicted=2, base=good.base, here=good.here, around=good.around, beside=good.beside, frequencies=counts
        )
    with pytest.raises(ModelFileError, match="out of range"):
        make_tables(
            predicted=2,
            base=good.base,
            here=good.here.T,
            around=good.around,
            beside=good.beside,
            frequencies=good.token_counts,
        )
