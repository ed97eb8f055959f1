"""The page on a phone: a headless Chromium runs the very files through LiteRT.js, with a video as its camera."""

import base64
import functools
import hashlib
import http.server
import itertools
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgesdk
from edgesdk import modelfile
from edgesdk.contract import encode_output
from edgesdk.converted import Converted
from edgesdk.measurement import Measurement, Refused
from edgesdk.preprocess import ImageInput, fit_frame
from edgesdk.reports import report
from edgesdk_device.web.phone import Happening, PhoneServer

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import Select, WebDriverWait

from phones import SLOW_S, chromium, find_runtime, photograph, proof, script, text, until

VIDEO = Path("videos") / "car_320x180_mjpeg.avi"
SAME = 0.98


@pytest.fixture(scope="module")
def runtime(cache: Path) -> Path:
    return find_runtime(cache)


@pytest.fixture(scope="module")
def camera(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a street as motion JPEG, which Chromium plays as a camera."""
    video = cv2.VideoCapture(str(shared / VIDEO))
    path = tmp_path_factory.mktemp("camera") / "street.mjpeg"
    with path.open("wb") as file:
        for _ in range(90):
            frame = video.read()[1]
            file.write(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return path


@pytest.fixture(scope="module")
def browser(runtime: Path, camera: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("chromium"), f"--use-file-for-fake-video-capture={camera}") as browser:
        yield browser


@pytest.fixture
def server(runtime: Path, int8_file: Converted, float_file: Converted, tmp_path: Path) -> Iterator[PhoneServer]:
    paths = [int8_file.path, float_file.path]
    with edgesdk.phone(paths, serve="127.0.0.1:0", collect=tmp_path / "photos") as server:
        yield server


def take_second(browser: WebDriver) -> None:
    Select(browser.find_element(By.ID, "model")).select_by_index(1)
    WebDriverWait(browser, SLOW_S).until(lambda _: "proved on" not in text(browser, "status"))


def test_every_engine_proves_both_files(browser: WebDriver, server: PhoneServer, tmp_path: Path) -> None:
    browser.get(server.address)
    for index in (0, 1):
        if index:
            take_second(browser)
        until(browser, "status", "proved on this phone")
        found = proof(browser)
        assert [ok for _, ok in found] == ["true"] * len(found), found
        assert any("wasm, 1 thread agrees" in line for line, _ in found)
        assert any("WebGPU agrees" in line for line, _ in found)
    photograph(browser, tmp_path / "proof.png")
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]  # type: ignore[no-untyped-call]
    assert [line for line in severe if "/litertjs/" not in line] == []  # which writes its remarks there


HURRY = """
const fetched = window.fetch, model = document.getElementById("model"), { page } = await import("./main.js");
const late = new Promise((done) => {
  window.fetch = async (url, ...more) => {
    const answer = await fetched(url, ...more);
    if (!String(url).endsWith("models/1.tflite")) return answer;
    while (page.session === null || page.index !== 0) await new Promise((go) => setTimeout(go, 50));
    done();
    return answer;
  };
});
for (const index of ["1", "0"]) {
  model.value = index;
  model.dispatchEvent(new Event("change"));
  await new Promise((go) => setTimeout(go, 100));
}
await late;
await new Promise((go) => setTimeout(go, 1000)); // in which the slow file would be read
window.fetch = fetched;
return page.model.contract.sha256;
"""


def test_a_file_that_comes_after_another_was_chosen_is_left(
    browser: WebDriver, server: PhoneServer, int8_file: Converted
) -> None:
    browser.get(server.address)
    until(browser, "status", "proved on this phone")
    assert script(browser, HURRY) == modelfile.read(int8_file.path).sha256
    assert text(browser, "status") == "proved on this phone"


NO_NUMBER = """
const { page } = await import("./main.js"), { verify } = await import("./golden.js"), { session, model } = page;
const infer = async (pixels) => (await session.infer(pixels)).map((value, index) => index ? value : NaN);
const { ok, difference } = await verify({ model, family: "cpu", infer });
return [ok, Number.isNaN(difference)];
"""


def test_an_output_that_is_no_number_is_no_golden_output(browser: WebDriver, server: PhoneServer) -> None:
    browser.get(server.address)
    until(browser, "status", "proved on this phone")
    assert script(browser, NO_NUMBER) == [False, True]


TWICE = """
const streams = [], media = navigator.mediaDevices, ask = media.getUserMedia.bind(media);
media.getUserMedia = async (wish) => { streams.push(await ask(wish)); return streams[streams.length - 1]; };
const { page } = await import("./main.js"), camera = document.getElementById("camera");
const until = async (true_) => { while (!true_()) await new Promise((resolve) => setTimeout(resolve, 20)); };
camera.click();
camera.click();
await until(() => streams.length === 2 && page.running);
const { session } = page, [run, read, close] = ["run", "read", "close"].map((name) => session[name].bind(session));
let under_way = false, closed_under_way = null;
session.run = async (tensor) => {
  under_way = true;
  const output = await run(tensor);
  await new Promise((resolve) => setTimeout(resolve, 300));
  return output;
};
session.read = async (output) => { const scores = await read(output); under_way = false; return scores; };
session.close = () => { closed_under_way = under_way; close(); };
await until(() => under_way);
document.getElementById("engine").dispatchEvent(new Event("change"));
await until(() => page.session !== session && page.session);
camera.click();
return [closed_under_way, ...streams.map((stream) => stream.getTracks()[0].readyState)];
"""


def test_a_hasty_hand_leaves_no_camera_on_and_no_frame_behind(browser: WebDriver, server: PhoneServer) -> None:
    """Start was pressed twice, then the engine changed in the middle of a frame."""
    browser.get(server.address)
    until(browser, "status", "proved on this phone")
    assert script(browser, TWICE) == [False, "ended", "ended"]


def test_the_camera_gets_the_labels_that_python_gives(
    browser: WebDriver, server: PhoneServer, int8_file: Converted, tmp_path: Path
) -> None:
    browser.get(server.address)
    until(browser, "status", "proved on this phone")
    browser.find_element(By.ID, "camera").click()
    WebDriverWait(browser, SLOW_S).until(lambda _: text(browser, "fps") not in ("–", "0.0"))
    assert text(browser, "decided") in ("blue", "green", "red")
    seen = script(
        browser,
        """const { page, see } = await import("./main.js"), found = [];
        while (found.length < args[0]) {
          await page.camera.next();
          const grabbed = page.camera.grab();
          const { best } = await see(page.session, grabbed);
          const { data, height, width } = grabbed.frame;
          let letters = "";
          for (let at = 0; at < data.length; at += 4096) {
            letters += String.fromCharCode(...data.subarray(at, at + 4096));
          }
          found.push({ best, height, width, pixels: btoa(letters) });
        }
        return found;""",
        20,
    )
    same = 0
    with edgesdk.Classifier(int8_file.path) as classify:
        for item in seen:
            pixels = np.frombuffer(base64.b64decode(item["pixels"]), np.uint8).reshape(item["height"], item["width"], 4)
            answer = classify(cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR))
            same += answer.label == item["best"][0]["label"]
            assert abs(answer.score - item["best"][0]["score"]) <= 2 / 256
    assert same >= SAME * len(seen)
    assert len({item["pixels"] for item in seen}) > 1  # the video moves
    photograph(browser, tmp_path / "camera.png")

    # A frame goes back under its label, and a label that is a path does not.
    field, button = browser.find_element(By.ID, "label"), browser.find_element(By.ID, "save-frame")
    field.send_keys("../car")
    browser.execute_script("arguments[0].click()", button)  # type: ignore[no-untyped-call]
    until(browser, "saved", "Not saved: a label names a folder")
    field.clear()
    field.send_keys("car")
    browser.execute_script("arguments[0].click()", button)  # type: ignore[no-untyped-call]
    until(browser, "saved", "Saved as car/")
    (saved,) = (tmp_path / "photos").rglob("*.jpg")
    assert saved.parent.name == "car" and cv2.imread(str(saved)).shape[:2] == (seen[0]["height"], seen[0]["width"])

    # The camera's end is said, and the page goes on.
    script(
        browser,
        """const { page } = await import("./main.js");
        page.camera.stream.getVideoTracks()[0].dispatchEvent(new Event("ended"));""",
    )
    assert "camera is gone" in text(browser, "veil")
    refuse = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }"
    browser.execute_script(refuse)  # type: ignore[no-untyped-call]
    browser.find_element(By.ID, "camera").click()
    until(browser, "veil", "not allowed for this page")


def test_the_page_prepares_frames_as_python_does(browser: WebDriver, server: PhoneServer) -> None:
    sizes = ((480, 640), (97, 131), (1080, 1920), (320, 320), (30, 40), (64, 200))
    cases: list[tuple[tuple[int, int], ImageInput]] = [
        (size, ImageInput(height=res[0], width=res[1], channels=3 if color == "rgb" else 1, color=color, resize=way))
        for size, res, color, way in itertools.product(
            sizes, ((160, 160), (96, 128)), ("rgb", "gray"), ("crop", "squash", "letterbox")
        )
    ]
    cases.append(((64, 200), ImageInput(height=224, width=224, resize="squash", interpolation="nearest")))
    browser.get(server.address)
    digests = script(
        browser,
        """const { fitFrame } = await import("./preprocess.js"), found = [];
        for (const [[height, width], input] of args[0]) {
          const data = new Uint8Array(4 * height * width);
          for (let at = 0; at < data.length; at++) data[at] = Math.imul(Math.imul(at, at) + 1, 2654435761) >>> 24;
          const digest = await crypto.subtle.digest("SHA-256", fitFrame({ data, height, width }, input));
          found.push(Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join(""));
        }
        return found;""",
        [(size, asdict(image)) for size, image in cases],
    )
    assert isinstance(digests, list), digests
    for ((height, width), image), digest in zip(cases, digests, strict=True):
        at = np.arange(4 * height * width, dtype=np.uint32)
        noise = ((at * at + np.uint32(1)) * np.uint32(2654435761) >> np.uint32(24)).astype(np.uint8)
        frame = cv2.cvtColor(noise.reshape(height, width, 4), cv2.COLOR_RGBA2BGR)
        assert hashlib.sha256(fit_frame(frame, image).tobytes()).hexdigest() == digest, (height, width, image)


def test_a_phone_is_a_row_of_the_report(
    browser: WebDriver, runtime: Path, int8_file: Converted, tmp_path: Path
) -> None:
    rows: list[Measurement | Refused] = []
    told: list[str] = []
    measuring = threading.Thread(
        target=lambda: rows.extend(
            edgesdk.bench_phone(
                [int8_file.path], threads=[1], quick=True, sustained_minutes=0.01, serve="127.0.0.1:0", tell=told.append
            )
        )
    )
    measuring.start()
    while not told and measuring.is_alive():
        measuring.join(0.05)
    browser.get(told[0])
    measuring.join(SLOW_S)
    assert not measuring.is_alive(), text(browser, "progress")
    wasm, gpu = rows
    assert isinstance(wasm, Measurement) and isinstance(gpu, Measurement), rows
    assert (wasm.backend, wasm.threads, gpu.backend) == ("litertjs-wasm", 1, "litertjs-webgpu")
    assert wasm.invoke_ms.n == len(wasm.samples_ms) == sum(wasm.blocks) >= 20
    assert wasm.sha256 == int8_file.contract.sha256 and wasm.max_difference is not None
    assert wasm.turns == gpu.turns and len(wasm.sustained) == 1 and wasm.paced is not None
    assert "Chrome/" in wasm.board and "cores" in wasm.board and gpu.device
    page = report.write_report(tmp_path / "phone.html", report.Report(rows=rows)).read_text()
    assert "litertjs-wasm" in page and "phone 1" in page and "not told" in page
    assert json.loads(report.as_json(rows))[0]["peak_rss_bytes"] is None
    assert "litertjs-webgpu" in report.as_text(rows) and "litertjs-wasm" in report.as_csv(rows)


def test_what_lies_is_refused_in_a_sentence(
    browser: WebDriver, runtime: Path, int8_file: Converted, tmp_path: Path
) -> None:
    contract = int8_file.contract
    false = tuple(replace(item, output=encode_output(item.expected() + 0.5)) for item in contract.golden)
    whole = modelfile.read(int8_file.path)
    lying, damaged = tmp_path / "lying.tflite", tmp_path / "damaged.tflite"
    modelfile.write(lying, whole.content, replace(contract, golden=false))
    damaged.write_bytes(int8_file.path.read_bytes())
    with edgesdk.phone([lying, damaged], serve="127.0.0.1:0") as server:
        changed = bytearray(damaged.read_bytes())
        changed[5000] ^= 1  # after the server looked: what the page gets is what counts
        damaged.write_bytes(changed)
        browser.execute_cdp_cmd("Page.enable", {})
        hide = "delete Navigator.prototype.gpu"
        added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": hide})
        address = server.address
        browser.get(address)
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
        until(browser, "status", "nothing here gives the golden outputs")
        assert "computes something else" in text(browser, "proof") and "WebGPU: this browser has none" in text(
            browser, "proof"
        )
        assert not browser.find_element(By.ID, "camera").is_enabled()
        take_second(browser)
        until(browser, "status", "the file is refused")
        assert "was changed since it was made" in text(browser, "proof")
        browser.delete_all_cookies()
        browser.get(address)
        assert "used already" in browser.find_element(By.TAG_NAME, "p").text
        browser.get(address.partition("=")[0] + "=wrong")
        assert "Scan the code" in browser.find_element(By.TAG_NAME, "p").text
        browser.get(server.address)  # the next token lets the next phone in
        until(browser, "proof", "sha256")
    browser.get("about:blank")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of the site, for as long as the block runs."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_the_static_site_works_offline(browser: WebDriver, runtime: Path, int8_file: Converted, tmp_path: Path) -> None:
    site = edgesdk.build_site([int8_file.path], tmp_path / "site")
    with served(site) as address:
        browser.get(address)
        until(browser, "proof", "works without a network")
        assert "Nothing." in text(browser, "where") and not browser.find_element(By.ID, "save").is_displayed()
    browser.get(address)
    until(browser, "status", "proved on this phone")
    # The host sent no such headers: the service worker isolates the page, which gives it threads.
    assert browser.execute_script("return crossOriginIsolated")  # type: ignore[no-untyped-call]
    assert any("wasm, 2 threads" in line for line, _ in proof(browser)) or os.cpu_count() == 1
    photograph(browser, tmp_path / "offline.png")
    again = edgesdk.build_site([int8_file.path], site)  # its own older site is replaced
    assert again == site and (site / "models" / "0.tflite").read_bytes() == int8_file.path.read_bytes()


def test_a_newer_site_takes_the_place_of_what_was_kept(
    browser: WebDriver, runtime: Path, int8_file: Converted, tmp_path: Path
) -> None:
    """Also where an old script would fail on the new page: on the next visit, and without a network from then on."""
    site = edgesdk.build_site([int8_file.path], tmp_path / "site")
    with served(site) as address:
        browser.get(address)
        until(browser, "proof", "works without a network")
        (tmp_path / "newer.tflite").write_bytes(int8_file.path.read_bytes())
        edgesdk.build_site([tmp_path / "newer.tflite"], site)
        for name in ("index.html", "main.js"):
            (site / name).write_text((site / name).read_text().replace('"minutes"', '"duration"'))
        browser.get(address)
        until(browser, "proof", "works without a network")
    browser.get(address)
    until(browser, "status", "proved on this phone")
    assert browser.title == "newer · edgesdk" and browser.find_elements(By.ID, "duration")


def test_a_phone_that_leaves_is_said(server: PhoneServer) -> None:
    assert isinstance(server, PhoneServer)
    server._heard["phone 1"] = -1e9  # it measured, and was last heard long ago
    assert next(server.happenings()) == Happening(kind="left", phone="phone 1", text="phone 1 said nothing for 30 s")
