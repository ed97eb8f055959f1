"""A frame and the protocol of its sources."""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import numpy.typing as npt

from edgesdk.frozen import frozen


@frozen
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


@frozen
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


#: Gets each notice at once, on whichever thread found it: be brief, and do not close the source from there.
OnNotice = Callable[[Notice], None]


class Source(Protocol):
    """Frames one after another, until the source ends; close it, or use it as a context manager.

    Attributes:
        live: frames come when they come, and only the newest one waits; otherwise each frame waits until it is asked
            for.
        dropped: frames so far that a newer one overtook.
        corrupt: frames so far that could not be decoded.
    """

    live: bool
    dropped: int
    corrupt: int

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Let the source go; an iteration that waits on another thread ends. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
