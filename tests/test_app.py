"""The camera app: the loop, its files, its page's server and its way to end, with real sockets and processes."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgesdk
from apps import StartApp, lines_of
from conftest import COLORS
from edgesdk import verbs
from edgesdk.commands.service import service_unit
from edgesdk.converted import Converted
from edgesdk.errors import ModelFileError, WriteError
from edgesdk_device.app import AppSettings, CameraApp, Decisions, Event, Seen
from edgesdk_device.app.events import EventLog
from edgesdk_device.cameras import CaptureOptions, Notice
from edgesdk_device.cameras.frame import Frame
from edgesdk_device.stream import Age, Answer

LIVE = CaptureOptions(paced=True, loop=True, fps=30)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second each of red, green and blue, 96x64 pixels, motion JPEG at 10 frames a second."""
    path = tmp_path_factory.mktemp("clip") / "colors.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for name in ("red", "green", "blue"):
        for _ in range(10):
            writer.write(np.full((64, 96, 3), COLORS[name], np.uint8))
    writer.release()
    return path


def our_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread is not threading.main_thread()}


# The loop and its files


def test_run_decides_and_tells(clip: Path, int8_file: Converted, tmp_path: Path) -> None:
    app = verbs.run(int8_file.path, source=str(clip), events=tmp_path / "events.jsonl")
    seen = list(app)
    assert [one.answer.frame.index for one in seen] == list(range(30))
    told = [(event.kind, event.label, event.frame) for one in seen for event in one.events]
    assert told == [
        *(("seen", "red", 2), ("gone", "red", 12), ("seen", "green", 12)),
        *(("gone", "green", 22), ("seen", "blue", 22)),
    ]
    assert [one.label for one in seen] == [""] * 2 + ["red"] * 10 + ["green"] * 10 + ["blue"] * 8
    lines = lines_of(tmp_path / "events.jsonl")
    assert [line["frame"] for line in lines if line["event"] == "frame"] == list(range(30))
    assert [(line["event"], line["label"], line["frame"]) for line in lines if line["event"] != "frame"] == told
    assert list(app) == []  # it closed itself


def test_a_file_name_that_is_no_text_is_told(int8_file: Converted, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    data = cv2.imencode(".png", np.full((64, 96, 3), COLORS["red"], np.uint8))[1].tobytes()
    with open(os.fsencode(tmp_path / "photos") + b"/\xff.png", "wb") as file:  # noqa: PTH123 - a Path is text
        file.write(data)
    events = tmp_path / "e.jsonl"
    with CameraApp(int8_file.path, AppSettings(source=str(tmp_path / "photos"), events=str(events))) as app:
        assert [seen.name for seen in app] == ["?.png"]
    assert lines_of(events)[0]["name"] == "?.png"


def test_a_wrong_model_or_backend_is_told_before_a_camera_is_looked_for(int8_file: Converted, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot read .*none\.tflite"):
        CameraApp(tmp_path / "none.tflite", AppSettings(source="77"))
    with pytest.raises(ValueError, match="backend is 'cuda', expected auto or one of litert"):
        CameraApp(int8_file.path, AppSettings(source="77", backend="cuda"))


def test_decided_events_only(clip: Path, int8_file: Converted, tmp_path: Path) -> None:
    settings = AppSettings(source=str(clip), events=str(tmp_path / "e.jsonl"), decided=True)
    list(edgesdk.run(int8_file.path, app=settings))
    assert [line["event"] for line in lines_of(tmp_path / "e.jsonl")] == ["seen", "gone"] * 2 + ["seen"]


def test_leaving_the_loop_closes_everything(int8_file: Converted, tmp_path: Path) -> None:
    before = our_threads()
    settings = AppSettings(source="synthetic", capture=LIVE, serve="0", save_uncertain=str(tmp_path))
    with edgesdk.run(int8_file.path, app=settings) as app:
        for seen in app:
            assert seen.answer.label in COLORS
            assert our_threads() > before
            break
    assert our_threads() == before
    app.close()


class Flaky:
    """A source that says what it is told to, between frames: the real ones are tested with the cameras."""

    live = True
    dropped = corrupt = 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(8):
            if index == 4:
                for kind in ("lost", "corrupt", "recovered"):
                    self.app._notice(Notice(kind=kind, text=f"the camera {kind}", at=time.monotonic()))  # type: ignore[arg-type]
            image = np.full((64, 96, 3), COLORS["red"], np.uint8)
            yield Frame(image=image, index=index, captured_at=time.monotonic())

    app: CameraApp

    def close(self) -> None: ...

    def __enter__(self) -> "Flaky":
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("motion", [0.0, 0.1])
def test_a_lost_source_is_told_at_once_and_its_votes_are_forgotten(
    motion: float, int8_file: Converted, tmp_path: Path
) -> None:
    """What did not move meanwhile is seen again."""
    source, decisions = Flaky(), Decisions(motion=motion)
    settings = AppSettings(events=str(tmp_path / "e"), decided=True, decisions=decisions)
    source.app = app = CameraApp(int8_file.path, settings, source=source)
    seen = list(app)
    kinds = ["seen", "gone", "lost", "recovered", "seen"]
    assert [event.kind for one in seen for event in one.events] == kinds
    assert [line["event"] for line in lines_of(tmp_path / "e")] == kinds
    assert [bool(one.label) for one in seen] == [False, False, True, True, False, False, True, True]


def a_frame(index: int, score: float = 0.9, second: float = 0.05) -> Seen:
    found = edgesdk.Classification(
        label="red",
        index=0,
        score=score,
        top=(("red", score), ("blue", second)),
        preprocess_ms=0.1,
        invoke_ms=1.0,
    )
    image = np.random.default_rng(index).integers(0, 255, (64, 96, 3), np.uint8)
    frame = Frame(image=image, index=index, captured_at=time.monotonic())
    age = Age(capture_ms=0, queue_ms=0, preprocess_ms=0.1, invoke_ms=1, post_ms=0)
    return Seen(answer=Answer(frame=frame, classification=found, age=age, dropped=0, corrupt=0), label="red")


def test_the_event_file_stays_small_and_loses_no_line_before_its_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, largest_bytes=3000)
    for index in range(60):
        log.take(a_frame(index))
    log.close()
    files = [path.with_name(f"events.jsonl{end}") for end in (".3", ".2", ".1", "")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= 3000 for file in files)
    frames = [line["frame"] for file in files for line in lines_of(file)]
    assert frames == list(range(frames[0], 60))


def test_a_half_line_of_a_power_cut_stays_alone(tmp_path: Path) -> None:
    (tmp_path / "e").write_text('{"event": "fra')
    log = EventLog(tmp_path / "e", largest_bytes=10**6)
    log.take(a_frame(7))
    log.close()
    cut, whole = (tmp_path / "e").read_text().splitlines()
    assert cut == '{"event": "fra' and json.loads(whole)["frame"] == 7


def test_old_events_stay_while_no_new_file_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is out of descriptors can rename a file and not open one."""
    monkeypatch.setattr("edgesdk_device.app.events.RETRY_S", 0.0)
    log = EventLog(tmp_path / "e", largest_bytes=1000)
    for index in range(20):
        log.take(a_frame(index))
    before = sorted(line["frame"] for path in tmp_path.iterdir() for line in lines_of(path))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        for index in range(20, 30):
            log.take(a_frame(index))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    log.close()
    after = sorted(line["frame"] for path in tmp_path.iterdir() for line in lines_of(path))
    assert log.missed and set(before[-12:]) <= set(after)


def test_an_event_file_is_continued_and_a_device_is_not_renamed(tmp_path: Path) -> None:
    path = tmp_path / "e"
    for index in range(2):
        log = EventLog(path, largest_bytes=10**6)
        log.take(a_frame(index))
        log.close()
    assert [line["frame"] for line in lines_of(path)] == [0, 1]
    log = EventLog("/dev/null", largest_bytes=10)
    for index in range(3):
        log.take(a_frame(index))
    log.close()
    assert Path("/dev/null").is_char_device()
    with pytest.raises(WriteError, match=r"cannot write events to .*: Is a directory"):
        EventLog(tmp_path, largest_bytes=10)


def test_events_survive_a_full_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        (disk / "others").write_bytes(b"x" * 50_000)
        log = EventLog(disk / "e.jsonl", largest_bytes=10**6, quiet=False)
        for index in range(100):
            log.take(a_frame(index))
        assert 0 < log.missed < 100
        (disk / "others").unlink()
        monkeypatch.setattr("edgesdk_device.app.events.RETRY_S", 0.0)
        log._retry_at = 0.0
        log.take(a_frame(100))
        log.close()
        lines = lines_of(disk / "e.jsonl")  # each of them whole
        written = 100 - lines[-2]["lines"]
        assert [line["frame"] for line in lines[:-2]] == list(range(written))
        assert lines[-2]["event"] == "missed"
        assert lines[-1]["frame"] == 100
        told = capsys.readouterr().err.splitlines()
        assert [bool(re.search(what, line)) for what, line in zip(("No space left", "again"), told, strict=True)]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_uncertain_frames_are_few_and_the_oldest_leave(
    int8_file: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgesdk_device.app import uncertain

    monkeypatch.setattr(uncertain, "EVERY_S", 0.0)
    settings = AppSettings(save_uncertain=str(tmp_path), uncertain_mb=0.05, decisions=Decisions(region=(0, 0, 0.5, 1)))
    frames = uncertain.UncertainFrames(settings)
    frames.take(a_frame(0, score=0.95))  # sure
    for index in range(1, 15):
        frames.take(a_frame(index, score=0.5))
        assert frames._writing is not None
        frames._writing.result()
    frames.take(a_frame(15, score=0.65, second=0.6))
    frames.close()
    kept = sorted(tmp_path.iterdir())
    assert 2 < len(kept) < 15
    assert sum(path.stat().st_size for path in kept) <= 50_000
    assert kept[-1].name.endswith("_0.65_red.jpg")
    assert cv2.imread(str(kept[-1])).shape == (64, 48, 3)  # what the classifier saw
    again = uncertain.UncertainFrames(settings)
    assert again._bytes == sum(path.stat().st_size for path in kept)
    again.close()


def test_other_photos_beside_uncertain_frames_are_left_alone(tmp_path: Path) -> None:
    from edgesdk_device.app.uncertain import UncertainFrames

    (tmp_path / "20240102-holiday.jpg").write_bytes(bytes(60_000))
    frames = UncertainFrames(AppSettings(save_uncertain=str(tmp_path), uncertain_mb=0.05))
    frames.take(a_frame(0, score=0.3))
    frames.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_uncertain_frames_keep_their_distance(tmp_path: Path) -> None:
    from edgesdk_device.app.uncertain import UncertainFrames

    frames = UncertainFrames(AppSettings(save_uncertain=str(tmp_path)))
    for index in range(50):
        frames.take(a_frame(index, score=0.3))
    frames.close()
    assert len(list(tmp_path.iterdir())) == 1


# The process


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_of_a_frame_ends_it_cleanly(
    sent: signal.Signals, code: int, start_app: StartApp, int8_file: Converted, tmp_path: Path
) -> None:
    events = tmp_path / "e.jsonl"
    app = start_app(int8_file, "--source", "synthetic", "--serve", "0", "--events", str(events))
    assert app.stdout is not None
    for _ in range(20):
        app.stdout.readline()
    app.send_signal(sent)
    _, errors = app.communicate(timeout=20)
    assert app.returncode == code
    assert len(errors.splitlines()) == 2, errors  # where it serves, and that it stopped
    assert lines_of(events)  # every line is whole
    assert [path.name for path in tmp_path.iterdir()] == ["e.jsonl"]


def test_sigterm_while_no_frame_comes(start_app: StartApp, int8_file: Converted) -> None:
    """A server that accepts and says nothing, as a camera that booted only half."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app = start_app(int8_file, "--source", f"http://127.0.0.1:{silent.getsockname()[1]}/live.mjpg", "--stall", "60")
        connection, _ = silent.accept()
        time.sleep(0.5)
        app.send_signal(signal.SIGTERM)
        _, errors = app.communicate(timeout=30)
        connection.close()
    assert app.returncode in (0, -signal.SIGTERM), errors
    assert "Traceback" not in errors


def test_print_service_prints_a_unit_for_these_flags(start_app: StartApp, int8_file: Converted, tmp_path: Path) -> None:
    flags = ["--source", "rtsp://cam/a b%20c", "--serve", "0.0.0.0:80", "--mqtt", "mqtt://me:secret@broker"]
    app = start_app(int8_file, *flags, "--print-service")
    unit, errors = app.communicate(timeout=60)
    assert (app.returncode, errors) == (0, "")
    assert "secret" not in unit
    line = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert line is not None
    assert line[1].endswith('--source "rtsp://cam/a b%%20c" --serve 0.0.0.0:80 --mqtt mqtt://me@broker')
    assert "EDGESDK_MQTT_PASSWORD" in unit
    assert "print-service" not in line[1]
    (tmp_path / "edgesdk.commands.service").write_text(unit)
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(tmp_path / "edgesdk.commands.service")], capture_output=True, text=True
        )
    except FileNotFoundError:
        return
    assert "edgesdk.commands.service:" not in done.stderr


def test_a_unit_expands_nothing() -> None:
    unit = service_unit(["edgesdk", "run", 'a $HOME\\n"q".tflite', "--mqtt=mqtts://u:p@h/x", "--print-service"])
    assert r'run "a $$HOME\\n\"q\".tflite" --mqtt=mqtts://u@h/x' in unit


def test_a_window_on_a_real_screen_shows_frames_and_goes(int8_file: Converted) -> None:
    """A real X server without a monitor; two frames, then the window and the process are gone."""
    screen = shutil.which("Xvfb")
    if screen is None:
        pytest.skip("Xvfb is not installed")
    read, write = os.pipe()
    command = [screen, "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as told:
            display = f":{told.readline().strip()}"
        command = [sys.executable, "-m", "edgesdk.cli", "run", str(int8_file.path), "--source", "synthetic", "--show"]
        environment = {**os.environ, "DISPLAY": display}
        done = subprocess.run(
            [*command, "--frames", "2", "--quiet"], capture_output=True, text=True, env=environment, timeout=60
        )
        if done.returncode == 1 and "no window can be opened" in done.stderr:
            pytest.skip("this OpenCV has no windows")
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
        assert "Traceback" not in done.stderr
    finally:
        server.terminate()
        server.wait(10)


def test_no_window_here_is_one_sentence(int8_file: Converted) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "edgesdk.cli", "run", str(int8_file.path), "--source", "synthetic", "--show"]
    command += ["--backend", "litert", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("edgesdk: no window can be opened here")
    assert len(done.stderr.splitlines()) == 1


def test_without_its_package_the_page_is_one_sentence(int8_file: Converted) -> None:
    code = "import sys; sys.modules['aiohttp'] = None; from edgesdk import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "run", str(int8_file.path), "--source", "synthetic", "--serve", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.endswith("pip install 'edgesdk[app]'\n")


def test_a_quarter_minute_holds_what_it_holds(int8_file: Converted) -> None:
    """The short form of benchmarks/soak.py."""
    script = Path(__file__).parents[1] / "benchmarks" / "soak.py"
    command = [sys.executable, str(script), str(int8_file.path), "--minutes", "0.25", "--dry"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert result["threads_left"] <= 0
    assert result["descriptors_left"] <= 2
    assert result["rss_growth"] < 0.1  # the first seconds still warm caches
    assert len(result["rows"]) == 10


def test_an_event_is_told_whole() -> None:
    from edgesdk_device.app.events import event_to_json

    facts = event_to_json(Event(kind="seen", at=time.monotonic(), label="cat", score=0.51239, frame=7))
    assert {name: value for name, value in facts.items() if name != "time"} == {
        "event": "seen",
        "label": "cat",
        "score": 0.5124,
        "frame": 7,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", str(facts["time"]))
