"""Frames made of nothing, for trying a model where there is no camera."""

import time
from collections.abc import Iterator
from typing import Self

from edgesdk.contract import blocks_frame
from edgesdk_device.cameras.frame import Frame


class SyntheticSource:
    """Endless coloured blocks, 640x480, another picture each time; the same ones on every machine."""

    live = False
    dropped = corrupt = 0
    fps = 0.0
    height, width = 480, 640

    def __init__(self) -> None:
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._closed:
            start = time.monotonic()
            image = blocks_frame(index, self.height, self.width)
            now = time.monotonic()
            yield Frame(image=image, index=index, captured_at=now, capture_ms=(now - start) * 1e3)
            index += 1

    def close(self) -> None:
        """End an iteration; there is nothing to let go."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
