"""Requirements of tests: where ./provision runs them, every program that its packages provide must
be there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPS = """
import pytest

@pytest.mark.skipif(True, reason="no gpg here")
def test_a(): pass
def test_b(): pytest.skip("needs ufw, nft")
@pytest.mark.skipif(True, reason="only root makes mount namespaces")
def test_c(): pass
@pytest.mark.skipif(True, reason="needs firewalld and D-Bus")
def test_d(): pass
@pytest.mark.xfail(reason="no gpg here", strict=True)
def test_e(): raise ValueError
def test_f(): pass
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "1 passed, 4 skipped, 1 xfailed in"),
        ({"TEST_PROGRAMS": "required"}, "1 failed, 1 passed, 2 skipped, 1 xfailed, 1 error in"),
    ],
    ids=["by hand", "by ./provision test"],
)
def test_a_program_that_is_missing_fails_where_all_are_installed(
    given: dict[str, str], expected: str, tmp_path: Path
):
    """No package provides root, a file system or firewalld."""
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tests / "test_made.py").write_text(SKIPS)
    environment = {key: value for key, value in os.environ.items() if key != "TEST_PROGRAMS"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rsf", str(tests)],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), **given},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1].startswith(expected)
    assert ("no gpg here; TEST_PACKAGES in tests/run.sh lacks it" in done.stdout) is bool(given)


def test_provision_asks_for_it_and_installs_what_tests_are_skipped_for():
    """Each program that a test needs, by its package in Debian 12 and 13 and Ubuntu 24.04."""
    text = (ROOT / "tests/run.sh").read_text()
    assert re.search(r"TEST_PROGRAMS=required .*step pytest -q tests/unit tests/fixtures", text)
    (listed,) = re.findall(r"^TEST_PACKAGES=\((.*?)\)", text, re.MULTILINE | re.DOTALL)
    packages = {
        "gpg": "gpg",
        "haproxy": "haproxy",
        "zstd": "zstd",
        "nft": "nftables",
        "ip": "iproute2",
        "ufw": "ufw",
        "unshare": "util-linux",
        "nsenter": "util-linux",
        "chattr": "e2fsprogs",
        "systemd-analyze": "systemd",
        "modinfo": "kmod",
        "depmod": "kmod",
        "gcc": "gcc",
        "objcopy": "binutils",
        "node": "nodejs",
        "openssl": "openssl",
        "dpkg-deb": "",
        "dpkg-query": "",
        "apt-get": "",
        "firewalld": "",
        "dbus-daemon": "",
    }
    looked_for: set[str] = set()
    for path in [*(ROOT / "tests/unit").rglob("*.py"), *(ROOT / "tests/fixtures").rglob("*.py")]:
        found = re.findall(
            r"which\(\s*\"([a-z-]+)\"|which, \(([^)]*)\)|^(?:PROGRAMS|NEEDED) = \((.*)\)",
            path.read_text() if path != Path(__file__) else "",
            re.MULTILINE,
        )
        for groups in found:
            looked_for.update(re.findall(r"[a-z-]+", " ".join(groups)))
    assert {"ufw", "systemd-analyze", "gpg", "chattr"} <= looked_for
    assert looked_for - set(packages) == set()
    assert {packages[name] for name in looked_for} - set(listed.split()) == {""}
