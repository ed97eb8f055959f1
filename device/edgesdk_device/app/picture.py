"""One message to the page: what is said of a frame, and the frame as JPEG."""

import json
import time
from typing import Any

import numpy.typing as npt

from edgesdk_device import board
from edgesdk_device.app.collect import encode_photo
from edgesdk_device.app.meter import Pace
from edgesdk_device.app.seen import Seen

LARGEST_SIDE = 640
QUALITY = 75
BOARD_EVERY_S = 2.0


def frame_message(facts: dict[str, Any], jpeg: bytes) -> bytes:
    """Facts and picture in one: four bytes of length (big-endian), that much JSON, then the JPEG."""
    text = json.dumps(facts, ensure_ascii=False).encode()
    return len(text).to_bytes(4, "big") + text + jpeg


def small_jpeg(image: npt.NDArray[Any]) -> bytes:
    """A frame as JPEG of at most 640 pixels a side."""
    import cv2

    scale = LARGEST_SIDE / max(image.shape[:2])
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return encode_photo(image, QUALITY)


class Facts:
    """What the page shows beside the picture; the board is asked at most every two seconds."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._board: dict[str, Any] = {}

    def of(self, seen: Seen | None, pace: Pace) -> dict[str, Any]:
        """The facts of a frame as plain values for JSON."""
        now = time.monotonic()
        if now - self._asked_at >= BOARD_EVERY_S:
            self._asked_at = now
            self._board = {"temperature_c": board.temperature_c(), "throttled": board.throttled()}
        facts = {
            "fps": round(pace.fps, 1),
            "age_p50_ms": round(pace.age_p50_ms, 1),
            "age_p95_ms": round(pace.age_p95_ms, 1),
            **self._board,
        }
        if seen is None:
            return facts
        return {**facts, **seen.to_json(), "still": seen.still}
