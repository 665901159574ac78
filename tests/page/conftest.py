"""A browser for the report's page: Debian's Chromium, driven by its own chromedriver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webelement import WebElement

from workstation.report.page import Report

PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""What must be installed -> Debian's package."""


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
            "The tests of the report's page need a browser: apt-get install "
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


@pytest.fixture
def show(browser: Browser) -> Callable[..., Browser]:
    """Open a report's page; return the browser."""

    def opened(report: Report, **how: Any) -> Browser:
        browser.open(report.to_html(), **how)
        return browser

    return opened
