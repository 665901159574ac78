"""The inventory: the user that a run logs in as, and how it verifies the machine."""

from __future__ import annotations

import getpass
import os
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from tests.unit.test_inventory import project as a_project

project = a_project  # a fixture is found by its name

ROOT = Path(__file__).parents[2]


def data(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, Any]:
    """Return the inventory's data about its one host."""
    for name in list(os.environ):
        if name.startswith(("SSH_", "WORKSTATION_", "SMB_", "STACKS", "ENV_FILE")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ((_, found),) = runpy.run_path(str(ROOT / "inventory.py"))["dhoch3"]
    return dict(found)


@pytest.mark.parametrize(
    ("variables", "sudo"),
    [
        ({"SSH_USER": "root"}, False),
        ({"SSH_USER": "anna"}, True),
        ({}, getpass.getuser() != "root"),
    ],
)
def test_root_needs_no_sudo_and_others_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sudo: bool
):
    """Judged by the user name of the login, or else by one's own."""
    known = {"SSH_KNOWN_HOSTS": str(tmp_path / "known_hosts")}
    found = data(monkeypatch, WORKSTATION_HOST="192.0.2.1", **known, **variables)
    assert found["_sudo"] is sudo


class Server(paramiko.ServerInterface):
    """An SSH server that accepts any password, and records logins."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def check_auth_password(self, username: str, password: str) -> int:
        self._seen.append(username)
        return paramiko.common.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return False


@pytest.fixture
def server() -> Iterator[tuple[int, paramiko.PKey, list[str]]]:
    """The port of an SSH server on loopback, its key, and the logins."""
    listener = socket.create_server(("127.0.0.1", 0))
    key, seen, transports = paramiko.ECDSAKey.generate(), [], []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(key)
            transports.append(transport)
            try:
                transport.start_server(server=Server(seen))
            except (paramiko.SSHException, EOFError):  # the client is gone
                continue

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], key, seen
    listener.close()
    for transport in transports:
        transport.close()


def connect(folder: Path, port: int, known: Path) -> subprocess.CompletedProcess[str]:
    """Run the project's deploy over SSH."""
    arguments = ["-y", "inventory.py", "deploy.py", "--data", "ssh_password=x"]
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "WORKSTATION_HOST": "127.0.0.1",
        "SSH_PORT": str(port),
        "SSH_USER": "root",
        "SSH_KNOWN_HOSTS": str(known),
    }
    return subprocess.run(
        [sys.executable, "-m", "pyinfra", *arguments],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_a_machine_that_answers_with_another_key_is_given_nothing(
    project: Path,
    server: tuple[int, paramiko.PKey, list[str]],
):
    """Otherwise an impostor would get its passwords. The key of a new machine is remembered."""
    port, key, seen = server
    known = project / "known_hosts"
    other = paramiko.ECDSAKey.generate()
    known.write_text(f"[127.0.0.1]:{port} {other.get_name()} {other.get_base64()}\n")
    done = connect(project, port, known)
    assert done.returncode != 0
    assert seen == []
    assert other.get_base64() in known.read_text()
    known.write_text("")
    connect(project, port, known)
    assert seen == ["root"]
    assert key.get_base64() in known.read_text()
