"""The guards that change paramiko and pyinfra, by themselves."""

from __future__ import annotations

import os
import shlex
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import paramiko
import pytest
from pyinfra.api import StringCommand
from pyinfra.connectors import util

from workstation import guards
from workstation.errors import UserError


class AcceptAll(paramiko.ServerInterface):
    """An SSH server that lets everyone in. Any command prints bytes that are no text, and more
    than fits into a pipe behind them."""

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
        "127.0.0.1", port, "root", "any", look_for_keys=False, allow_agent=False, timeout=20
    )
    return client


def test_an_ssh_connection_sends_at_once(port: int):
    """TCP_NODELAY is set on the socket below paramiko's transport."""
    guards.install()
    guards.install()
    client = connected(port)
    transport = client.get_transport()
    assert transport is not None
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    # paramiko gives up after 15 and 30 seconds, in which a busy machine may not get that far.
    assert (transport.banner_timeout, transport.auth_timeout) == (120, 120)
    client.close()


def test_a_known_hosts_file_is_made_private_and_kept(tmp_path: Path):
    """Its folder too; what it holds stays."""
    file = tmp_path / ".ssh/known_hosts"
    guards.ensure_known_hosts(file)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.write_text("gpu1 ssh-ed25519 AAAA\n")
    guards.ensure_known_hosts(file)
    assert file.read_text() == "gpu1 ssh-ed25519 AAAA\n"


def test_a_known_hosts_file_that_cannot_be_made_is_one_sentence(tmp_path: Path):
    """It names the key that chooses another."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="name another in SSH_KNOWN_HOSTS"):
        guards.ensure_known_hosts(tmp_path / "file/known_hosts")


@pytest.mark.parametrize("lines", [[b"ok\n", b"L\xf6we\n", "end\n"], [b"\xff\xfe"]])
def test_bytes_that_are_no_text_are_shown_and_read_past(lines: list[Any]):
    """As in a package's maintainer script of 2005, or in a file's name."""
    queue: Queue[Any] = Queue()
    guards._read_buffer(util.read_buffer, "stdout", lines, queue)
    expected = ["ok", "L\\xf6we", "end"] if len(lines) == 3 else ["\\xff\\xfe"]
    assert [one.line for one in queue.queue] == expected


def test_bytes_that_are_no_text_come_through_ssh_too(port: int):
    """paramiko decodes what it reads; the line that it cannot is in its error."""
    client = connected(port)
    _, output, _ = client.exec_command("true")
    queue: Queue[Any] = Queue()
    guards._read_buffer(util.read_buffer, "stdout", output, queue)
    client.close()
    found = [one.line for one in queue.queue]
    assert (found[0], len(found[1]), found[2]) == ("L\\xf6we", 200_000, "end")


def test_sudo_speaks_english_whatever_the_hosts_language_is():
    """pyinfra knows by sudo's own words that it wants a password."""
    guards.install()
    command = util.make_unix_command(StringCommand("true"), _sudo=True).get_raw_value()
    assert command == "env LC_ALL=C.UTF-8 LANGUAGE= sudo -H -n sh -c true"


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
):
    """pyinfra takes the first line for it. Some scripts end no line, some speak at the end."""
    host = SimpleNamespace(name="gpu1")

    def run(_: Any, command: str) -> Any:
        noisy = f"{before}\nsh -c {shlex.quote(command)}\n{after}"
        status, output = util.run_local_process(noisy)
        return status == 0, output

    monkeypatch.delenv("TMPDIR", raising=False)
    command = util.ASKPASS_COMMAND.format(tmp_path, "PASSWORD")
    (path,) = guards._run_shell_command(run, host, command)[1].stdout_lines
    assert Path(path).parent == tmp_path
    assert os.access(path, os.X_OK)


def test_why_the_program_that_answers_sudo_cannot_be_made_is_shown():
    """In the words of the host: all of them."""
    lines = [util.OutputLine("stdout", "Welcome"), util.OutputLine("stderr", "no space left")]
    command = util.ASKPASS_COMMAND.format("/tmp", "PASSWORD")
    _, output = guards._run_shell_command(
        lambda *_: (False, util.CommandOutput(list(lines))), SimpleNamespace(name="gpu1"), command
    )
    assert output.output == "Welcome\nno space left"


def test_what_other_commands_say_is_left_as_it_is():
    lines = [util.OutputLine("stdout", "Welcome"), util.OutputLine("stderr", "b")]

    def run(_: Any, command: Any) -> Any:
        assert command == "echo"
        return True, util.CommandOutput(list(lines))

    _, output = guards._run_shell_command(run, SimpleNamespace(name="gpu1"), "echo")
    assert output.combined_lines == lines
