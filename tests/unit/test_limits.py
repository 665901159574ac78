"""The time limits of the tests: a test that hangs fails, and the others continue."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANGS = """
import subprocess, threading, time
import gevent
import pytest

def test_sleep(): time.sleep(60)
def test_gevent(): gevent.joinall([gevent.spawn(gevent.sleep, 60)])
def test_program(): subprocess.run(["sh", "-c", "sleep 60 & sleep 60"], capture_output=True)
def test_lock(): threading.Event().wait()

def test_what_swallows_errors():
    while True:
        try:
            time.sleep(60)
        except Exception:
            pass

@pytest.fixture
def slow(): time.sleep(60)

def test_fixture(slow): pass
def test_good(): pass
"""


def test_what_hangs_fails_and_the_others_are_run(tmp_path: Path):
    """No matter what it waits for: the clock, a program, a lock, or gevent, as in pyinfra."""
    (tmp_path / "test_hangs.py").write_text(HANGS)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "timeout=0.5", "test_hangs.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "5 failed, 1 passed, 1 error" in done.stdout
    assert done.stdout.count("Timeout (>0.5s)") >= 6


def test_every_test_has_a_limit(pytestconfig: pytest.Config, request: pytest.FixtureRequest):
    """Those in pyproject.toml, and longer ones if a machine or a browser is started."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert 0 < options["timeout"] <= 300
    plugin = pytestconfig.pluginmanager
    (limits,) = [one for one in plugin.get_plugins() if hasattr(one, "LIMITS")]
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert set(limits.LIMITS) <= folders
    for name, long, seconds in (
        ("unit/test_a.py", False, None),
        ("unit/lab/test_a.py", False, None),
        ("page/test_a.py", False, 300),
        ("lab/test_a.py", False, 3 * 3600),
        ("lab/test_a.py", True, 6 * 3600),
        ("upstream/test_a.py", False, 6 * 3600),
    ):
        assert limits.limit(ROOT / "tests" / name, long) == seconds
    # The longest known test of the lab takes an hour and a half, and may run first.
    assert limits.LONG >= 2 * 5400
