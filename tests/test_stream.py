"""The stream of answers: newest or every frame, its ages, and that nothing stays behind however it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgesdk import CaptureOptions, Classifier, Stream, open_source
from edgesdk.converted import Converted
from edgesdk.errors import SourceError
from servers import HEADER, HttpCamera, frames, jpeg, part, send, silence, then

FAST = CaptureOptions(stall_s=0.6, backoff_s=0.05, longest_backoff_s=0.2)
PACED = CaptureOptions(paced=True, fps=100)


@pytest.fixture
def classify(int8_file: Converted) -> Iterator[Classifier]:
    with Classifier(int8_file.path, backend="litert") as classifier:
        yield classifier


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and "asyncio" not in thread.name]
    for thread in left:
        thread.join(3)
    assert [thread.name for thread in left if thread.is_alive()] == []


def test_every_photo_is_answered_as_the_classifier_does(photos: Path, classify: Classifier) -> None:
    with open_source(photos) as source:
        alone = [(frame.name, classify(frame.image).top) for frame in source]
        streamed = [(answer.frame.name, answer.classification.top) for answer in Stream(source, classify)]
    assert len(streamed) == 120
    assert streamed == alone


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("bikes", 250),
        ("bottle-detection", 1189),
        ("car-detection", 377),
        ("one-by-one-person-detection", 1394),
        ("realshort", 36),
    ],
)
def test_every_frame_of_a_video_is_answered(shared: Path, classify: Classifier, name: str, count: int) -> None:
    with open_source(shared / "videos" / f"{name}.mp4") as source:
        answers = [(answer.frame.index, answer.dropped, answer.corrupt) for answer in Stream(source, classify)]
    assert answers == [(index, 0, 0) for index in range(count)]


def test_a_slow_reader_of_a_live_source_gets_the_newest_frame(classify: Classifier) -> None:
    with open_source("synthetic", options=CaptureOptions(paced=True, fps=30)) as source:
        seen = []
        for answer in islice(Stream(source, classify), 8):
            seen.append(answer)
            time.sleep(0.2)  # a model of 200 ms at 30 frames a second
    gaps = np.diff([answer.frame.index for answer in seen])
    assert (gaps >= 3).all()
    assert seen[-1].dropped == seen[-1].frame.index - seen[0].frame.index - len(seen) + 1
    assert np.median([answer.age_ms for answer in seen]) < 150  # in turn it would be 1,400 by the last


def test_the_age_is_where_the_time_went(classify: Classifier) -> None:
    for options in (CaptureOptions(), PACED):
        untold_ms = []
        with open_source("synthetic", options=options) as source:
            for answer in islice(Stream(source, classify), 5):
                age = answer.age
                real_ms = (time.monotonic() - answer.frame.captured_at) * 1e3 + answer.frame.capture_ms
                parts = (age.capture_ms, age.queue_ms, age.preprocess_ms, age.invoke_ms, age.post_ms)
                assert all(value >= 0 for value in parts)
                assert min(age.preprocess_ms, age.invoke_ms, age.post_ms) > 0
                assert answer.age_ms == pytest.approx(sum(parts))
                assert answer.age_ms <= real_ms
                untold_ms.append(real_ms - answer.age_ms)
        assert min(untold_ms) < 20  # the least: who else runs disturbs single ones


def test_leaving_the_loop_leaves_the_source_usable(photos: Path, classify: Classifier) -> None:
    for options in (CaptureOptions(), PACED):
        with open_source(photos, options=options) as source:
            for _ in range(2):
                for answer in Stream(source, classify):
                    assert answer.label in ("blue", "green", "red")
                    break
            with pytest.raises(ZeroDivisionError):
                for _ in Stream(source, classify):
                    _ = 1 / 0
            assert len(list(islice(Stream(source, classify), 3))) == 3


@pytest.mark.parametrize("kind", ["silent", "synthetic", "paced"])
def test_closing_ends_a_loop_on_another_thread(classify: Classifier, kind: str) -> None:
    with HttpCamera(then(frames(3), silence)) as camera:
        options = CaptureOptions(paced=kind == "paced")
        stream = Stream(open_source(camera.url if kind == "silent" else "synthetic", options=options), classify)
        answers: list[object] = []
        waiter = threading.Thread(target=lambda: answers.extend(stream))
        waiter.start()
        time.sleep(0.3)
        start = time.monotonic()
        stream.close()
        waiter.join(3)
        stream.close()
    assert not waiter.is_alive()
    assert time.monotonic() - start < 1
    assert answers


def test_what_ends_the_source_ends_the_loop(photos: Path, classify: Classifier) -> None:
    with (
        HttpCamera(then(send(HEADER), silence)) as camera,
        Stream(open_source(camera.url, options=FAST), classify) as stream,
        pytest.raises(SourceError, match="gave no frame"),
    ):
        list(stream)

    def fail(_: object) -> None:
        raise RuntimeError("the log is full")

    bad = photos.parent / "with_text"
    bad.mkdir(exist_ok=True)
    (bad / "a.png").write_text("no picture")
    with Stream(open_source(bad, on_notice=fail), classify) as stream, pytest.raises(RuntimeError, match="log is full"):
        list(stream)
    with pytest.raises(ValueError, match="top is 0"):
        Stream(open_source("synthetic"), classify, top=0)


def test_damaged_frames_are_counted_on_every_answer(classify: Classifier) -> None:
    script = then(send(HEADER + part(jpeg(9)) + part(b"text") * 2), frames())
    with HttpCamera(script) as camera, Stream(open_source(camera.url, options=FAST), classify, top=1) as stream:
        last = list(islice(stream, 4))[-1]
    assert last.corrupt == 2
    assert len(last.classification.top) == 1


def test_asyncio(photos: Path, classify: Classifier) -> None:
    async def count() -> tuple[int, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticker = asyncio.create_task(tick())
        async with Stream(open_source(photos), classify) as stream:
            answers = [answer.label async for answer in stream]
        ticker.cancel()
        return len(answers), ticks

    answers, ticks = asyncio.run(count())
    assert answers == 120
    assert ticks > 5  # the loop was never held up


def test_a_cancelled_task_ends_the_reading(classify: Classifier) -> None:
    async def watch(url: str) -> None:
        async for _ in Stream(open_source(url), classify):
            pass

    async def cancelled(url: str) -> float:
        task = asyncio.create_task(watch(url))
        await asyncio.sleep(0.3)
        start = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - start

    with HttpCamera(then(frames(3), silence)) as camera:
        assert asyncio.run(cancelled(camera.url)) < 2


PROGRAM = """
import signal, sys, threading
import edgesdk

def stop(*_):
    raise SystemExit(7)

signal.signal(signal.SIGTERM, stop)
options = edgesdk.CaptureOptions(paced=sys.argv[3] == "paced", loop=sys.argv[3] == "paced")
try:
    with edgesdk.Classifier(sys.argv[1]) as classify, edgesdk.open_source(sys.argv[2], options=options) as source:
        for answer in edgesdk.Stream(source, classify):
            print(answer.label, flush=True)
finally:
    print("threads", threading.active_count(), flush=True)
"""


@pytest.mark.parametrize("way", ["paced", "every"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 7), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_in_the_middle_of_a_frame(int8_file: Converted, way: str, number: int, code: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(int8_file.path), "synthetic", way]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    for _ in range(5):
        assert program.stdout.readline().strip() in ("blue", "green", "red")
    os.kill(program.pid, number)
    out, err = program.communicate(timeout=10)
    assert program.returncode == code, err
    assert out.splitlines()[-1] == "threads 1"


def test_an_hour_in_short(tmp_path: Path, classify: Classifier) -> None:
    """Descriptors, threads and memory while a looping file plays; the hour itself is in benchmarks/."""
    path = tmp_path / "short.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(20):
        writer.write(np.full((48, 64, 3), index * 10, np.uint8))
    writer.release()

    def held() -> tuple[int, int, int]:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), pages

    options = CaptureOptions(paced=True, loop=True, fps=500)
    with open_source(path, options=options) as source:
        stream = iter(Stream(source, classify))
        list(islice(stream, 200))
        threads, descriptors, pages = held()
        list(islice(stream, 600))
        later = held()
    assert later[0] == threads
    assert later[1] <= descriptors + 1  # one file is opened while the other is still being closed
    assert later[2] < pages * 1.02 + 256
