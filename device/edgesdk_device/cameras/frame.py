"""A frame and the protocol of its sources."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture.

    Attributes:
        image: uint8 [height, width, 3], BGR.
        index: 0, 1, 2, ... in its source.
        captured_at: `time.monotonic()` when it came out of the source.
        name: of the file it comes from, "" for a camera.
        capture_ms: from the first byte of the frame that reached this process to `captured_at`: reading and decoding.
    """

    image: npt.NDArray[Any]
    index: int
    captured_at: float
    name: str = ""
    capture_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What happened to a source that goes on all the same.

    Attributes:
        kind: "lost" (the connection or camera is gone, it is tried again), "stalled" (no frame within the set time),
            "recovered" (frames come again) or "corrupt" (a frame that could not be decoded, left out).
        text: one sentence for a person.
        at: `time.monotonic()`.
    """

    kind: Literal["lost", "stalled", "recovered", "corrupt"]
    text: str
    at: float


class Source(Protocol):
    """Frames one after another, until the source ends; close it, or use it as a context manager."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Let the source go."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
