"""Read what was appended to a .tflite: a zip of uncompressed files whose directory stands at the end.

Python's zipfile reads every zip, and loading it with all its compressions would delay every first label. This reads the
plain kind alone, after PKWARE's APPNOTE 4.3: no zip64, no encryption.
"""

import binascii
import struct
from typing import BinaryIO

from edgesdk.frozen import frozen

_END = struct.Struct("<4s4H2IH")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_HEADER = struct.Struct("<4s5H3I2H")
_END_MARK, _ENTRY_MARK, _HEADER_MARK = b"PK\5\6", b"PK\1\2", b"PK\3\4"
_LONGEST_COMMENT = 2**16 - 1
_ENCRYPTED = 1


class DamagedError(ValueError):
    """What is wrong with the appended files, in words."""


@frozen
class Appended:
    """One file, as the directory lists it.

    Attributes:
        name: as bytes.
        at: where its header stands.
        size: of its content in bytes; None where that is compressed or encrypted.
        crc: CRC-32 of its content.
    """

    name: bytes
    at: int
    size: int | None
    crc: int


def list_appended(file: BinaryIO) -> list[Appended]:
    """The appended files; empty where nothing is appended.

    Raises:
        DamagedError: if the directory does not fit together.
    """
    total = file.seek(0, 2)
    last = _read(file, max(0, total - _END.size - _LONGEST_COMMENT), total)
    end = last.rfind(_END_MARK)
    if end < 0 or end + _END.size > len(last):
        return []
    *_, count, size, offset, _comment = _END.unpack_from(last, end)
    start = total - len(last) + end - size  # the directory ends where this record begins
    before = start - offset  # bytes that the zip does not count
    if start < 0 or before < 0:
        raise DamagedError("their directory does not fit into the file")
    directory, found, at = _read(file, start, size), [], 0
    for _ in range(count):
        if at + _ENTRY.size > len(directory):
            raise DamagedError("their directory is cut short")
        entry = _ENTRY.unpack_from(directory, at)
        mark, flags, method, crc, packed, size = entry[0], *entry[3:5], *entry[7:10]
        name_size, extra_size, comment_size, offset = *entry[10:13], entry[16]
        at += _ENTRY.size
        name, at = directory[at : at + name_size], at + name_size + extra_size + comment_size
        if mark != _ENTRY_MARK or at > len(directory) or before + offset >= start:
            raise DamagedError("their directory is broken")
        plain = method == 0 and packed == size and not flags & _ENCRYPTED
        found.append(Appended(name=name, at=before + offset, size=size if plain else None, crc=crc))
    return found


def read_appended(file: BinaryIO, entry: Appended) -> bytes:
    """The content of one of them, whose size is known.

    Raises:
        DamagedError: if it is not what the directory says.
    """
    assert entry.size is not None
    header = _read(file, entry.at, _HEADER.size)
    if len(header) < _HEADER.size or header[:4] != _HEADER_MARK:
        raise DamagedError("one has no header")
    *_, name_size, extra_size = _HEADER.unpack(header)
    name = file.read(name_size)
    file.seek(extra_size, 1)
    content = file.read(entry.size)
    if name != entry.name:
        raise DamagedError("one has another name than the directory says")
    if len(content) < entry.size or binascii.crc32(content) != entry.crc:
        raise DamagedError("one does not match its checksum")
    return content


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
