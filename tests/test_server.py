"""The page's server with real sockets: who may see it, who may watch, and what is written where."""

import asyncio
import contextlib
import gc
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from aiohttp import web

from apps import until
from edgesdk.converted import Converted
from edgesdk.errors import ServeError, WriteError
from edgesdk.photos.data import read_dataset
from edgesdk_device.app import AppSettings, CameraApp, Decisions
from edgesdk_device.app.collect import check_label, save_frame
from edgesdk_device.app.door import LEFT_TO_COLLECT
from edgesdk_device.cameras import CaptureOptions

LIVE = CaptureOptions(paced=True, loop=True, fps=30)


@contextlib.contextmanager
def running(file: Converted, **settings: Any) -> Iterator[CameraApp]:
    """The app with endless frames, iterated by a thread of its own."""
    settings = {"source": "synthetic", "capture": LIVE, "serve": "0", "backend": "litert", "threads": 1, **settings}
    app = CameraApp(file.path, AppSettings(**settings))
    thread = threading.Thread(target=lambda: [None for _ in app])
    thread.start()
    try:
        yield app
    finally:
        app._stream.close()  # ends the thread's loop as the end of a file would
        thread.join(10)
        app.close()
        assert not thread.is_alive()


def ask(address: str, **more: Any) -> tuple[int, str, dict[str, str]]:
    """One request: status, text and headers; `method`, `path`, `headers`, `data` as aiohttp has them."""

    async def one() -> tuple[int, str, dict[str, str]]:
        url = address.partition("?")[0].rstrip("/") + more.pop("path", "/")
        async with aiohttp.request(more.pop("method", "GET"), url, allow_redirects=False, **more) as response:
            return response.status, (await response.read()).decode("latin-1"), dict(response.headers)

    return asyncio.run(one())


def post_label(address: str, label: str, **headers: str) -> tuple[int, dict[str, str]]:
    status, text, _ = ask(
        address,
        method="POST",
        path="/save",
        data=json.dumps({"label": label}),
        headers={"Content-Type": "application/json", **headers},
    )
    return status, json.loads(text) if text.startswith("{") else {"error": text}


@pytest.mark.parametrize(
    "label",
    [
        "",
        "  ",
        "..",
        ".hidden",
        "../up",
        "a/b",
        "a\\b",
        "/etc",
        "a\0b",
        "a\nb",
        "x" * 101,
        "train",
        "Test",
        "a:b",
        "end.",
    ],
)
def test_labels_that_are_no_folders_are_refused(label: str, tmp_path: Path) -> None:
    label = label if label != "a\nb" else "a\x07b"
    with pytest.raises(ValueError, match="label"):
        check_label(label)
    with pytest.raises(ValueError, match="label"):
        save_frame(tmp_path / "photos", label, np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in tmp_path.rglob("*")] in ([], ["photos"])


def test_saved_frames_are_photos_to_train_on(tmp_path: Path) -> None:
    for label in ("crème brûlée", " two  words ", "Straße 1"):
        for shade in (10, 200):
            save_frame(tmp_path / "photos", label, np.full((40, 40, 3), shade, np.uint8))
    dataset = read_dataset(tmp_path / "photos")
    assert dataset.classes == ("Straße 1", "crème brûlée", "two words")
    assert len(dataset.photos) == 6


def test_a_class_folder_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos" / "cat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WriteError, match="leads out"):
        save_frame(tmp_path / "photos", "cat", np.zeros((4, 4, 3), np.uint8))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_page_is_whole_and_guarded(int8_file: Converted, tmp_path: Path) -> None:
    with running(int8_file, collect=str(tmp_path)) as app:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", app.address)
        for path in ("/", "/page.css", "/page.js", "/icon.svg"):
            status, text, headers = ask(app.address, path=path)
            assert (status, bool(text)) == (200, True)
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Server"] == "edgesdk"
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", ask(app.address)[1])  # nothing from elsewhere
        until(lambda: ask(app.address, path="/frame.jpg")[0] == 200)
        state = json.loads(ask(app.address, path="/state.json")[1])
        assert {"fps", "age_p50_ms", "age_p95_ms", "viewers", "temperature_c"} <= set(state)
        photo = ask(app.address, path="/frame.jpg")
        assert (photo[0], photo[2]["Content-Type"]) == (200, "image/jpeg")
        # Another site whose name points here, and another site's script.
        assert ask(app.address, headers={"Host": "evil.example"})[0] == 403
        assert ask(app.address, headers={"Host": "[::"})[0] in (400, 403)
        assert post_label(app.address, "cat", Origin="http://evil.example")[0] == 403
        assert post_label(app.address, "cat", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        assert ask(app.address, path="/live", headers={"Origin": "http://evil.example"})[0] == 403
        assert list(tmp_path.iterdir()) == []


def test_a_frame_is_saved_under_its_label_and_nowhere_else(int8_file: Converted, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    with running(int8_file, collect=str(photos), decisions=Decisions(region=(0, 0, 0.5, 0.5))) as app:
        until(lambda: ask(app.address, path="/frame.jpg")[0] == 200)
        status, answer = post_label(app.address, "cat")
        assert status == 200
        assert cv2.imread(str(photos / answer["saved"])).shape == (240, 320, 3)
        for label in ("../../up", "/etc/cron.d", "..", "a/../../b"):
            assert post_label(app.address, label)[0] == 400
        for text in ("", "[]", '{"label": 3}', '{"name": "x"}', '"label"', "\xff"):
            assert ask(app.address, method="POST", path="/save", data=text.encode("latin-1"))[0] == 400
        assert ask(app.address, method="POST", path="/save", data=b"[" * 4000)[0] == 400
        unknown = {"Content-Type": "application/json; charset=klingon"}
        assert ask(app.address, method="POST", path="/save", data=b"{}", headers=unknown)[0] == 400
        assert ask(app.address, method="POST", path="/save", data=b"x" * 10_000)[0] == 413
        assert ask(app.address, path="/save")[0] == 405
        assert ask(app.address, path="/../../../etc/passwd")[0] == 404
    assert sorted(path.name for path in tmp_path.rglob("*.jpg")) == [answer["saved"].partition("/")[2]]


def test_without_a_folder_nothing_is_saved_and_a_bad_one_is_one_sentence(int8_file: Converted, tmp_path: Path) -> None:
    with running(int8_file) as app:
        status, answer = until(
            lambda: [found for found in [post_label(app.address, "cat")] if "came" not in str(found)]
        )[0]
        assert (status, answer["error"]) == (409, "start edgesdk run with --collect DIR")
    (tmp_path / "file").touch()
    with running(int8_file, collect=str(tmp_path / "file")) as app:
        until(lambda: ask(app.address, path="/frame.jpg")[0] == 200)
        status, answer = post_label(app.address, "cat")
        assert status == 507
        assert "cannot make the folder" in answer["error"]


def test_elsewhere_than_on_loopback_a_token_opens_the_page_once(
    int8_file: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(int8_file, serve="0.0.0.0:0") as app:
        token = app.address.partition("?token=")[2]
        assert len(token) > 20
        port = int(re.search(r":(\d+)/", app.address)[1])  # type: ignore[index]
        here = f"http://127.0.0.1:{port}/"
        assert ask(here)[0] == 401
        assert ask(here, path="/state.json")[0] == 401
        assert ask(here, path="/live")[0] == 401
        assert ask(here, path="/?token=wrong")[0] == 401
        assert ask(here, path="/?token=ÿ")[0] == 401
        status, _, headers = ask(here, path=f"/?token={token}")
        assert (status, headers["Location"]) == (303, "/")
        assert re.search(r"HttpOnly.*SameSite=Strict", headers["Set-Cookie"])
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert ask(here, headers={"Cookie": cookie})[0] == 200
        assert ask(here, path=f"/state.json?token={token}")[0] == 200  # for a script
    monkeypatch.setenv("EDGESDK_TOKEN", 'cho&sen#;"1')
    with running(int8_file, serve="0.0.0.0:0") as app:

        async def enter() -> int:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
                url = f"http://127.0.0.1:{app.address.rpartition(':')[2]}"
                async with browser.get(url) as answer:
                    return answer.status

        assert asyncio.run(enter()) == 200


def look(
    address: str, frames: int, *, answer: bool = True
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int | None]:
    """Watch as the page does: (what came as text, the facts of so many frames, the close code)."""

    async def one() -> tuple[list[dict[str, Any]], list[dict[str, Any]], int | None]:
        texts, facts = [], []
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}live") as line:
            async for message in line:
                if message.type is aiohttp.WSMsgType.TEXT:
                    texts.append(json.loads(message.data))
                    continue
                length = int.from_bytes(message.data[:4], "big")
                facts.append(json.loads(message.data[4 : 4 + length]))
                assert cv2.imdecode(np.frombuffer(message.data[4 + length :], np.uint8), cv2.IMREAD_COLOR) is not None
                if len(facts) == frames:
                    break
                if answer:
                    await line.send_str("next")
            return texts, facts, line.close_code

    return asyncio.run(one())


def test_a_viewer_gets_newer_and_newer_frames_and_the_events(int8_file: Converted, tmp_path: Path) -> None:
    with running(int8_file, collect=str(tmp_path)) as app:
        until(lambda: ask(app.address, path="/frame.jpg")[0] == 200)
        post_label(app.address, "cat")
        texts, facts, _ = look(app.address, 6)
        assert texts[0]["event"] == "hello"
        assert texts[0]["labels"] == ["blue", "green", "red"]
        assert [event["event"] for event in texts[0]["events"] if event["event"] == "saved"] == ["saved"]
        numbers = [fact["frame"] for fact in facts]
        assert numbers == sorted(set(numbers))
        until(lambda: json.loads(ask(app.address, path="/state.json")[1])["viewers"] == 0)


def test_what_visits_leave_behind_is_bounded(int8_file: Converted) -> None:
    """Python's collector comes by itself after hours; here never."""
    with running(int8_file) as app:
        until(lambda: ask(app.address, path="/frame.jpg")[0] == 200)
        gc.collect()
        gc.disable()
        try:
            for _ in range(2 * LEFT_TO_COLLECT):
                look(app.address, 1)
                ask(app.address)
            until(lambda: json.loads(ask(app.address, path="/state.json")[1])["viewers"] == 0)
            left = [item for item in gc.get_objects() if type(item) in (web.WebSocketResponse, web.RequestHandler)]
        finally:
            gc.enable()
        assert len(left) <= 3 * LEFT_TO_COLLECT  # of twice as many


def test_one_viewer_too_many_is_told(int8_file: Converted) -> None:
    async def crowd(address: str) -> tuple[int | None, str | None]:
        async with aiohttp.ClientSession() as session, contextlib.AsyncExitStack() as lines:
            for _ in range(2):
                line = await lines.enter_async_context(session.ws_connect(f"{address}live"))
                await line.receive()
            third = await lines.enter_async_context(session.ws_connect(f"{address}live"))
            message = await third.receive()
            return third.close_code, message.extra

    with running(int8_file, viewers=2) as app:
        assert asyncio.run(crowd(app.address)) == (1013, "2 are watching already")
        assert look(app.address, 1)[2] is None  # there is room again


def test_a_viewer_that_never_reads_costs_nothing(int8_file: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens the line and lets everything lie; others see every frame, and it is shown the door."""
    monkeypatch.setattr("edgesdk_device.app.viewers.HEARTBEAT_S", 1.0)
    with running(int8_file) as app:
        host, port = re.search(r"//(.*):(\d+)/", app.address).groups()  # type: ignore[union-attr]
        with socket.create_connection((host, int(port))) as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.sendall(
                f"GET /live HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            viewers = lambda: json.loads(ask(app.address, path="/state.json")[1])["viewers"]  # noqa: E731
            until(lambda: viewers() == 1)
            assert len(look(app.address, 20)[1]) == 20
            until(lambda: viewers() == 0)


JUNK = {
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "an endless address": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "half a body": b"POST /save HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc",
    "half a WebSocket": b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "no WebSocket frame": b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\xff\xff\xff\xff\xff\xff",
}


def test_junk_is_answered_or_dropped_without_a_word(int8_file: Converted, capfd: pytest.CaptureFixture[str]) -> None:
    with running(int8_file) as app:
        host, port = re.search(r"//(.*):(\d+)/", app.address).groups()  # type: ignore[union-attr]
        for junk in JUNK.values():
            with socket.create_connection((host, int(port))) as line:
                line.sendall(junk)
                line.settimeout(0.3)
                with contextlib.suppress(TimeoutError, ConnectionError):
                    line.recv(100)
        assert ask(app.address)[0] == 200
    assert capfd.readouterr() == ("", "")


def test_connections_that_say_nothing_are_bounded(int8_file: Converted) -> None:
    with running(int8_file, viewers=1) as app, contextlib.ExitStack() as idle:
        host, port = re.search(r"//(.*):(\d+)/", app.address).groups()  # type: ignore[union-attr]
        before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
        lines = [idle.enter_context(socket.create_connection((host, int(port)))) for _ in range(100)]
        lines[-1].settimeout(10)
        assert lines[-1].recv(1) == b""  # hung up
        if before:
            held = len(list(Path("/proc/self/fd").iterdir())) - before
            assert held < 100 + 1 + 64 + 5  # ours, and the server's side of those it took
    assert not our_pages()


def our_pages() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgesdk")]


def test_two_apps_on_one_port(int8_file: Converted) -> None:
    with running(int8_file) as app:
        port = app.address.rpartition(":")[2].strip("/")
        command = [sys.executable, "-m", "edgesdk.cli", "run", str(int8_file.path), "--source", "synthetic"]
        command += ["--backend", "litert", "--threads", "1"]
        done = subprocess.run([*command, "--serve", port], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert done.stderr == (
            f"edgesdk: port {port} is taken by another program: stop it, or name another port, such as "
            f"{int(port) + 1}\n"
        )
    for wrong in ("192.0.2.1:8000", "no-such-host.invalid:8000"):
        with pytest.raises(ServeError, match=r"cannot serve on [^()]*; name a free port"):
            CameraApp(int8_file.path, AppSettings(source="synthetic", serve=wrong))
