"""A headless Chromium of a phone's size, for the figures of the page and for the tests."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors"),
    # WebGPU in software: a GPU's path that needs no GPU
    *("--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-angle=swiftshader"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
)
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


def find_chromium() -> tuple[str, str] | None:
    """The programs of the browser and of its driver; None where one is missing."""
    browser, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    return None if browser is None or driver is None else (browser, driver)


def start_chromium(profile: Path, *flags: str, wait_s: float, logs: Sequence[str] = ("browser",)) -> webdriver.Chrome:
    """The browser, to be ended with `quit`.

    Args:
        profile: an empty folder.
        flags: more of Chromium's.
        wait_s: for a script that ends later.
        logs: what `get_log` will know.

    Raises:
        FileNotFoundError: if Chromium or its driver is not installed.
    """
    found = find_chromium()
    if found is None:
        raise FileNotFoundError("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    options.accept_insecure_certs = True
    options.set_capability("goog:loggingPrefs", dict.fromkeys(logs, "ALL"))
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(found[1]))
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    browser.set_script_timeout(wait_s)
    return browser
