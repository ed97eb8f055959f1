"""A session in a file: its start, then each message with its length before it, a varint."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgesdk.codecs.stream import CHECK_BYTES, read_varint, unpack_head, write_varint
from edgesdk.errors import StreamError, WriteError
from edgesdk.preprocess import Pixels
from edgesdk_device.cameras import CaptureOptions, open_source
from edgesdk_device.codec import Codec
from edgesdk_device.session import Receiver, Sender


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One frame that was written.

    Attributes:
        frame: its number in the source.
        size_bytes: of its message.
        activity: see `Sent`.
        age_ms: from the frame's capture to its message.
    """

    frame: int
    size_bytes: int
    activity: float
    age_ms: float

    def to_json(self) -> dict[str, object]:
        """One event, as `--events` writes it."""
        return {
            "frame": self.frame,
            "bytes": self.size_bytes,
            "activity": round(self.activity, 3),
            "age_ms": round(self.age_ms, 3),
        }


def record(
    codec: Path | str,
    out: Path | str,
    *,
    source: str | int = 0,
    quality: int = 50,
    frames: int | None = None,
    events: Path | str | None = None,
    capture: CaptureOptions | None = None,
    live: Callable[[bytes], None] | None = None,
    backend: str = "auto",
    threads: int = 1,
) -> Iterator[Recorded]:
    """Compress a source's frames into a file, until it ends or `frames` were seen.

    Opening happens at the call. What was written before a stop or a full disk stays readable up to its last whole
    message.

    Args:
        codec: as in `Codec`; best one that learned this camera.
        out: the file.
        events: a file that gets one JSON object a line for each frame.
        capture: how the source is opened.
        live: is given each frame as a session of its own, which `replay` and the page read.

    Raises:
        ValueError: if frames is below 1 or the quality is none.
        WriteError: if a file cannot be opened, or the disk is full.
        EdgeSDKError: if the codec or the source does not open.
    """
    if frames is not None and frames < 1:
        raise ValueError(f"frames is {frames}, expected at least 1")
    opened = Codec(codec, backend=backend, threads=threads)
    opened.encoder  # noqa: B018 - opens it, before anything is overwritten
    source_of_frames = open_source(source, options=capture)
    log: IO[bytes] | None = None
    try:
        log = None if events is None else Path(events).open("ab", buffering=0)  # noqa: SIM115 - closed with the frames
        file: IO[bytes] = Path(out).open("wb", buffering=0)  # noqa: SIM115 - last: what lies there is gone then
    except OSError as error:
        source_of_frames.close()
        if log is not None:
            log.close()
        raise WriteError(
            f"cannot write {error.filename}: {error.strerror}; name a file in a folder that exists"
        ) from error

    def recorded() -> Iterator[Recorded]:
        sender: Sender | None = None
        with opened, source_of_frames, file:
            try:
                for frame in source_of_frames:
                    if frames is not None and frame.index >= frames:
                        return
                    if sender is None:
                        height, width = frame.image.shape[:2]
                        sender = Sender(opened, height, width, quality=quality, number=int(time.time()) % 2**16)
                        _write(file, sender.start)
                    sent = sender.compress(frame.image)
                    message = write_varint(len(sent.data)) + sent.data
                    _write(file, message)
                    if live is not None:
                        live(sender.start + message)
                    age_ms = (time.monotonic() - frame.captured_at) * 1e3
                    one = Recorded(frame=frame.index, size_bytes=len(sent.data), activity=sent.activity, age_ms=age_ms)
                    if log is not None:
                        _write(log, json.dumps(one.to_json()).encode() + b"\n")
                    yield one
            finally:
                if log is not None:
                    log.close()

    return recorded()


def replay(data: bytes, codec: Codec) -> Iterator[Pixels]:
    """The frames of a recorded session, uint8 [h, w, 3] BGR.

    Raises:
        StreamError: if it is damaged, another codec's, or cut short; the frames before come first.
    """
    _, end = unpack_head(data)
    end += CHECK_BYTES
    receiver = Receiver(codec, data[:end])
    while end < len(data):
        length, start = read_varint(data, end)
        end = start + length
        if end > len(data):
            raise StreamError("the session is cut short in its last message")
        yield receiver.decompress(data[start:end])


def _write(file: IO[bytes], data: bytes) -> None:
    try:
        written = file.write(data)
    except OSError as error:
        raise WriteError(f"cannot write {file.name}: {error.strerror}") from error
    if written != len(data):
        raise WriteError(f"cannot write {file.name}: the disk is full")
