"""The pages in a headless Chromium of a phone's size, which runs LiteRT.js as a phone would."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
from browser import find_chromium, start_chromium
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

from edgesdk.errors import BackendError
from edgesdk_device.web import litertjs

SLOW_S = 90


def find_runtime(cache: Path) -> Path:
    """LiteRT.js from the user's cache or npm; the test is skipped where neither has it."""
    users = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgesdk" / f"litertjs-{litertjs.VERSION}"
    )
    if users.is_dir() and not (cache / users.name).exists():
        shutil.copytree(users, cache / users.name, copy_function=os.symlink, dirs_exist_ok=True)
    try:
        return litertjs.find_litertjs()
    except BackendError as error:
        pytest.skip(f"LiteRT.js is not here: {error}")


@contextlib.contextmanager
def chromium(profile: Path, *flags: str, logs: Sequence[str] = ("browser",)) -> Iterator[WebDriver]:
    """The browser; the test is skipped where there is none."""
    if find_chromium() is None:
        pytest.skip("chromium and chromedriver are not installed")
    browser = start_chromium(profile, *flags, wait_s=SLOW_S, logs=logs)
    try:
        yield browser
    finally:
        browser.quit()


def text(browser: WebDriver, name: str) -> str:
    return browser.find_element(By.ID, name).text


def until(browser: WebDriver, name: str, wanted: str) -> None:
    """Wait for a text; what stands there instead is in the error."""
    try:
        WebDriverWait(browser, SLOW_S).until(lambda _: wanted in text(browser, name))
    except Exception as error:
        raise AssertionError(f"{name} says {text(browser, name)!r}, expected {wanted!r}: {proof(browser)}") from error


def script(browser: WebDriver, body: str, *arguments: object) -> Any:
    """What an async function of the page gives; `args` are its arguments."""
    wrapped = f"const args = [...arguments], done = args.pop(); (async () => {{ {body} }})().then(done, done);"
    return browser.execute_async_script(wrapped, *arguments)  # type: ignore[no-untyped-call]


def photograph(browser: WebDriver, path: Path) -> None:
    """A screenshot of the page, which shows everything across."""
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.execute_script(overflow) <= 0  # type: ignore[no-untyped-call]
    assert browser.save_screenshot(str(path))
    assert cv2.imread(str(path)).std() > 10  # something is drawn


def proof(browser: WebDriver) -> list[tuple[str, str | None]]:
    lines = browser.find_elements(By.CSS_SELECTOR, "#proof li")
    return [(line.text, line.get_attribute("data-ok")) for line in lines]
