"""The page's server under attack and load, with real sockets; `test_server.py` has who may see and save."""

import asyncio
import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from apps import until
from edgesdk.converted import Converted
from edgesdk_device.app import CameraApp
from edgesdk_device.app.guard import HEADERS
from edgesdk_device.app.listening import reachable
from test_server import ask, running

OTHER_SITES = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://127.0.0.1"},
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)
OUTSIDE = (
    "/../server.py",
    "/..%2fserver.py",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/page.js/../../server.py",
    "/page.js%00.html",
    "/page/index.html",
    "/..\\..\\server.py",
    "/%252e%252e/etc/passwd",
    "/frame.jpg/../../../../etc/passwd",
    "/save/../page.css/..",
    "http://evil.example/etc/passwd",
)


@pytest.fixture(scope="module")
def photos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collected")


@pytest.fixture(scope="module")
def app(int8_file: Converted, photos_folder: Path) -> Iterator[CameraApp]:
    """An impatient one, for 50 viewers, on loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgesdk_device.app.door.PATIENCE_S", 3.0)
        for module in ("server", "viewers"):  # of connections, and of open pages
            patch.setattr(f"edgesdk_device.app.{module}.HEARTBEAT_S", 1.5)
        with running(int8_file, viewers=50, collect=str(photos_folder)) as app:
            until(lambda: ask(app.address, path="/frame.jpg")[0] == 200)
            yield app


def port_of(app: CameraApp) -> int:
    found = re.search(r":(\d+)/", app.address)
    assert found is not None
    return int(found[1])


def say(app: CameraApp, text: bytes, seconds: float = 5.0) -> bytes:
    """What comes back for these bytes until the server hangs up."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port_of(app)), timeout=seconds) as line:
        line.sendall(text)
        with contextlib.suppress(ConnectionError):
            while more := line.recv(65536):
                answer += more
    return answer


def test_nothing_outside_the_page_is_served(app: CameraApp) -> None:
    for path in OUTSIDE:
        answer = say(app, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.[01] (400|403|404)", answer), path
        assert b"root:" not in answer
        assert b"import asyncio" not in answer


def test_no_other_site_reads_or_writes(app: CameraApp, photos_folder: Path) -> None:
    for headers in OTHER_SITES:
        for path, method in (("/save", "POST"), ("/live", "GET"), ("/state.json", "GET"), ("/frame.jpg", "GET")):
            status, text, _ = ask(app.address, path=path, method=method, headers=headers, data=b'{"label": "cat"}')
            assert (status, text) == (403, "This came from another site.\n"), (path, headers)
    assert list(photos_folder.iterdir()) == []


def test_every_answer_carries_the_headers(app: CameraApp) -> None:
    answers = [ask(app.address, path=path)[2] for path in ("/", "/state.json", "/no", "/save", "/live")]
    answers.append(ask(app.address, headers={"Host": "evil.example"})[2])
    for headers in answers:
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"a" * 9000,
        b"\r\n".join(b"X-%d: a" % n for n in range(2000)),
        b"a" * 100_000,
        b"Cookie: " + b"a=b;" * 9000,
    ],
    ids=["long", "many", "no name", "cookies"],
)
def test_oversized_headers_are_refused_and_forgotten(app: CameraApp, headers: bytes) -> None:
    answer = say(app, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] (400|431)|$", answer)
    assert b"Traceback" not in answer
    assert ask(app.address)[0] == 200


def test_the_slow_are_shown_out_and_nobody_waits_for_them(app: CameraApp) -> None:
    """Headers byte by byte, a body that never comes, answers that nobody reads."""
    begun = time.monotonic()
    post = b"POST /save HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    pipeline = b"GET /frame.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    with contextlib.ExitStack() as stack:
        lines = []
        for first in (b"GET / HTTP/1.1\r\nX: ", post, pipeline):
            for _ in range(10):
                line = stack.enter_context(socket.create_connection(("127.0.0.1", port_of(app))))
                line.sendall(first)
                lines.append(line)
        slow, silent = lines[:10], lines[10:]
        while slow:
            assert time.monotonic() - begun < 15, "they may stay"
            for line in slow.copy():
                try:
                    line.sendall(b"a")
                except ConnectionError:
                    slow.remove(line)
            assert ask(app.address)[0] == 200
            time.sleep(0.2)
        for line in silent:
            line.settimeout(10)
            with contextlib.suppress(ConnectionError):
                while line.recv(1 << 20):
                    pass


def test_fifty_viewers_see_newer_and_newer_frames(app: CameraApp) -> None:
    async def watch(session: aiohttp.ClientSession) -> list[int]:
        numbers = []
        async with session.ws_connect(f"{app.address}live", max_msg_size=0) as line:
            async for message in line:
                if message.type is aiohttp.WSMsgType.BINARY:
                    length = int.from_bytes(message.data[:4], "big")
                    numbers.append(json.loads(message.data[4 : 4 + length])["frame"])
                    await line.send_str("next")
                if len(numbers) == 5:
                    break
        return numbers

    async def crowd() -> list[list[int]]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            return await asyncio.gather(*(watch(session) for _ in range(50)))

    seen = asyncio.run(crowd())
    assert all(numbers == sorted(set(numbers)) and len(numbers) == 5 for numbers in seen)
    until(lambda: json.loads(ask(app.address, path="/state.json")[1])["viewers"] == 0)


def test_who_asks_for_frames_and_reads_none_gives_its_place_back(
    app: CameraApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgesdk_device.app.viewers.STUCK_S", 0.5)
    viewers = lambda: json.loads(ask(app.address, path="/state.json")[1])["viewers"]  # noqa: E731
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port_of(app)))
        deaf.sendall(
            b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        until(lambda: viewers() == 1)
        with pytest.raises(ConnectionError):
            for _ in range(1000):  # asking counts as being there
                deaf.sendall(b"\x81\x84\0\0\0\0next")
                time.sleep(0.02)
        until(lambda: viewers() == 0)


def test_a_viewer_may_stay_longer_than_a_request(app: CameraApp) -> None:
    async def stay() -> int:
        count, end = 0, time.monotonic() + 4.5  # past the patience with others
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{app.address}live", max_msg_size=0) as line:
            while time.monotonic() < end:
                if (await line.receive()).type is aiohttp.WSMsgType.BINARY:
                    count += 1
                    await line.send_str("next")
        return count

    assert asyncio.run(stay()) > 5


def test_only_loopback_listens_unless_asked(app: CameraApp) -> None:
    outside = reachable("0.0.0.0")
    if outside.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError), socket.create_connection((outside, port_of(app)), timeout=2):
        pass


def test_one_address_leaves_room_for_others(int8_file: Converted) -> None:
    outside = reachable("0.0.0.0")
    if outside.startswith("127."):
        pytest.skip("this machine has no other address")
    with running(int8_file, serve="0.0.0.0:0", viewers=2) as app, contextlib.ExitStack() as stack:
        token = app.address.partition("?token=")[2]
        for _ in range(60):
            stack.enter_context(socket.create_connection((outside, port_of(app))))
        time.sleep(0.2)
        here = f"http://127.0.0.1:{port_of(app)}/"
        assert ask(here, path=f"/state.json?token={token}")[0] == 200
        for path in ("/save", "/live", "/frame.jpg", "/state.json?token=", f"/state.json?token={token}x", "/?Token=1"):
            assert ask(here, path=path, method="POST" if path == "/save" else "GET")[0] == 401
