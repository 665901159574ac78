"""The lab on the control machine is accessible only to its user."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lab import keys
from lab.mirror import serve

ROOT = Path(__file__).parents[3]


def test_the_mirror_is_for_this_machine_alone(tmp_path: Path):
    """Both as a function and as a program."""
    with serve(tmp_path, 0) as server:
        assert server.server_address[0] == "127.0.0.1"
    command = [sys.executable, "-m", "lab.mirror", "--root", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    assert said.startswith("listening on 127.0.0.1:")


def test_the_key_to_the_labs_machine_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The same is true of its folder, whatever the umask."""
    monkeypatch.setattr(keys, "cache", lambda: tmp_path)
    before = os.umask(0)
    try:
        found = keys.user_key()
    finally:
        os.umask(before)
    assert stat.S_IMODE(found.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.private.parent.stat().st_mode) == 0o700
    assert keys.user_key() == found
