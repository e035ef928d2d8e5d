"""A headless Chromium for the tests of pages, and what must hold of every page that it shows."""

from __future__ import annotations

import base64
import importlib.resources
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

DESKTOP, PHONE = (1280, 900), (390, 844)
ATTACK = "<script>window.attacked = 1</script>\"'&é"  # a name that a page must show and not run
_WAIT = 180  # seconds; the machine may be busy


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser of its own; skips where Chromium or its driver is not installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its driver on this machine: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    flags = ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking")
    for flag in (*flags, "disable-dev-shm-usage", "hide-scrollbars", "force-device-scale-factor=1"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        chrome.set_script_timeout(_WAIT)
        yield chrome
    finally:
        chrome.quit()


def open_page(chrome: webdriver.Chrome, path: Path, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
    """Show a page in a window of ``size`` pixels, as the system's light or dark mode would, until it is drawn."""
    show_as(chrome, size, dark)
    chrome.get(path.resolve().as_uri())
    wait_until_drawn(chrome)


def show_as(chrome: webdriver.Chrome, size: tuple[int, int], dark: bool = False) -> None:
    """Give the window a size, which may be a phone's, and the system a colour scheme."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}  # or a click may find its button still moving
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, still]})


def wait_until(chrome: webdriver.Chrome, condition: str) -> None:
    """Wait until a JavaScript expression is true."""
    WebDriverWait(chrome, _WAIT).until(lambda browser: browser.execute_script(f"return Boolean({condition})"))


def wait_until_drawn(chrome: webdriver.Chrome) -> None:
    """Wait until every chart of the page is there."""
    wait_until(chrome, "document.documentElement.dataset.charts === 'drawn'")


def complaints(chrome: webdriver.Chrome) -> list[str]:
    """What the console says since the last call: warnings and errors."""
    entries = [entry for entry in chrome.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]
    return [str(entry["message"]) for entry in entries]


def requests(chrome: webdriver.Chrome) -> list[str]:
    """The addresses that were asked for since the last call, the page's own file and inline data aside."""
    messages = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    sent = [entry["params"]["request"]["url"] for entry in messages if entry["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("file:", "data:", "blob:"))]


def violations(chrome: webdriver.Chrome) -> list[dict[str, Any]]:
    """What axe-core finds serious or critical, as its rule and the elements."""
    chrome.execute_script((importlib.resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = chrome.execute_async_script("const done = arguments[arguments.length - 1]; axe.run().then(done);")
    return [
        {"rule": each["id"], "where": [node["html"][:200] for node in each["nodes"]][:5], "count": len(each["nodes"])}
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def scrolls_sideways(chrome: webdriver.Chrome) -> bool:
    """Whether the page is wider than the window."""
    script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
    return bool(chrome.execute_script(script))


def check_alone_and_readable(chrome: webdriver.Chrome) -> None:
    """The page asked for nothing, ran no `ATTACK`, fits the window, and axe-core finds nothing serious."""
    assert complaints(chrome) == [] and requests(chrome) == []
    assert chrome.execute_script("return window.attacked") is None
    assert not scrolls_sideways(chrome)
    assert violations(chrome) == []


def screenshot(chrome: webdriver.Chrome, path: Path) -> None:
    """The whole page, below the window too, as a PNG file."""
    image = chrome.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
    path.write_bytes(base64.b64decode(image["data"]))
