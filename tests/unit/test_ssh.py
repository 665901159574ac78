"""How hosts are reached by SSH, and how their output is read."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import paramiko
import pytest
from pyinfra.api import StringCommand
from pyinfra.connectors import util
from pyinfra_cli.util import json_encode

from workstation import hooks, ssh
from workstation.errors import UserError


class AcceptAll(paramiko.ServerInterface):
    """An SSH server that lets everyone in. Any command prints bytes that are not text, followed by
    more data than fits into a pipe."""

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._answer, args=(channel,), daemon=True).start()
        return True

    @staticmethod
    def _answer(channel: paramiko.Channel) -> None:
        channel.sendall(b"L\xf6we\n" + b"x" * 200_000 + b"\nend\n")
        channel.close()


@pytest.fixture
def port() -> Iterator[int]:
    """The port of an SSH server on loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    transports = []

    def serve() -> None:
        connection, _ = listener.accept()
        transport = paramiko.Transport(connection)
        transport.add_server_key(paramiko.ECDSAKey.generate())
        transport.start_server(server=AcceptAll())
        transports.append(transport)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    for transport in transports:
        transport.close()
    listener.close()


def connected(port: int) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        *("127.0.0.1", port, "root", "any"),
        look_for_keys=False,
        allow_agent=False,
        timeout=100,
        **ssh.connect_options(),
    )
    return client


def test_an_ssh_connection_sends_at_once(port: int):
    """TCP_NODELAY is set on the socket below paramiko's transport."""
    client = connected(port)
    transport = client.get_transport()
    assert transport is not None
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    # paramiko gives up after 15 and 30 seconds, which may be too short for a busy machine.
    assert (transport.banner_timeout, transport.auth_timeout) == (120, 120)
    client.close()


def test_pyinfra_can_show_the_options_of_a_connection():
    """As `pyinfra inventory.py debug-inventory` does."""
    shown = json.loads(json.dumps(ssh.connect_options(), default=json_encode))
    assert shown["transport_factory"] == "Function: _transport"


def test_a_known_hosts_file_is_made_private_and_kept(tmp_path: Path):
    """Its folder is created too; existing content stays."""
    file = tmp_path / ".ssh/known_hosts"
    ssh.ensure_known_hosts(file)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text("gpu1 ssh-ed25519 AAAA\n")
    ssh.ensure_known_hosts(file)
    assert file.read_text() == "gpu1 ssh-ed25519 AAAA\n"


def test_a_known_hosts_file_that_cannot_be_made_is_one_sentence(tmp_path: Path):
    """It names the key that selects another file."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="set SSH_KNOWN_HOSTS to another file"):
        ssh.ensure_known_hosts(tmp_path / "file/known_hosts")


@pytest.mark.parametrize("lines", [[b"ok\n", b"L\xf6we\n", "end\n"], [b"\xff\xfe"]])
def test_bytes_that_are_no_text_are_shown_and_read_past(lines: list[Any]):
    """For example, from a package's maintainer script of 2005, or in a file's name."""
    queue: Queue[Any] = Queue()
    hooks._read_buffer(util.read_buffer, "stdout", lines, queue)
    expected = ["ok", "L\\xf6we", "end"] if len(lines) == 3 else ["\\xff\\xfe"]
    assert [one.line for one in queue.queue] == expected


def test_bytes_that_are_no_text_come_through_ssh_too(port: int):
    """paramiko decodes its input; the error contains the line that it cannot decode."""
    client = connected(port)
    _, output, _ = client.exec_command("true")
    queue: Queue[Any] = Queue()
    hooks._read_buffer(util.read_buffer, "stdout", output, queue)
    client.close()
    found = [one.line for one in queue.queue]
    assert (found[0], len(found[1]), found[2]) == ("L\\xf6we", 200_000, "end")


class Noisy(AcceptAll):
    """A machine whose login script prints text before and after the command's output."""

    before = after = ""

    @classmethod
    def _run(cls, channel: paramiko.Channel, command: bytes) -> None:
        script = f"{cls.before}\nsh -c {shlex.quote(command.decode())}\n{cls.after}"
        done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
        channel.sendall(done.stdout)
        channel.sendall_stderr(done.stderr)
        channel.send_exit_status(done.returncode)
        channel.close()

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command), daemon=True).start()
        return True


def said(port: int, command: str) -> list[str]:
    """Return the lines of standard output as pyinfra reads them."""
    client = connected(port)
    _, output, errors = client.exec_command(command)
    queue: Queue[Any] = Queue()
    hooks._read_buffer(util.read_buffer, "stdout", output, queue)
    hooks._read_buffer(util.read_buffer, "stderr", errors, Queue())
    client.close()
    return [one.line for one in queue.queue]


@pytest.fixture
def noisy(monkeypatch: pytest.MonkeyPatch) -> type[Noisy]:
    monkeypatch.setattr(sys.modules[__name__], "AcceptAll", Noisy)
    return Noisy


def test_sudo_speaks_english_whatever_the_hosts_language_is(noisy: Any, port: int):
    """pyinfra recognizes by sudo's message that it wants a password."""
    assert said(port, "sh -c 'echo $LC_ALL $LANGUAGE.'") == ["C.UTF-8 ."]


def test_sudo_speaks_english_on_this_machine_too(monkeypatch: pytest.MonkeyPatch):
    """Programs on this machine get the environment of pyinfra."""
    for name in ("LC_ALL", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    hooks.install()
    assert util.run_local_process("echo $LC_ALL $LANGUAGE.")[1].output == "C.UTF-8 ."


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("echo Welcome", ""),
        ("printf hi", ""),
        (r"printf '\033]0;gpu1\007'", ""),
        ("echo Welcome; echo over there >&2", "echo Bye"),
        ("", "printf Bye"),
    ],
)
def test_what_a_login_script_says_is_not_the_path_of_the_program_that_answers_sudo(
    noisy: Any,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
):
    """pyinfra uses the first line. Some scripts leave a line unfinished, and some print at the
    end."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(noisy, "before", before)
    monkeypatch.setattr(noisy, "after", after)
    script = util.ASKPASS_COMMAND.format(tmp_path, "PASSWORD")
    command = util.make_unix_command(StringCommand(script)).get_raw_value()
    path = said(port, command)[0]
    assert Path(path).parent == tmp_path
    assert os.access(path, os.X_OK)


def test_what_other_commands_say_is_left_as_it_is(
    noisy: Any, port: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(noisy, "before", "echo Welcome")
    assert said(port, "echo one") == ["Welcome", "one"]
