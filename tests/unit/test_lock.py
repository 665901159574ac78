"""The lock of a host, held on this machine with the real bash and flock."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fixtures.attack import GID, UID
from tests.fixtures.harness import programs
from workstation import lock, scripts, ssh
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


def test_two_runs_that_begin_at_once_do_not_both_get_the_lock(host: Any):
    """For a moment the first one has the lock, but not its name yet."""
    with subprocess.Popen(["flock", lock.FILE, "sleep", "600"]) as first:
        while subprocess.run(["flock", "-n", lock.FILE, "true"]).returncode == 0:
            time.sleep(0.01)
        with pytest.raises(lock.LockedError, match="owner unknown"), lock.held([host], "ben"):
            pass
        subprocess.run(["pkill", "-P", str(first.pid)], check=True)


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
    monkeypatch.setattr(lock, "SILENCE", 2)
    with lock.held([host], "anna"):
        time.sleep(5)
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


# Other users of the host

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for another user")


def test_only_root_can_make_its_file():
    """Anyone could hold a lock in a folder such as /run/lock, or leave something there first."""
    folder = Path(lock.FILE).parent.stat()
    assert (folder.st_uid, folder.st_mode & 0o022) == (0, 0)


@root
def test_another_user_can_neither_hold_the_lock_nor_see_what_is_in_it(host: Any, tmp_path: Any):
    """Opening the file is enough for flock(1), even for reading."""
    with lock.held([host], "anna"):
        pass
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        assert parent.stat().st_uid == 0
    file = Path(lock.FILE)
    assert (file.stat().st_uid, file.stat().st_mode & 0o777) == (0, 0o600)
    drop = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--"]
    done = subprocess.run(
        [*drop, "flock", "-n", "./lock", "true"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "Permission denied" in done.stderr


@root
@pytest.mark.parametrize("ours", [True, False])
def test_words_of_another_user_are_not_those_of_a_run(host: Any, ours: bool):
    """Anyone may start a program under the holder's name: it refuses nobody, and says nothing."""
    words = f"exec -a '{lock._NAME}: mallory, call 555' bash -c 'while read -r _; do :; done'"
    drop = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--", "bash", "-c"]
    with subprocess.Popen([*drop, words], stdin=subprocess.PIPE) as hers:
        wait_for(hers.pid)
        with lock.held([host], "anna"):
            if ours:
                with pytest.raises(lock.LockedError, match=r"here: anna\. Wait"):
                    lock.held([host], "ben").__enter__()
        assert hers.poll() is None


@root
def test_a_program_of_roots_with_words_of_another_user_is_no_run(host: Any):
    """sudo(8) and su(1) are root's while they wait for a password, but have any name she likes."""
    words = f"exec -a '{lock._NAME}: mallory' sleep 600"
    with subprocess.Popen(["bash", "-c", words]) as hers:
        wait_for(hers.pid)
        with lock.held([host], "anna"):
            pass
        hers.kill()


def wait_for(pid: int) -> None:
    """Wait until a program has the holder's name."""
    while lock._NAME not in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]:
        time.sleep(0.01)


def test_a_run_of_an_older_version_is_noticed(host: Any):
    """It locks another file, but has the same name."""
    words = f"exec -a '{lock._NAME}: anna@desk' bash -c 'while read -r _; do :; done' 90 x"
    with subprocess.Popen(["bash", "-c", words], stdin=subprocess.PIPE) as older:
        wait_for(older.pid)
        with (
            pytest.raises(lock.LockedError, match=r"here: anna@desk\. Wait"),
            lock.held([host], "ben"),
        ):
            pass
    with lock.held([host], "ben"):
        pass


@pytest.mark.parametrize("kind", ["mkfifo", "mkdir", "ln -s /nowhere/at/all"])
def test_something_else_in_place_of_the_file_holds_nobody_up(host: Any, kind: str):
    """A run gets the lock, or says at once that it cannot."""
    subprocess.run([*kind.split(), lock.FILE], check=True)
    begun = time.monotonic()
    with suppress(HostError), lock.held([host], "anna"):
        pass
    assert time.monotonic() - begun < lock.PATIENCE / 2


def test_a_host_that_says_nothing_is_not_waited_for(host: Any, monkeypatch: pytest.MonkeyPatch):
    """sudo, for example, may wait for a directory service."""
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    monkeypatch.setattr(scripts, "text", lambda _: "exec sleep 20")
    with (
        pytest.raises(HostError, match=r"here could not be locked: .*no answer within 0\.5 s"),
        lock.held([host], "anna"),
    ):
        pass


# As root


class Full(SimpleNamespace):
    """A host of pyinfra's whose data ask for sudo, and this machine behind it."""

    name = "here"
    connector_data: dict[str, Any]

    def run_shell_command(self, command: Any, **how: Any) -> tuple[bool, Any]:
        assert how["_sudo"]
        return self.answer()  # type: ignore[no-any-return]


@pytest.fixture
def full(host: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Full:
    """sudo is a stand-in that wants a password unless the file ``known`` exists."""
    text = f'[ -e {tmp_path}/known ] || exit 1; while [ "$1" != sh ]; do shift; done; exec "$@"'
    made = programs(tmp_path / "bin", sudo=f'echo "$*" >>{tmp_path}/asked; {text}')
    monkeypatch.setenv("PATH", made["PATH"])
    monkeypatch.setattr(ssh, "connector_arguments", lambda *_: {"_sudo": True, "_timeout": 5})
    (tmp_path / "known").touch()
    return Full(connector=LocalConnector(), state=None, connector_data={})


def test_the_holder_is_roots_even_if_somebody_else_logs_in(full: Full, tmp_path: Any):
    """Root's run and one by sudo lock the same file. The lock ends with the run, which cannot end a
    process of root's."""
    with (
        lock.held([full], "anna"),
        pytest.raises(lock.LockedError, match="anna"),
        lock.held([full], "ben"),
    ):
        pass
    with lock.held([full], "ben"):
        pass
    assert (tmp_path / "asked").read_text().count("-H -n") == 3


@pytest.mark.parametrize("answer", ["works", "fails", "has no terminal"])
def test_sudo_that_needs_a_password_is_asked_for_it(full: Full, tmp_path: Any, answer: str):
    """The lock may be the first thing that a run needs sudo for."""
    (tmp_path / "known").unlink()

    def asked() -> tuple[bool, Any]:
        if answer == "has no terminal":
            raise EOFError
        (tmp_path / "known").touch()
        return answer == "works", None

    full.answer = asked
    ids = {"fails": "not-root", "has no terminal": "sudo-password"}
    if answer == "works":
        with lock.held([full], "anna"):
            return
    with pytest.raises(HostError) as caught:
        lock.held([full], "anna").__enter__()
    assert caught.value.id == ids[answer]


def test_other_connections_are_not_locked():
    """For example pyinfra's @fake in tests."""
    with lock.held([SimpleNamespace(name="x", connector=object())], "anna"):
        pass


def test_a_run_says_who_it_is(tmp_path: Any):
    """Also outside of a repository."""
    assert "@" in lock.identity(tmp_path)
    assert lock.identity(tmp_path).endswith("commit unknown")
