"""The guards that change paramiko and pyinfra, by themselves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from workstation import guards
from workstation.errors import UserError


class AcceptAll(paramiko.ServerInterface):
    """An SSH server that lets everyone in."""

    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL


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


def test_an_ssh_connection_sends_at_once(port: int):
    """TCP_NODELAY is set on the socket below paramiko's transport."""
    guards.install()
    guards.install()
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(
        "127.0.0.1", port, "root", "any", look_for_keys=False, allow_agent=False, timeout=20
    )
    transport = client.get_transport()
    assert transport is not None
    assert transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
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
