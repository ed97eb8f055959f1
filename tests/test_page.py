"""The page in a real browser: a headless Chromium that is driven as a person would use it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgesdk.converted import Converted
from edgesdk_device.app import AppSettings, CameraApp, Decisions
from edgesdk_device.cameras import CaptureOptions

pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from phones import SLOW_S, chromium, photograph, text

DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def app(int8_file: Converted, tmp_path: Path) -> Iterator[CameraApp]:
    """The app on ten red frames a second, in a folder that is looped."""
    (tmp_path / "frames").mkdir()
    rng = np.random.default_rng(0)
    for index in range(5):
        noise = rng.integers(-8, 8, (96, 128, 3))
        picture = np.clip(np.array((40, 40, 200)) + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "frames" / f"{index}.png"), picture)
    settings = AppSettings(
        source=str(tmp_path / "frames"),
        capture=CaptureOptions(paced=True, loop=True, fps=10),
        serve="0",
        collect=str(tmp_path / "photos"),
        decisions=Decisions(region=(0, 0, 0.5, 1)),
    )
    app = CameraApp(int8_file.path, settings)
    thread = threading.Thread(target=lambda: [None for _ in app])
    thread.start()
    yield app
    app._stream.close()
    thread.join(10)
    app.close()


def resize(browser: WebDriver, size: tuple[int, int]) -> None:
    screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)  # type: ignore[no-untyped-call]


def test_a_person_watches_and_saves_a_frame(browser: WebDriver, app: CameraApp, tmp_path: Path) -> None:
    wait = WebDriverWait(browser, SLOW_S)
    resize(browser, DESKTOP)
    browser.get(app.address)
    wait.until(lambda _: text(browser, "status") == "live")
    wait.until(lambda _: text(browser, "decided") == "red")
    assert browser.find_element(By.CSS_SELECTOR, "#bars li").text.startswith("red")
    assert float(text(browser, "fps")) > 0
    assert "seen red" in text(browser, "events")
    # The picture is the camera's: red, in its shape, with the region drawn.
    pixel = "return [...arguments[0].getContext('2d').getImageData(20, 20, 1, 1).data]"
    canvas = browser.find_element(By.ID, "picture")
    red, green, blue, _ = browser.execute_script(pixel, canvas)  # type: ignore[no-untyped-call]
    assert red > 120 > max(green, blue)
    assert browser.find_element(By.ID, "region").is_displayed()

    button = browser.find_element(By.ID, "save-frame")
    field = browser.find_element(By.ID, "label")
    field.send_keys("../tomato")
    button.click()
    wait.until(lambda _: text(browser, "saved").startswith("Not saved: a label names a folder"))
    field.clear()
    field.send_keys("tomato")
    button.click()
    wait.until(lambda _: text(browser, "saved").startswith("Saved as tomato/"))
    saved = list((tmp_path / "photos").rglob("*.jpg"))
    assert [path.parent.name for path in saved] == ["tomato"]
    assert cv2.imread(str(saved[0])).shape == (96, 64, 3)
    wait.until(lambda _: f"saved tomato/{saved[0].name}" in text(browser, "events"))
    photograph(browser, tmp_path / "desktop.png")

    browser.find_element(By.XPATH, "//div[@id='chips']/button[text()='green']").click()
    button.click()
    wait.until(lambda _: text(browser, "saved").startswith("Saved as green/"))
    resize(browser, PHONE)
    photograph(browser, tmp_path / "phone.png")
    complaints = [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    assert [text for text in complaints if "/save" not in text] == []  # which refused ../tomato


def test_the_page_says_that_the_camera_or_the_app_is_gone(browser: WebDriver, app: CameraApp) -> None:
    wait = WebDriverWait(browser, SLOW_S)
    resize(browser, DESKTOP)
    browser.get(app.address)
    wait.until(lambda _: text(browser, "status") == "live")
    from edgesdk_device.cameras import Notice

    app._notice(Notice(kind="lost", text="camera 0 is gone; trying again", at=time.monotonic()))
    wait.until(lambda _: text(browser, "veil") == "camera 0 is gone; trying again")
    assert not browser.find_element(By.ID, "save-frame").is_enabled()
    app._notice(Notice(kind="recovered", text="camera 0 gives frames again", at=time.monotonic()))
    wait.until(lambda _: text(browser, "status") == "live")
    app._stream.close()
    wait.until(lambda _: text(browser, "veil") == "no connection to the camera's computer")
