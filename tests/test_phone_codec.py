"""A codec on the page: a headless Chromium decodes the streams that Python made, and what a camera sends."""

import base64
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgesdk
from edgesdk import modelfile
from edgesdk.preprocess import Pixels
from edgesdk_device.codec import Codec, find_codec
from edgesdk_device.recording import record, replay

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from apps import StartApp
from phones import SLOW_S, chromium, find_runtime, photograph, proof, script, text, until

#: grey levels that a picture decoded in the page may differ from Python's
ALLOWED = {"wasm": 0, "webgpu": 8}
DECODE = """
const { page } = await import("./main.js"), { openSession } = await import("./runtime.js");
const { openCodec } = await import("./codec.js"), { readModel } = await import("./model.js");
const raw = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)), found = [];
for (const [url, accelerator, streams] of args[0]) {
  const model = await readModel(new Uint8Array(await (await fetch(url)).arrayBuffer()));
  const session = await openSession(model, { accelerator, threads: 1 }), codec = await openCodec(model);
  for (const stream of streams) {
    const pictures = [];
    try {
      for await (const { data, height, width } of codec.pictures(session, raw(stream))) {
        let letters = "";
        for (let at = 0; at < data.length; at += 4096) letters += String.fromCharCode(...data.subarray(at, at + 4096));
        pictures.push({ height, width, pixels: btoa(letters) });
      }
      found.push(pictures);
    } catch (error) {
      found.push(error.message);
    }
  }
  session.close();
}
return found;
"""


@pytest.fixture(scope="module")
def runtime(cache: Path) -> Path:
    return find_runtime(cache)


@pytest.fixture(scope="module")
def browser(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def photo(shared: Path) -> Pixels:
    """A street, 180x320."""
    return np.asarray(cv2.VideoCapture(str(shared / "videos" / "car_320x180_mjpeg.avi")).read()[1], np.uint8)


@pytest.fixture(scope="module")
def yard(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photo codec as if it had learned a camera: its frames are coded as half their difference from the first."""
    folder = tmp_path_factory.mktemp("camera") / "yard.codec"
    folder.mkdir()
    background = base64.b64encode(cv2.imencode(".png", photo)[1].tobytes()).decode()
    for half in ("encoder.tflite", "decoder.tflite"):
        whole = modelfile.read(find_codec("photo") / half)
        contract = whole.required_contract()
        assert contract.codec is not None
        own = replace(contract.codec, background=background)
        modelfile.write(folder / half, whole.content, replace(contract, codec=own))
    return folder


@pytest.fixture(scope="module")
def session(yard: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Two frames of the street, recorded with the camera's codec."""
    path = tmp_path_factory.mktemp("session") / "yard.eds"
    list(record(yard, path, source=shared / "videos" / "car_320x180_mjpeg.avi", frames=2, quality=40))
    return path.read_bytes()


def decoded(item: list[dict[str, str]] | str) -> list[Pixels]:
    assert isinstance(item, list), item
    frames = []
    for one in item:
        shape = int(one["height"]), int(one["width"]), 4
        pixels = np.frombuffer(base64.b64decode(one["pixels"]), np.uint8).reshape(shape)
        frames.append(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR), np.uint8))
    return frames


def drawn(browser: WebDriver) -> Pixels:
    """What the page's canvas holds."""
    found = script(
        browser,
        """const canvas = document.getElementById("picture"), { height, width } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        let letters = "";
        for (let at = 0; at < data.length; at += 4096) letters += String.fromCharCode(...data.subarray(at, at + 4096));
        return [{ height, width, pixels: btoa(letters) }];""",
    )
    return decoded(found)[0]


def open_stream(browser: WebDriver, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    browser.find_element(By.ID, "stream").send_keys(str(path))


def apart(one: Pixels, other: Pixels) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def test_the_page_decodes_what_python_does(browser: WebDriver, photo: Pixels, yard: Path, session: bytes) -> None:
    grey, small = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), cv2.resize(photo, (64, 64), interpolation=cv2.INTER_AREA)
    with Codec("photo") as codec, Codec("thumbnail") as thumbnail, Codec(yard) as camera:
        streams = [codec.compress(cv2.resize(photo, (300, 270)), 30), codec.compress(grey[:50, :33], 60)]
        streams.append(codec.compress(photo, 95))
        thumb = thumbnail.compress(small, 50)
        pictures = [[codec.decompress(stream)] for stream in streams]
        pictures[1] = [np.repeat(pictures[1][0][:, :, None], 3, 2)]
        given = [("thumbnail", [thumb], [[thumbnail.decompress(thumb)]])]
        given += [(str(yard), [session], [list(replay(session, camera))]), ("photo", streams, pictures)]
    with edgesdk.phone([name for name, _, _ in given], serve="127.0.0.1:0") as server:
        browser.get(server.address)
        until(browser, "proof", "WebGPU agrees")
        for engine, allowed in ALLOWED.items():
            some = given[:2] if engine == "webgpu" else given  # a GPU in software takes its time
            asked = [
                (f"models/{index}.tflite", engine, [base64.b64encode(data).decode() for data in streams])
                for index, (_, streams, _) in enumerate(some)
            ]
            found = script(browser, DECODE, asked)
            assert isinstance(found, list), found
            expected = [frames for _, _, pictures in some for frames in pictures]
            for item, frames in zip(found, expected, strict=True):
                for one, other in zip(decoded(item), frames, strict=True):
                    assert apart(one, other) <= allowed, (engine, one.shape)


def test_a_stream_is_shown_and_a_damaged_one_is_a_sentence(
    browser: WebDriver, runtime: Path, photo: Pixels, tmp_path: Path
) -> None:
    with Codec("photo") as codec, Codec("thumbnail") as thumbnail:
        stream, other = codec.compress(photo, 50), thumbnail.compress(photo, 50)
        expected = codec.decompress(stream)
    with edgesdk.phone(["photo"], serve="127.0.0.1:0") as server:
        browser.get(server.address)
        until(browser, "veil", "Open a stream")
        assert [ok for _, ok in proof(browser)] == ["true"] * len(proof(browser))
        assert not browser.find_element(By.ID, "camera").is_displayed()
        open_stream(browser, tmp_path / "street.edc", stream)
        until(browser, "veil", "")
        WebDriverWait(browser, SLOW_S).until(lambda _: not browser.find_element(By.ID, "veil").is_displayed())
        assert apart(drawn(browser), expected) == 0
        photograph(browser, tmp_path / "stream.png")
        damaged = bytearray(stream)
        damaged[len(stream) // 2] ^= 4
        for data, said in (
            (bytes(damaged), "it is damaged"),
            (stream[: len(stream) // 2], "damaged or cut short"),
            (stream[:9], "cut short"),
            (b"\xff\xd8\xff\xe0 a photo of another kind", "no picture of edgesdk compress"),
            (other, "made by the codec 8ef9019d, this one is da79ef33"),
        ):
            open_stream(browser, tmp_path / "bad.edc", data)
            until(browser, "veil", said)
            assert text(browser, "veil").count(". ") == 0 and "This browser stopped" not in text(browser, "veil")
        open_stream(browser, tmp_path / "street.edc", stream)  # and goes on
        WebDriverWait(browser, SLOW_S).until(lambda _: not browser.find_element(By.ID, "veil").is_displayed())
    browser.get("about:blank")


def test_what_the_camera_app_streams_is_shown(
    browser: WebDriver, runtime: Path, yard: Path, shared: Path, start_app: StartApp, tmp_path: Path
) -> None:
    video = shared / "videos" / "car_320x180_mjpeg.avi"
    app = start_app(
        *(yard, "--compress", str(tmp_path / "out.eds"), "--source", str(video), "--paced", "--loop"),
        *("--fps", "5", "--serve", "0", "--viewers", "1"),
    )
    assert app.stderr is not None
    address = app.stderr.readline().partition("watch at ")[2].strip()
    browser.get(address)
    until(browser, "status", "live")
    WebDriverWait(browser, SLOW_S).until(lambda _: text(browser, "fps") not in ("–", "0.0"))
    first = drawn(browser)
    WebDriverWait(browser, SLOW_S).until(lambda _: apart(drawn(browser), first) > 0)
    photograph(browser, tmp_path / "live.png")
    refused = script(
        browser,
        """return new Promise((resolve) => {
          new WebSocket(new URL("live", document.baseURI).href.replace(/^http/, "ws")).onclose =
            ({ code, reason }) => resolve([code, reason]);
        });""",
    )
    assert refused == [1013, "1 are watching already"]
    last = drawn(browser)
    app.send_signal(signal.SIGTERM)
    app.communicate(timeout=20)
    assert app.returncode == 0
    until(browser, "status", "no connection to the camera's computer")
    with Codec(yard) as codec:  # what was shown is what was recorded
        frames = list(replay((tmp_path / "out.eds").read_bytes(), codec))
    assert any(apart(last, frame) == 0 for frame in frames)
    browser.get("about:blank")
