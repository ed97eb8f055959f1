"""Frames are decoded into memory that nobody holds any more, and into no other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgesdk import open_source
from edgesdk_device.cameras.memory import MOST, FrameMemory


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twenty-four grey frames, each brighter than the one before."""
    path = tmp_path / "brighter.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for level in range(24):
        writer.write(np.full((48, 64, 3), 10 * level, np.uint8))
    writer.release()
    return path


def test_a_frame_or_a_part_of_one_that_is_kept_stays_as_it_is(video: Path) -> None:
    with open_source(video) as source:
        kept = [frame.image if frame.index % 2 else frame.image[8:16, ::2] for frame in source]
    assert [round(float(image.mean()) / 10) for image in kept] == list(range(24))


def test_frames_that_are_let_go_share_their_memory(video: Path) -> None:
    places = set()
    with open_source(video) as source:
        for frame in source:
            places.add(frame.image.ctypes.data)
            del frame
    assert len(places) <= 2


def test_no_more_is_remembered_than_is_on_its_way() -> None:
    memory = FrameMemory()
    assert memory.spare() is None
    held = [memory.keep(np.zeros((2, 2, 3), np.uint8)) for _ in range(MOST + 2)]
    assert memory.spare() is None
    last = held.pop()
    part = last[:1]
    del last
    assert memory.spare() is None
    del part
    assert memory.spare() is not None
    held.clear()
    assert memory.spare() is not None
