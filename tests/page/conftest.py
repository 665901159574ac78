"""The report's page in a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser import Browser
from tests.browser import browser as browser
from workstation.report.page import Report


@pytest.fixture
def show(browser: Browser) -> Callable[..., Browser]:
    """Open a report's page; return the browser."""

    def opened(report: Report, **how: Any) -> Browser:
        browser.open(report.to_html(), **how)
        return browser

    return opened
