"""A browser, Debian's Chromium, driven by its own chromedriver, and a page that attacks in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement

PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""What must be installed -> Debian's package."""


SOCKET = """
const [address, done] = arguments;
const socket = new WebSocket(address);
socket.onopen = () => done("open");
socket.onerror = () => done("refused");
"""
"""Opens a WebSocket to an address, and tells whether that was possible."""

ATTACK = """
const [host, done] = arguments;
const body = new Blob(["{}"], {type: "text/plain"});
const how = {method: "POST", mode: "no-cors", credentials: "include", body};
fetch(`http://${host}/prompt`, how).catch(() => 0).then(() => {
  const form = document.createElement("form");
  form.method = "POST"; form.action = `http://${host}/form`; form.target = "frame";
  const frame = document.createElement("iframe");
  frame.name = "frame"; frame.onload = () => setTimeout(done, 500);
  document.body.append(frame, form);
  form.submit();
});
"""
"""Sends a host what a page may send without asking it first: a POST of text, and a form."""


class Elsewhere(BaseHTTPRequestHandler):
    """A page of somebody else."""

    def do_GET(self) -> None:  # a name of http.server
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>elsewhere</body>")

    def log_message(self, *words: Any) -> None:
        """Keep the test's output clean."""


class Browser:
    """Chromium with one page at a time, and a record of that page's actions."""

    def __init__(self, driver: webdriver.Chrome, folder: Path) -> None:
        self.driver = driver
        self._folder = folder
        self._pages = 0

    def open(
        self, html: str, width: int = 1200, scheme: str = "light", media: str = "screen"
    ) -> None:
        """Load a page from a file, as wide as ``width`` CSS pixels."""
        self._pages += 1
        file = self._folder / f"{self._pages}.html"
        file.write_text(html, encoding="utf-8")
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", media=media, features=features)
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        for kind in ("browser", "performance"):  # forget the actions of earlier pages
            self.driver.get_log(kind)
        self.driver.get(file.as_uri())

    def _devtools(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, arguments)

    def script(self, text: str, *arguments: Any) -> Any:
        """Run JavaScript, to which the page's own policy does not apply."""
        return self.driver.execute_script(text, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str, words: str = "") -> WebElement:
        """Return the only element of a selector that has ``words`` in its text."""
        (found,) = [element for element in self.all(selector) if words in self.text(element)]
        return found

    def text(self, element: WebElement) -> str:
        """Return an element's text, visible or not, on one line."""
        return " ".join(self.script("return arguments[0].textContent", element).split())

    def sees(self, element: WebElement) -> bool:
        """Return whether an element is visible to a person; the content of a closed <details> is
        not."""
        return bool(self.script("return arguments[0].checkVisibility()", element))

    def console(self) -> list[str]:
        """Return the browser's complaints about the page since it was opened."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that the browser requested since the page was opened."""
        entries = self.driver.get_log("performance")
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Fails instead of being skipped if there is no browser."""
    paths = {program: shutil.which(program) for program in PROGRAMS}
    missing = [PROGRAMS[program] for program, path in paths.items() if path is None]
    if missing:
        pytest.fail(
            "This test needs a browser: apt-get install "
            f"--no-install-recommends {' '.join(missing)} fonts-dejavu-core"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = str(paths["chromium"])
    # Its sandbox refuses to run as root and in containers, where tests often run; the pages are our
    # own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Given explicitly, because Selenium would otherwise look for a download.
    service = Service(str(paths["chromedriver"]))
    with webdriver.Chrome(options=options, service=service) as driver:
        yield Browser(driver, tmp_path_factory.mktemp("pages"))
