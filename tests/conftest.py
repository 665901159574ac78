"""Time limits of tests, including their fixtures: a test that hangs fails, and the others continue.
If ``TEST_PROGRAMS`` is ``required``, as ``./provision test`` sets it, a test that is skipped
because a program is missing fails.

``timeout`` in pyproject.toml is the limit of all tests that are not named here. A test's own
``@pytest.mark.timeout(seconds)`` takes precedence over both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path

import pytest

from workstation import run

# Only the tests keep this machine busy, so a program that hangs on purpose gets no extra time.
os.environ.setdefault("AI_WORKSTATION_PATIENCE", "1")

LIMITS = {"page": 300, "lab": 3 * 3600, "upstream": 6 * 3600}
"""Seconds of a test, by its folder below ``tests/``: the first one of a session pays for what all
share, such as a machine that is booted and provisioned, on an emulated processor too."""

LONG = 6 * 3600
"""Seconds of one with the mark ``long``; the longest known one takes an hour and a half."""


def limit(path: Path, long: bool) -> int | None:
    """Return the seconds that a test may take; None for those of pyproject.toml.

    + path: the path of its file
    + long: whether it has the mark ``long``
    """
    if long:
        return LONG
    below = path.relative_to(Path(__file__).parent).parts
    return LIMITS.get(below[0])


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give each test its limit."""
    seconds = limit(item.path, item.get_closest_marker("long") is not None)
    if seconds and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(seconds))


MAY_BE_SKIPPED = re.compile(r"root|file system|systemd is at work|firewalld")
"""Reasons that no package removes: who runs the tests, and on what. firewalld's package would
switch on a firewall where they run."""


@pytest.fixture(autouse=True)
def fresh_run() -> None:
    """Give each test its own run."""
    run.fresh()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip for a missing program into a failure."""
    report = yield
    if os.environ.get("TEST_PROGRAMS") == "required" and report.skipped:
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not hasattr(report, "wasxfail") and not MAY_BE_SKIPPED.search(reason):
            report.outcome = "failed"
            report.longrepr = f"{reason}; TEST_PACKAGES in tests/run.sh lacks it"
    return report
