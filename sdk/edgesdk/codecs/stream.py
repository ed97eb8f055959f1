"""The bytes around a code: a picture's head, a session's start. docs/codec-format.md draws them.

2  magic                     e5 43
1  version (4 bits), flags   1 = a session's start, 2 = grey
4  id of the codec
1  quality                   1 to 100
1-3, 1-3  height, width      varints
2  check                     of what stands before it, and of a picture's code
"""

import zlib
from dataclasses import dataclass

from edgesdk.errors import StreamError

MAGIC = b"\xe5C"
VERSION = 1
SESSION, GREY = 1, 2
MOST_PIXELS = 2**28
LONGEST_SIDE = 2**20
CHECK_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class Head:
    """What stands before a compressed picture, or at the start of a session of pictures of one size.

    Attributes:
        codec: id of the codec, eight hexadecimal digits.
        quality: 1 to 100.
        height, width: of the picture in pixels.
        session: None for one picture, else a number that tells this session from others.
        grey: whether the picture has one channel.
    """

    codec: str
    quality: int
    height: int
    width: int
    session: int | None = None
    grey: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}, expected 1 to 100")
        inside = 1 <= self.height < LONGEST_SIDE and 1 <= self.width < LONGEST_SIDE
        if not inside or self.height * self.width > MOST_PIXELS:
            raise ValueError(
                f"the picture is {self.height}x{self.width}, expected at least 1x1 and at most {MOST_PIXELS >> 20} "
                "million pixels"
            )

    def pack(self) -> bytes:
        """The bytes, without the check."""
        flags = SESSION * (self.session is not None) + GREY * self.grey
        number = b"" if self.session is None else self.session.to_bytes(2, "big")
        return (
            MAGIC
            + bytes([VERSION << 4 | flags])
            + bytes.fromhex(self.codec)
            + bytes([self.quality])
            + write_varint(self.height)
            + write_varint(self.width)
            + number
        )


def unpack_head(data: bytes) -> tuple[Head, int]:
    """The head at the start of `data`, and where it ends; the check comes next.

    Raises:
        StreamError: if it is none of ours, of a newer version, or damaged.
    """
    if data[:2] != MAGIC:
        raise StreamError(
            f"the data begins with {data[:2].hex() or 'nothing'}, expected {MAGIC.hex()}: it is no picture of "
            "`edgesdk compress`"
        )
    if len(data) < 12:
        raise StreamError(f"the stream is cut short at {len(data)} bytes")
    version, flags = data[2] >> 4, data[2] & 15
    if version != VERSION or flags > SESSION + GREY:
        raise StreamError(f"the stream has format version {version}, this edgesdk reads {VERSION}: upgrade edgesdk")
    height, end = read_varint(data, 8)
    width, end = read_varint(data, end)
    session = None
    if flags & SESSION:
        session, end = int.from_bytes(data[end : end + 2], "big"), end + 2
    try:
        head = Head(
            codec=data[3:7].hex(),
            quality=data[7],
            height=height,
            width=width,
            session=session,
            grey=bool(flags & GREY),
        )
    except ValueError as error:
        raise StreamError(f"the stream's head is damaged: {error}") from error
    if len(data) < end + CHECK_BYTES:
        raise StreamError(f"the stream is cut short at {len(data)} bytes")
    return head, end


def checksum(data: bytes, before: int = 0) -> int:
    """CRC-32 of data that comes after something with the CRC-32 `before`."""
    return zlib.crc32(data, before)


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
