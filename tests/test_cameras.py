import functools
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgesdk import CaptureOptions, open_source, verbs
from edgesdk.converted import Converted
from edgesdk.errors import SourceError, WriteError

FRAMES = 12


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of motion JPEG, each of another grey."""
    path = tmp_path_factory.mktemp("video") / "greys.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(FRAMES):
        writer.write(np.full((48, 64, 3), index * 20, np.uint8))
    writer.release()
    return path


@pytest.fixture
def site(video: Path) -> Iterator[str]:
    """A real HTTP server with the video."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(video.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_video_gives_every_frame(video: Path) -> None:
    with open_source(str(video)) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [round(frame.image.mean() / 20) for frame in frames] == list(range(FRAMES))
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].captured_at <= frames[-1].captured_at


def test_a_url_gives_every_frame(site: str) -> None:
    with open_source(f"{site}/greys.avi") as source:
        assert len(list(source)) == FRAMES


def test_a_folder_gives_its_photos_in_order_and_counts_damaged_ones(photos: Path, tmp_path: Path) -> None:
    source = open_source(str(photos))
    frames = list(source)
    assert [frame.name for frame in frames[:2]] == ["blue/00.png", "blue/01.png"]
    assert len(frames) == 120
    (tmp_path / "a.png").write_text("no picture")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((4, 4, 3), np.uint8))
    damaged = open_source(str(tmp_path))
    assert [frame.name for frame in damaged] == ["b.png"]
    assert [path.name for path in damaged.skipped] == ["a.png"]  # type: ignore[attr-defined]
    assert [frame.name for frame in open_source(str(tmp_path / "b.png"))] == ["b.png"]


def test_the_synthetic_source_never_ends_and_never_changes() -> None:
    first, again = iter(open_source("synthetic")), iter(open_source("synthetic"))
    for _ in range(3):
        assert np.array_equal(next(first).image, next(again).image)
    assert next(first).image.shape == (480, 640, 3)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        for source, found in (
            ("99", "cannot open camera 99.*edgesdk doctor"),
            ("99999999999", "there is no camera 99999999999"),
            (str(tmp_path / "missing.mp4"), "no source"),
            (str(tmp_path / "text.mp4"), "does not know it as a video"),
            (str(tmp_path / "empty"), "holds no photos"),
            (f"http://127.0.0.1:{taken.getsockname()[1]}/x.mjpg", "check that the address answers"),
        ):
            with pytest.raises(SourceError, match=found):
                open_source(source)


def test_run_answers_every_frame_and_writes_events(video: Path, int8_file: Converted, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    seen = list(verbs.run(int8_file.path, source=str(video), events=events))
    assert len(seen) == FRAMES
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    lines = [line for line in lines if line["event"] == "frame"]  # what was decided stands between them
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    assert [line["label"] for line in lines] == [one.answer.label for one in seen]
    assert all(line["age_ms"] >= line["invoke_ms"] > 0 for line in lines)


def test_run_stops_after_the_wanted_frames(int8_file: Converted) -> None:
    assert len(list(verbs.run(int8_file.path, source="synthetic", frames=5))) == 5


def test_events_that_cannot_be_written_are_named_before_the_first_frame(int8_file: Converted, tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="cannot write events"):
        verbs.run(int8_file.path, source="synthetic", events=tmp_path / "no" / "events.jsonl")


def test_run_counts_what_opencv_decodes(shared: Path, int8_file: Converted) -> None:
    path = shared / "videos/realshort.mp4"
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    assert count == 36
    assert len(list(verbs.run(int8_file.path, source=str(path)))) == count


def test_a_camera_closes_twice(video: Path) -> None:
    for options in (CaptureOptions(), CaptureOptions(paced=True)):
        camera = open_source(str(video), options=options)
        camera.close()
        camera.close()
        assert list(camera) == []
