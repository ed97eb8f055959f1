import contextlib
import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.appended import DamagedError, list_appended, read_appended

MODEL = bytes(range(256)) * 4


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    file = io.BytesIO(MODEL)
    file.seek(0, 2)
    with zipfile.ZipFile(file, "a", kind) as archive:
        archive.comment = comment
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def read(data: bytes) -> dict[bytes, bytes | None]:
    file = io.BytesIO(data)
    return {entry.name: None if entry.size is None else read_appended(file, entry) for entry in list_appended(file)}


@given(st.dictionaries(st.text(min_size=1, max_size=9).filter(lambda name: "\0" not in name), st.binary(max_size=99)))
def test_what_zipfile_writes_is_read(members: dict[str, bytes]) -> None:
    data = zipped(members, comment=b"a comment")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        expected = {name.encode(): archive.read(name) for name in archive.namelist()}
    assert read(data) == expected


def test_it_is_known_where_they_begin_and_what_is_compressed() -> None:
    file = io.BytesIO(zipped({"a": b"1" * 99, "b": b"2"}))
    assert min(entry.at for entry in list_appended(file)) == len(MODEL)
    assert read(zipped({"a": b"1" * 99}, zipfile.ZIP_DEFLATED)) == {b"a": None}


def test_a_zip_may_count_from_its_own_beginning() -> None:
    whole = zipped({"a": b"1"})
    assert read(b"before" + whole) == read(whole)


@pytest.mark.parametrize("data", [b"", MODEL, b"PK\5\6", MODEL + b"PK\5\6" + bytes(9)])
def test_nothing_is_appended(data: bytes) -> None:
    assert list_appended(io.BytesIO(data)) == []


def test_every_flipped_bit_of_the_tail_is_found_or_harmless() -> None:
    """What zipfile does not look at either (dates, attributes, versions) may change; names and contents may not."""
    data = bytearray(zipped({"a.json": b"{}"}))
    for place in range(len(MODEL) * 8, len(data) * 8):
        data[place // 8] ^= 1 << place % 8
        with contextlib.suppress(DamagedError):
            assert read(bytes(data)) in ({b"a.json": b"{}"}, {b"a.json": None}, {})
        data[place // 8] ^= 1 << place % 8


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_a_directory_that_lies_is_refused(count: int, size: int, offset: int, noise: bytes) -> None:
    data = MODEL + noise + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count, count, size, offset, 0)
    try:
        read(data)
    except DamagedError as error:
        assert str(error)
