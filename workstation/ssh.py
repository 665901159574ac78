"""How hosts are reached by SSH: options for paramiko, and the files that pyinfra will read."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from paramiko import Channel, Transport
from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.connectors.util import (
    ASKPASS_COMMAND,
    extract_control_arguments,
    make_unix_command_for_host,
)
from typing_extensions import override

from workstation import given_file
from workstation.errors import HostError, UserError
from workstation.scripts import ENGLISH

BUSY = 120
"""Seconds that sshd may take for each step of a login; paramiko's defaults are 15 and 30."""

NO_PASSWORD = (
    "sudo on {host} requires a password, but there is no terminal to ask for it: run from a "
    "terminal, connect as root, or allow sudo without one (NOPASSWD in sudoers(5))."
)
NOT_ROOT = (
    "{host} did not run the first command as root (its message is above): connect as root, or as a "
    "user who may become root with sudo."
)

NOISE_ENDS = "-- ai-workstation: what a login script says ends here --"
"""A line printed before the output of pyinfra's askpass script."""

# The beginning of pyinfra's askpass script; the first line of its output is the path of askpass.
_ASKPASS = ASKPASS_COMMAND.partition("{")[0].strip()


class _Transport(Transport):
    """Sends at once, and makes everything that runs before our own scripts speak English: sudo."""

    def __init__(self, sock: Any, **options: Any) -> None:
        super().__init__(sock, **options)
        # paramiko does not set it, so each command would wait for the other side's delayed
        # acknowledgment (about 40 ms on Linux). A ProxyCommand or a channel is not a socket.
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @override
    def open_session(self, *arguments: Any, **options: Any) -> Channel:
        channel = super().open_session(*arguments, **options)
        execute = channel.exec_command
        setattr(channel, "exec_command", lambda command: execute(_prepared(channel, command)))  # noqa: B010
        return channel


def _prepared(channel: Channel, command: str) -> str:
    """Return a command that speaks English, through env(1), because a login shell need not be
    POSIX.

    pyinfra recognizes sudo's request for a password by its words, and takes the first line of
    output for the path of askpass; a login script may print something before it.
    """
    command = f"{' '.join(ENGLISH)} {command}"
    if _ASKPASS not in command:
        return command
    setattr(channel, "noise_ends", NOISE_ENDS)  # noqa: B010 (mypy knows no such attribute)
    return f"printf '\\n%s\\n' '{NOISE_ENDS}'; {command}"


def _transport(*arguments: Any, **how: Any) -> Transport:
    # A function, because `pyinfra debug-inventory` cannot show a class.
    return _Transport(*arguments, **how)


def connect_options() -> dict[str, Any]:
    """Return paramiko's ``connect`` arguments, for pyinfra's ``ssh_paramiko_connect_kwargs``."""
    return {
        "transport_factory": _transport,
        "banner_timeout": BUSY,
        "auth_timeout": BUSY,
    }


def connector_arguments(state: Any, host: Any) -> dict[str, Any]:
    """Return pyinfra's arguments for a command outside of any operation, such as ``_sudo``, as the
    host's data say."""
    arguments, _ = pop_global_arguments(state, host, {})
    return {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}


def uses_sudo(host: Any) -> bool:
    """Return whether commands on a host become root by sudo."""
    return bool(connector_arguments(host.state, host).get("_sudo"))


def as_root(host: Any, command: Iterable[str]) -> str:
    """Return the line for a host's shell that runs a command as pyinfra would, such as by sudo."""
    arguments: Any = connector_arguments(host.state, host)
    extract_control_arguments(arguments)
    words = StringCommand(*map(QuoteString, command))
    line: str = make_unix_command_for_host(host.state, host, words, **arguments).get_raw_value()
    return line


def has_become_root(host: Any) -> bool:
    """Return whether sudo works on a host, after asking for its password, which pyinfra does with
    the first command of its own that needs one. False if commands need no sudo.

    Raises HostError if it does not work.
    """
    if not uses_sudo(host):
        return False
    try:
        arguments = connector_arguments(host.state, host)
        works, _ = host.run_shell_command(StringCommand("true"), **arguments)
    except EOFError:
        raise HostError(NO_PASSWORD.format(host=host.name), id="sudo-password") from None
    if not works:
        raise HostError(NOT_ROOT.format(host=host.name), id="not-root")
    return True


def ensure_known_hosts(path: object = None) -> None:
    """Create the known hosts file, as ssh(1) does: pyinfra fails if its folder is missing, and
    would trust a changed key if the file cannot be read.

    + path: the file; None: ``~/.ssh/known_hosts``

    Raises UserError.
    """
    file = Path(str(path)) if path else Path("~/.ssh/known_hosts").expanduser()
    if file.is_char_device():  # /dev/null: nothing is to be remembered
        return
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        given_file.read_text(file)
    except OSError as error:
        raise UserError(
            f"{file} cannot be written ({error.strerror}): set SSH_KNOWN_HOSTS to another file.",
            id="ssh-file-invalid",
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            f"{file} is not UTF-8: correct it, or set SSH_KNOWN_HOSTS to another file.",
            id="ssh-file-invalid",
        ) from None


def check_ssh_files(key: object = None) -> None:
    """Check the files that pyinfra will read to connect: one that is not text would cause a
    traceback.

    + key: the private key, if one is named

    Raises UserError.
    """
    for file, what in (
        (Path("~/.ssh/config").expanduser(), "not UTF-8: correct it"),
        (Path(str(key)) if key else None, "not a private key: correct SSH_KEY"),
    ):
        if file and given_file.is_there(file):
            try:
                given_file.read_text(file)
            except OSError as error:
                raise UserError(
                    f"{file} cannot be read: {error.strerror}.", id="file-unreadable"
                ) from None
            except UnicodeDecodeError:
                raise UserError(f"{file} is {what}.", id="ssh-file-invalid") from None
