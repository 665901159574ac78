"""The lock of a host, held on this machine with the real bash and flock."""

from __future__ import annotations

import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest

from workstation import lock, scripts
from workstation.errors import HostError


class LocalConnector:
    """It has the same name as pyinfra's, by which the lock knows how to reach the host."""


@pytest.fixture
def host(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """This machine, with a separate lock file."""
    name = f"test-lock-{tmp_path.name}"
    monkeypatch.setattr(lock, "FILE", str(tmp_path / "lock"))
    monkeypatch.setattr(lock, "_NAME", name)
    return SimpleNamespace(name="here", connector=LocalConnector())


def test_a_second_run_is_refused_with_who_holds_the_lock(host: Any):
    """It gets the lock once the first has ended."""
    with (
        lock.held([host], "anna@desk since 12:00, commit abc"),
        pytest.raises(lock.LockedError, match=r"here: anna@desk since 12:00, commit abc\. Wait"),
        lock.held([host], "ben"),
    ):
        pass
    with lock.held([host], "ben"):
        pass


def test_a_lock_file_that_cannot_be_made_is_not_taken_for_another_run(
    host: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    """For example, if /run/lock is missing."""
    monkeypatch.setattr(lock, "FILE", str(tmp_path / "no" / "lock"))
    with (
        pytest.raises(HostError, match=r"here could not be locked: .* cannot be used"),
        lock.held([host], "anna"),
    ):
        pass


def test_a_run_that_dies_lets_go(host: Any):
    """Its end of the connection is closed, and nothing has to be cleaned up."""
    holder = subprocess.Popen(
        lock._command("anna"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert lock._said(holder.stdout) == ("held", "", "")
    holder.stdin.close()
    holder.wait(10)
    with lock.held([host], "ben"):
        pass


def test_a_run_that_says_nothing_more_lets_go(host: Any, monkeypatch: pytest.MonkeyPatch):
    """For example, if its network fails: the host does not notice the end of the connection."""
    monkeypatch.setattr(lock, "SILENCE", 0.3)
    with subprocess.Popen(
        lock._command("anna"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert lock._said(holder.stdout) == ("held", "", "")
        started = time.monotonic()
        holder.wait(10)
        assert time.monotonic() - started > 0.2
        with lock.held([host], "ben"):
            pass


def test_a_run_keeps_the_lock_while_it_lives(host: Any, monkeypatch: pytest.MonkeyPatch):
    """It sends a word before the host's time limit ends."""
    monkeypatch.setattr(lock, "SILENCE", 0.4)
    with lock.held([host], "anna"):
        time.sleep(1)
        with pytest.raises(lock.LockedError), lock.held([host], "ben"):
            pass


def test_a_lock_that_cannot_be_made_is_an_error(host: Any, monkeypatch: pytest.MonkeyPatch):
    """The run does not continue without a lock."""
    monkeypatch.setattr(scripts, "text", lambda _: "echo; exit 1")
    with pytest.raises(lock.HostError, match="could not be locked"), lock.held([host], "anna"):
        pass


@pytest.mark.parametrize(
    "noise",
    [
        "echo Welcome to gpu1; echo held busy",
        "printf hi",
        r"printf '\033]0;gpu1\007'",
        r"printf 'Gr\374\337 Gott'",
        "echo a; printf 'b\r'",
    ],
)
def test_what_a_login_script_says_is_not_the_holders_word(
    host: Any, monkeypatch: pytest.MonkeyPatch, noise: str
):
    """bash reads .bashrc when sshd starts it, and some of these print text, or set a title without
    ending the line."""
    noisy = f"{noise}\n{scripts.text('lock/hold.sh')}"
    monkeypatch.setattr(scripts, "text", lambda _: noisy)
    with (
        lock.held([host], "anna@desk"),
        pytest.raises(lock.LockedError, match="anna@desk"),
        lock.held([host], "ben"),
    ):
        pass


def test_bytes_that_are_no_text_are_read_past():
    """paramiko passes them on unchanged; a greeting in Latin-1 does not come from the holder."""
    said = [b"Gr\xfc\xdf Gott\n", f"{lock._NAME} busy anna@desk\n".encode()]
    assert lock._said(said) == ("busy", " ", "anna@desk")


def test_a_holder_that_cannot_use_the_file_is_heard_behind_an_open_line(
    host: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lock, "FILE", str(tmp_path / "no" / "lock"))
    noisy = f"printf hi\n{scripts.text('lock/hold.sh')}"
    monkeypatch.setattr(scripts, "text", lambda _: noisy)
    with pytest.raises(HostError, match=r"cannot be used \(unusable\)"), lock.held([host], "anna"):
        pass


def test_other_connections_are_not_locked():
    """For example pyinfra's @fake in tests."""
    with lock.held([SimpleNamespace(name="x", connector=object())], "anna"):
        pass


def test_a_run_says_who_it_is(tmp_path: Any):
    """Also outside of a repository."""
    assert "@" in lock.identity(tmp_path)
    assert lock.identity(tmp_path).endswith("commit unknown")
