"""A frame and the protocol of its sources."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One picture.

    Attributes:
        image: uint8 [height, width, 3], BGR.
        index: 0, 1, 2, ... in its source.
        captured_at: `time.monotonic()` when it came out of the source.
        name: of the file it comes from, "" for a camera.
    """

    image: npt.NDArray[Any]
    index: int
    captured_at: float
    name: str = ""


class Source(Protocol):
    """Frames one after another, until the source ends; close it, or use it as a context manager."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Let the source go."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
