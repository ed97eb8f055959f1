"""A fixed camera's frames, a few hundred bytes each: the head once, then one byte and the code a frame.

The length of a frame's code is free knowledge: an empty scene costs little, so that length against its running median
is a score of activity.
"""

import base64
import statistics
from collections import deque
from dataclasses import dataclass

import numpy as np

from edgesdk.codecs.stream import CHECK_BYTES, Head, checksum, unpack_head
from edgesdk.contract import Contract
from edgesdk.errors import ModelFileError, StreamError
from edgesdk.preprocess import Pixels, decode_photo
from edgesdk_device.codec import Codec, as_frame

REMEMBERED = 101  # frames whose median is what is usual
FEWEST = 5  # frames before anything is unusual


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One frame of a session.

    Attributes:
        data: its message.
        activity: its length over the median length of the last 101 frames; 1 while there were fewer than 5.
    """

    data: bytes
    activity: float


class Sender:
    """Compresses the frames of one source.

        sender = Sender(codec, height, width, quality=40, number=7)
        send(sender.start)
        send(sender.compress(frame).data)

    Args:
        codec: one that learned this camera (`edgesdk train --camera`) codes each frame's difference from the camera's
            background; its frames are brought to the background's size.
        height, width: of the frames.
        quality: 1 to 100.
        number: 0 to 65535, another one for each session: messages of another session are found out by it.
    """

    def __init__(self, codec: Codec, height: int, width: int, *, quality: int = 50, number: int = 0) -> None:
        self._codec, self._background = codec, read_background(codec.encoder.contract)
        if self._background is not None:
            height, width = self._background.shape[:2]
        if not 0 <= number < 2**16:
            raise ValueError(f"number is {number}, expected 0 to 65535")
        self.head = Head(codec=codec.id, quality=quality, height=height, width=width, session=number)
        packed = self.head.pack()
        self.start = packed + (checksum(packed) >> 16).to_bytes(CHECK_BYTES, "big")
        self._lengths: deque[int] = deque(maxlen=REMEMBERED)

    def compress(self, frame: Pixels) -> Sent:
        """A frame's message.

        Args:
            frame: uint8 [h, w, 3], BGR.

        Raises:
            ValueError: if the frame is of another size, dtype or shape.
        """
        frame, _ = as_frame(frame)
        if self._background is not None:
            frame = _difference(_fit(frame, self._background), self._background)
        elif frame.shape[:2] != (self.head.height, self.head.width):
            raise ValueError(
                f"the frame is {frame.shape[0]}x{frame.shape[1]}, expected {self.head.height}x{self.head.width} as "
                "all of this session"
            )
        code = self._codec.encode(frame, self.head.quality)
        payload, check = self._codec.pack_code(code, self.head.quality, self.start)
        data = bytes([check >> 16 & 0xFF]) + payload
        usual = statistics.median(self._lengths) if len(self._lengths) >= FEWEST else len(data)
        self._lengths.append(len(data))
        return Sent(data=data, activity=len(data) / usual)


class Receiver:
    """The other end of a session.

    Args:
        codec: the same as the sender's.
        start: the sender's `start`.

    Raises:
        StreamError: if the start is damaged, begins no session, or is another codec's.
    """

    def __init__(self, codec: Codec, start: bytes) -> None:
        head, end = unpack_head(start)
        if head.session is None:
            raise StreamError("the data is one picture, expected a session's start: read it with Codec.decompress")
        codec.expect(head)
        if start[end:] != (checksum(start[:end]) >> 16).to_bytes(CHECK_BYTES, "big"):
            raise StreamError("the session's start is damaged: its checksum does not match")
        self._codec, self.head, self._start = codec, head, start
        self._background = read_background(codec.decoder.contract)
        if self._background is not None and self._background.shape[:2] != (head.height, head.width):
            raise StreamError("the session's frames are of another size than the camera's background")

    def decompress(self, data: bytes) -> Pixels:
        """A message's frame, uint8 [h, w, 3], BGR.

        Raises:
            StreamError: if the message is damaged, cut short or of another session.
        """
        if not data:
            raise StreamError("the message is empty")
        code, low = self._codec.unpack(data[1:], self.head)
        found = checksum(code.tobytes(), before=checksum(self._start)) & 0xFFFFFF
        if found != data[0] << 16 | low:
            raise StreamError("the message's checksum does not match: it is damaged or of another session")
        frame = self._codec.decode(code, self.head)
        return frame if self._background is None else _restored(frame, self._background)


def read_background(contract: Contract) -> Pixels | None:
    """The background that a camera's codec learned, uint8 [h, w, 3] BGR; None for other codecs."""
    assert contract.codec is not None
    if not contract.codec.background:
        return None
    try:
        frame = decode_photo(base64.b64decode(contract.codec.background))
    except ValueError:
        frame = None
    if frame is None:
        raise ModelFileError("the background in the codec's contract does not decode: the file is damaged")
    return frame


def _fit(frame: Pixels, background: Pixels) -> Pixels:
    import cv2

    if frame.shape == background.shape:
        return frame
    size = background.shape[1], background.shape[0]
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _difference(frame: Pixels, background: Pixels) -> Pixels:
    """Half the difference, around 128."""
    return ((frame.astype(np.int16) - background + 256) >> 1).astype(np.uint8)


def _restored(difference: Pixels, background: Pixels) -> Pixels:
    wide = 2 * difference.astype(np.int16) - 256 + background
    return np.clip(wide, 0, 255).astype(np.uint8)
