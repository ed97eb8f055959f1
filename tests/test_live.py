"""A camera's compressed frames for the page: who gets in, and what a slow one gets; nothing here decodes."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509

from edgesdk import cli
from edgesdk_device.app.viewers import Viewer
from edgesdk_device.codec import find_codec
from edgesdk_device.web import site
from edgesdk_device.web.certificate import make_context
from edgesdk_device.web.live import LiveServer


@pytest.fixture
def server(litertjs_names: Path) -> Iterator[LiveServer]:
    with LiveServer("photo", "0", viewers=2) as server:
        yield server


def test_the_page_is_told_that_it_is_live(server: LiveServer) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession(server.address) as http:
            told = json.loads(await (await http.get("/site.json")).text())
            assert (told["live"], told["workstation"]) == (True, None)
            (model,) = told["models"]
            assert model["name"] == "photo"
            answer = await http.get(f"/{model['url']}")
            assert await answer.read() == (find_codec("photo") / "decoder.tflite").read_bytes()
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "max-age" in (await http.get("/litertjs/index.js")).headers["Cache-Control"]
            assert (await http.get("/live", headers={"Origin": "http://elsewhere"})).status == 403
            assert (await http.get("/", headers={"Host": "elsewhere"})).status == 403
            assert (await http.post("/measured")).status == 404

    asyncio.run(ask())


async def newest_of(page: aiohttp.ClientWebSocketResponse) -> bytes:
    """The last frame of a page that draws at once."""
    newest = b""
    while True:
        try:
            newest = await page.receive_bytes(timeout=1.0 if newest else 20.0)
        except TimeoutError:
            return newest
        await page.send_str("next")


def test_a_slow_page_gets_the_newest_frame_and_holds_up_nobody(server: LiveServer) -> None:
    async def watch() -> None:
        async with aiohttp.ClientSession(server.address) as http:
            slow, quick = await http.ws_connect("/live"), await http.ws_connect("/live")
            full = await http.ws_connect("/live")
            assert (await full.receive()).extra == "2 are watching already" and full.close_code == 1013
            begun = time.monotonic()
            for index in range(500):
                server.take(b"%d" % index)
            assert time.monotonic() - begun < 5  # the camera does not wait for who does not read
            assert await newest_of(quick) == b"499"
            given = [await slow.receive_bytes()]
            server.take(b"second")
            given.append(await slow.receive_bytes())  # no more than it is trusted with
            assert await newest_of(quick) == b"second"
            server.take(b"last")
            assert await newest_of(quick) == b"last"
            with pytest.raises(TimeoutError):
                await slow.receive_bytes(timeout=0.3)
            await slow.send_str("next")
            assert await slow.receive_bytes() == b"last" not in given
            server._beside.loop.call_soon_threadsafe(server._beside.over.set)
            assert (await slow.receive()).extra == "edgesdk stopped"

    asyncio.run(watch())


def test_elsewhere_it_speaks_https_to_who_has_the_token(litertjs_names: Path) -> None:
    async def ask(address: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        start, _, token = address.partition("?token=")
        local = f"https://127.0.0.1:{start.rpartition(':')[2]}"
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(local, connector=aiohttp.TCPConnector(ssl=context), cookie_jar=jar) as http:
            for path in ("/", "/?token=guess", "/site.json", "/models/0.tflite", "/live"):
                assert (await http.get(path)).status == 401
            entered = await http.get(f"/?token={token}", allow_redirects=False)
            assert entered.status == 303
            cookie = entered.headers["Set-Cookie"]
            assert "Secure" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie
            assert (await http.get("/site.json")).status == 200
            line = await http.ws_connect("/live")
            server.take(b"frame")
            assert await line.receive_bytes() == b"frame"

    with LiveServer("photo", "0.0.0.0:0") as server:
        assert server.address.startswith("https://") and "?token=" in server.address
        asyncio.run(ask(server.address))


def test_a_line_of_tls_that_is_closed_already_can_be_left() -> None:
    """Both sides leave in the same moment; asyncio's transport then has nothing more to say of itself."""

    async def close_twice() -> None:
        lines: list[asyncio.StreamWriter] = []
        here = ("127.0.0.1", 0)
        server = await asyncio.start_server(lambda _, line: lines.append(line), *here, ssl=make_context("localhost"))
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        _, page = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=trusting)
        while not lines:
            await asyncio.sleep(0.01)
        line = lines[0].transport
        line.close()
        line.close()
        with pytest.raises(AttributeError):
            line.get_write_buffer_size()
        Viewer(web.WebSocketResponse(), line)._hang_up_on_the_deaf()
        page.close()
        server.close()

    asyncio.run(close_twice())


def test_the_certificate_outlives_a_long_run_and_takes_any_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "küche")
    context = make_context("0.0.0.0")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        served = threading.Thread(target=lambda: context.wrap_socket(theirs, server_side=True).close())
        served.start()
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with trusting.wrap_socket(ours) as line:
            found = x509.load_der_x509_certificate(line.getpeercert(binary_form=True) or b"")
        served.join()
    assert found.not_valid_after_utc - datetime.now(UTC) > timedelta(days=360)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "xn--kche-0ra" in names.get_values_for_type(x509.DNSName)


def test_a_codec_is_named_by_its_folder_or_name(litertjs_names: Path, tmp_path: Path) -> None:
    one, other = site.read_models(["thumbnail", find_codec("photo")])
    assert [row["name"] for row in site.describe([one, other], None)["models"]] == ["thumbnail", "photo"]  # type: ignore[attr-defined, index]
    assert cli.main(["web", "photo", "-o", str(tmp_path / "site")]) == 0
    assert (tmp_path / "site" / "models" / "0.tflite").read_bytes() == other.path.read_bytes()


def test_what_cannot_be_served_is_one_sentence(
    litertjs_names: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.codec").mkdir()
    common = ["--compress", str(tmp_path / "out.eds"), "--source", "synthetic", "--serve", "0"]
    assert cli.main(["run", str(tmp_path / "empty.codec"), *common]) == 1
    assert "decoder.tflite" in capsys.readouterr().err
    assert cli.main(["run", "photo", *common, "--viewers", "0"]) == 2
    said = capsys.readouterr().err
    assert "viewers is 0" in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out.eds").exists()
