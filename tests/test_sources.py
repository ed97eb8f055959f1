"""Sources that misbehave, with real parts: servers that refuse, hang, break off, lie and come back."""

import base64
import os
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgesdk import CaptureOptions, Frame, Notice, open_source
from edgesdk.errors import SourceError
from edgesdk_device.cameras import jpeg as decoder
from edgesdk_device.cameras.live import CorruptFrameError
from edgesdk_device.cameras.opencv import source_name
from edgesdk_device.cameras.paced import play
from edgesdk_device.cameras.synthetic import SyntheticSource
from servers import HEADER, HttpCamera, RtspCamera, frames, jpeg, part, send, silence, then

FAST = CaptureOptions(stall_s=0.6, backoff_s=0.05, longest_backoff_s=0.2)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Each test ends with the threads and descriptors it began with."""
    cv2.imencode(".jpg", np.zeros((2, 2, 3), np.uint8))
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts itself
    yield
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if threading.active_count() <= threads and len(os.listdir("/proc/self/fd")) <= descriptors:  # noqa: PTH208
            return
        time.sleep(0.02)
    assert [thread.name for thread in threading.enumerate()][threads:] == []
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


@pytest.fixture
def notices() -> list[Notice]:
    return []


def kinds(notices: list[Notice]) -> list[str]:
    return [notice.kind for notice in notices]


def test_motion_jpeg_with_and_without_lengths(notices: list[Notice]) -> None:
    for length in (True, False):
        with (
            HttpCamera(frames(length=length)) as camera,
            open_source(camera.url, options=FAST, on_notice=notices.append) as source,
        ):
            seen = list(islice(source, 5))
        assert source.live
        assert [frame.image.shape for frame in seen] == [(48, 64, 3)] * 5
        assert all(0 <= frame.capture_ms < 500 for frame in seen)
        assert [frame.index for frame in seen] == sorted({frame.index for frame in seen})
    assert notices == []


def test_a_frame_is_as_old_as_its_first_byte() -> None:
    data = part(jpeg(90))

    def slowly(connection) -> None:  # type: ignore[no-untyped-def]
        for _ in range(3):
            connection.sendall(data[:200])
            time.sleep(0.2)
            connection.sendall(data[200:])

    with HttpCamera(then(send(HEADER), slowly, silence)) as camera, open_source(camera.url, options=FAST) as source:
        took_ms = [frame.capture_ms for frame in islice(source, 3)]
    assert min(took_ms) > 190
    assert min(took_ms) < 500  # the least: who else runs disturbs single ones


def test_only_the_newest_frame_waits() -> None:
    with HttpCamera(frames(fps=200)) as camera, open_source(camera.url, options=FAST) as source:
        images = iter(source)
        first = next(images)
        time.sleep(0.2)
        late = next(images)
        assert late.index > 10
        assert late.captured_at - first.captured_at > 0.1
        assert source.dropped >= 10


def test_what_refuses_or_answers_otherwise_is_an_error_at_once() -> None:
    answers = {
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n": "answers 404 Not Found; check the path",
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n": "name the user and password",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>": "answers with text/html",
        b"HTTP/1.1 302 Go\r\nLocation: ftp://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n": "it leads to FTP",
        b"SSH-2.0-OpenSSH\r\n": "check that the address answers",
        b"": "check that the address answers",
        HEADER + b"x" * 100 + b"--frame" + b"\0" * 20000: "something else than motion JPEG",
        HEADER + part(b"\xff\xd8" + b"\1" * 5000): "ended",
        HEADER: "ended",
    }
    for answer, found in answers.items():
        start = time.monotonic()
        with (
            HttpCamera(send(answer)) as camera,
            pytest.raises(SourceError, match=found),
            open_source(camera.url, options=FAST) as source,
        ):
            next(iter(source))
        assert time.monotonic() - start < 2
    with pytest.raises(SourceError, match="check that the address answers"):
        open_source(camera.url, options=FAST)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers_is_given_up_in_time(scheme: str) -> None:
    with HttpCamera(silence) as camera:
        start = time.monotonic()
        with pytest.raises(SourceError, match="check that the address answers"):
            open_source(camera.url.replace("http", scheme), options=FAST)
        assert time.monotonic() - start < 3


def test_a_server_that_sends_no_frame_is_given_up_in_time() -> None:
    with (
        HttpCamera(then(send(HEADER), silence)) as camera,
        open_source(camera.url, options=FAST) as source,
        pytest.raises(SourceError, match=r"no frame for 0\.6 s"),
    ):
        next(iter(source))


def test_a_stalled_source_is_noticed_and_opened_anew(notices: list[Notice]) -> None:
    drip = part(jpeg(5))[:-50]  # a frame that never ends
    with (
        HttpCamera(then(frames(3), send(drip), silence), frames()) as camera,
        open_source(camera.url, options=FAST, on_notice=notices.append) as source,
    ):
        seen = list(islice(source, 8))
    assert kinds(notices) == ["stalled", "recovered"]
    assert "gave no frame for 0.6 s" in notices[0].text
    assert max(b.captured_at - a.captured_at for a, b in pairwise(seen)) < 1.5
    assert [frame.index for frame in seen] == sorted({frame.index for frame in seen})


def test_a_connection_that_ends_in_the_middle_of_a_frame_is_tried_again(notices: list[Notice]) -> None:
    with (
        HttpCamera(then(frames(4), send(part(jpeg(5))[:300])), frames()) as camera,
        open_source(camera.url, options=FAST, on_notice=notices.append) as source,
    ):
        images = [frame.image for frame in islice(source, 12)]
    assert kinds(notices) == ["lost", "recovered"]
    assert all(image.std() < 2 for image in images)  # never half a picture


def test_a_server_that_is_killed_and_comes_back(notices: list[Notice]) -> None:
    camera = HttpCamera(frames())
    with open_source(camera.url, options=FAST, on_notice=notices.append) as source:
        images = iter(source)
        next(images)
        camera.kill()
        threading.Timer(0.5, lambda: again.append(HttpCamera(frames(), port=camera.port))).start()
        again: list[HttpCamera] = []
        while kinds(notices)[-1:] != ["recovered"]:
            next(images)
    again[0].kill()
    assert kinds(notices) == ["lost", "recovered"]
    assert notices[1].at - notices[0].at < 2
    assert "trying again" in notices[0].text


def test_tries_grow_rarer_up_to_a_limit() -> None:
    tried: list[float] = []

    def gone(connection) -> None:  # type: ignore[no-untyped-def]
        tried.append(time.monotonic())

    with HttpCamera(frames(2), gone) as camera, open_source(camera.url, options=FAST) as source:
        waiter = threading.Thread(target=lambda: list(source))
        waiter.start()
        time.sleep(1.2)
        source.close()
        waiter.join()
    pauses = np.diff(tried)
    assert 4 <= len(pauses) <= 8
    assert pauses[0] < 0.18
    assert all(0.19 < pause < 0.4 for pause in pauses[2:])


def test_damaged_frames_are_counted_and_left_out(notices: list[Notice]) -> None:
    whole = jpeg(100)
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    full = cv2.imencode(".jpg", noise)[1].tobytes()
    short = part(full[: len(full) // 2])
    script = then(send(HEADER + part(whole)), send(short * 3 + part(b"text")), frames())
    with HttpCamera(script) as camera, open_source(camera.url, options=FAST, on_notice=notices.append) as source:
        list(islice(source, 6))
    assert source.corrupt == 4
    assert kinds(notices) == ["corrupt"]  # said once a second, counted always


def test_damage_inside_a_jpeg_is_found_by_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simplejpeg")
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    data = cv2.imencode(".jpg", noise)[1].tobytes()
    for whole in (data, jpeg(7), cv2.imencode(".jpg", noise[..., 0])[1].tobytes()):
        fast = decoder.decode_jpeg(whole)
        monkeypatch.setattr(decoder, "simplejpeg", None)
        assert np.array_equal(decoder.decode_jpeg(whole), fast)
        monkeypatch.undo()
    middle = len(data) // 2
    with pytest.raises(CorruptFrameError, match="Corrupt JPEG data"):
        decoder.decode_jpeg(data[:middle] + b"\xff\x00\xaa" * 20 + data[middle + 200 :])
    monkeypatch.setattr(decoder, "simplejpeg", None)
    with pytest.raises(CorruptFrameError, match="no whole JPEG"):
        decoder.decode_jpeg(data[:middle])


def test_a_password_is_sent_and_never_shown(notices: list[Notice]) -> None:
    denied = send(b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
    with HttpCamera(denied, frames(2), denied) as camera:
        url = camera.url.replace("http://", "http://me:s3cret%21@")
        with open_source(f"{url}?of=rtsp://a:b@c", options=FAST, on_notice=notices.append) as source:
            next(iter(source))
            assert b"?of=rtsp://a:b@c HTTP" in camera.requests[1]
            with pytest.raises(SourceError, match="x"):
                open_source(url.replace("http", "x"), options=FAST)
            waiter = threading.Thread(target=lambda: list(source))
            waiter.start()
            time.sleep(0.3)
            source.close()
            waiter.join()
        assert base64.b64encode(b"me:s3cret!") in camera.requests[1]
    assert kinds(notices) == ["lost"]
    assert "s3cret" not in notices[0].text and camera.url in notices[0].text
    with pytest.raises(SourceError) as caught:
        open_source(url, options=FAST)
    assert "s3cret" not in str(caught.value)
    pipeline = "rtspsrc location=rtsp://{}camera/live ! decodebin ! videoconvert ! appsink"
    assert source_name(pipeline.format("me:s3cret@")) == pipeline.format("")


def test_rtsp_that_is_killed_restarted_and_falls_silent(tmp_path: Path, notices: list[Notice]) -> None:
    options = CaptureOptions(stall_s=3, backoff_s=0.1)  # a busy machine may be late by more than one second
    camera = RtspCamera(tmp_path)
    with open_source(camera.url, options=options, on_notice=notices.append) as source:
        images = iter(source)
        assert next(images).image.shape == (240, 320, 3)
        camera.kill()
        with RtspCamera(tmp_path, port=camera.port) as again:
            while kinds(notices)[-1:] != ["recovered"]:
                next(images)
            again.pause()
            while kinds(notices)[-2:] != ["stalled", "recovered"]:
                next(images)
            source.close()  # before the server goes, which would be one more loss
    assert kinds(notices) == ["lost", "recovered", "stalled", "recovered"]


def test_udp(tmp_path: Path) -> None:
    with RtspCamera(tmp_path):  # skips where ffmpeg is missing
        pass
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(SourceError, match="check that the address answers"):
        open_source(url, options=FAST)
    picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=30", "-c:v", "mpeg2video", "-g", "5"]
    sender = subprocess.Popen(["ffmpeg", "-v", "error", *picture, "-f", "mpegts", url], stdin=subprocess.DEVNULL)
    try:
        with open_source(url, options=CaptureOptions(stall_s=4)) as source:
            assert [frame.image.shape for frame in islice(source, 3)] == [(240, 320, 3)] * 3
    finally:
        sender.kill()
        sender.wait()


def test_a_video_with_a_damaged_tail_gives_what_decodes_and_says_so(tmp_path: Path, notices: list[Notice]) -> None:
    path = tmp_path / "whole.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    noise = np.random.default_rng(0)
    for _ in range(40):
        writer.write(noise.integers(0, 255, (48, 64, 3)).astype(np.uint8))
    writer.release()
    whole = path.read_bytes()
    assert len(list(open_source(str(path), on_notice=notices.append))) == 40
    assert notices == []
    for name, data in {
        "cut.avi": whole[: len(whole) * 6 // 10],
        "noise.avi": whole[: len(whole) // 2] + noise.integers(0, 255, len(whole) // 2).astype(np.uint8).tobytes(),
    }.items():
        (tmp_path / name).write_bytes(data)
        notices.clear()
        with open_source(str(tmp_path / name), on_notice=notices.append) as source:
            count = len(list(source))
        assert 15 <= count <= 30
        assert kinds(notices) == ["corrupt"]
        assert f"ends after {count} of" in notices[0].text


def test_a_recording_in_real_time(tmp_path: Path) -> None:
    path = tmp_path / "short.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for index in range(10):
        writer.write(np.full((48, 64, 3), index * 20, np.uint8))
    writer.release()
    with open_source(path, options=CaptureOptions(paced=True)) as source:
        seen = list(source)
    assert len(seen) + source.dropped == 10
    assert seen[-1].captured_at - seen[0].captured_at > 0.15
    with open_source(path, options=CaptureOptions(paced=True, loop=True, fps=100)) as source:
        assert [frame.index for frame in islice(source, 25)][-1] >= 24
    with open_source("synthetic", options=CaptureOptions(paced=True, fps=40)) as source:
        start = time.monotonic()
        list(islice(source, 9))
        assert time.monotonic() - start > 0.15
    with pytest.raises(ValueError, match="has its own pace"):
        open_source("0", options=CaptureOptions(paced=True))


class Hesitant(SyntheticSource):
    """Its first iteration of all pauses once, as on a machine that had other things to do."""

    waited = False

    def __iter__(self) -> Iterator[Frame]:
        for frame in super().__iter__():
            if frame.index == 3 and not Hesitant.waited:
                Hesitant.waited = True
                time.sleep(1.5)
            yield frame


def test_a_recording_goes_on_after_a_stall() -> None:
    notices: list[Notice] = []
    options = CaptureOptions(paced=True, fps=50, stall_s=0.3, backoff_s=0.05)
    with play(Hesitant, "blocks", options=options, on_notice=notices.append) as source:
        assert len(list(islice(source, 12))) == 12
    assert kinds(notices) == ["stalled", "recovered"]


def test_a_notice_that_fails_surfaces_where_the_frames_are_fetched() -> None:
    def fail(notice: Notice) -> None:
        raise RuntimeError(f"cannot log {notice.kind}")

    with (
        HttpCamera(frames(2)) as camera,
        open_source(camera.url, options=FAST, on_notice=fail) as source,
        pytest.raises(RuntimeError, match="cannot log lost"),
    ):
        list(source)


def test_options_out_of_range_are_named() -> None:
    for given, found in (
        ({"width": 0}, "width is 0"),
        ({"fourcc": "MJPEG"}, "fourcc is 'MJPEG'"),
        ({"stall_s": 0}, "stall_s is 0"),
        ({"backoff_s": 20}, "backoff_s is 20"),
        ({"loop": True}, "loop without paced"),
    ):
        with pytest.raises(ValueError, match=found):
            CaptureOptions(**given)


def test_a_pipeline_needs_gstreamer() -> None:
    from edgesdk_device.cameras.opencv import has_gstreamer

    pipeline = "videotestsrc num-buffers=9 ! videoconvert ! appsink"
    if has_gstreamer():
        with open_source(pipeline) as source:
            assert next(iter(source)).image.ndim == 3
    else:
        with pytest.raises(SourceError, match="this OpenCV has no GStreamer"):
            open_source(pipeline)


def test_opening_fails_quietly(tmp_path: Path) -> None:
    """In a fresh process, as a user has it: OpenCV and FFmpeg read their switches once."""
    (tmp_path / "text.mp4").write_text("no video")
    code = (
        "import sys\nfrom edgesdk import open_source\nfrom edgesdk.errors import SourceError\n"
        "for source in sys.argv[1:]:\n"
        "    try: open_source(source)\n"
        "    except SourceError as error: print(error)\n"
    )
    sources = ["99", str(tmp_path / "text.mp4"), "rtsp://127.0.0.1:9/x", "picamera"]
    done = subprocess.run([sys.executable, "-c", code, *sources], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line[:11] for line in done.stdout.splitlines()] == ["cannot open"] * 3 + ["picamera2 d"]


class FakePicamera:
    """What the adapter uses of picamera2, which exists on a Raspberry Pi only."""

    fail = False
    closed = 0

    def __init__(self) -> None:
        self.left = 3

    def create_video_configuration(self, *, main: dict[str, object], controls: dict[str, float]) -> dict[str, object]:
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict[str, object]) -> None:
        assert configuration == {"main": {"size": (320, 240), "format": "RGB888"}, "controls": {"FrameRate": 30}}

    def start(self) -> None:
        if self.fail:
            raise RuntimeError("Failed to start camera: Device or resource busy")

    def capture_request(self) -> "FakePicamera":
        if not self.left:
            raise RuntimeError("camera unplugged")
        self.left -= 1
        time.sleep(0.05)
        return self

    def make_array(self, name: str) -> np.ndarray:  # type: ignore[type-arg]
        assert name == "main"
        return np.full((240, 320, 3), 9, np.uint8)

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 20_000_000}

    def release(self) -> None: ...

    def close(self) -> None:
        type(self).closed += 1


def test_the_adapter_for_picamera2(monkeypatch: pytest.MonkeyPatch, notices: list[Notice]) -> None:
    module = types.ModuleType("picamera2")
    module.Picamera2 = FakePicamera  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    options = CaptureOptions(width=320, height=240, fps=30, stall_s=1, backoff_s=0.05)
    with open_source("picamera", options=options, on_notice=notices.append) as source:
        seen = list(islice(source, 5))
    assert seen[0].image.shape == (240, 320, 3)
    assert all(20 <= frame.capture_ms < 200 for frame in seen)
    assert kinds(notices) == ["lost", "recovered"]
    assert "camera unplugged" in notices[0].text
    closed = FakePicamera.closed
    monkeypatch.setattr(FakePicamera, "fail", True)
    with pytest.raises(SourceError, match=r"cannot open the Pi's camera \(Failed to start"):
        open_source("picamera", options=options)
    assert FakePicamera.closed == closed + 1
