"""How a host is reached by SSH: options for paramiko, and the files that pyinfra will read."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from paramiko import Channel, Transport
from pyinfra.connectors.util import ASKPASS_COMMAND
from typing_extensions import override

from workstation import given_file
from workstation.errors import UserError
from workstation.scripts import ENGLISH

BUSY = 120
"""Seconds that sshd may take for a step of a login; paramiko gives up after 15 and 30."""

NOISE_ENDS = "-- ai-workstation: what a login script says ends here --"
"""A line before the answer of the program that answers sudo."""

# How pyinfra begins the script that makes that program: the first line of its output is its path.
_ASKPASS = ASKPASS_COMMAND.partition("{")[0].strip()


class _Transport(Transport):
    """Sends at once, and speaks English with what stands before our own scripts, such as sudo."""

    def __init__(self, sock: Any, **options: Any) -> None:
        super().__init__(sock, **options)
        # paramiko does not set it, and each command then waits for the other side's delayed
        # acknowledgment (about 40 ms on Linux). A ProxyCommand or a channel is no socket.
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @override
    def open_session(self, *arguments: Any, **options: Any) -> Channel:
        channel = super().open_session(*arguments, **options)
        execute = channel.exec_command
        setattr(channel, "exec_command", lambda command: execute(_prepared(channel, command)))  # noqa: B010
        return channel


def _prepared(channel: Channel, command: str) -> str:
    """Return a command in English, by env(1), since a login shell need not be a POSIX one.

    pyinfra knows by sudo's own words that it wants a password, and takes the first line of output
    for the path of the program that answers sudo, which a login script may have spoken before.
    """
    command = f"{' '.join(ENGLISH)} {command}"
    if _ASKPASS not in command:
        return command
    setattr(channel, "noise_ends", NOISE_ENDS)  # noqa: B010 (mypy knows no such attribute)
    return f"printf '\\n%s\\n' '{NOISE_ENDS}'; {command}"


def connect_options() -> dict[str, Any]:
    """Return what paramiko's ``connect`` is given, by pyinfra's ``ssh_paramiko_connect_kwargs``."""
    return {
        "transport_factory": _Transport,
        "banner_timeout": BUSY,
        "auth_timeout": BUSY,
    }


def ensure_known_hosts(path: object = None) -> None:
    """Makes the file of known hosts, as ssh(1) does: pyinfra fails where its folder is missing, and
    knows no host where the file cannot be read, so that it would trust a changed key.

    + path: the file; None: ``~/.ssh/known_hosts``
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
            f"{file} cannot be written ({error.strerror}): name another in SSH_KNOWN_HOSTS."
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            f"{file} is not UTF-8: correct it, or name another in SSH_KNOWN_HOSTS."
        ) from None


def check_ssh_files(key: object = None) -> None:
    """Reads what pyinfra will read to connect: a file that is no text would be a traceback.

    + key: the private key, if one is named

    Raises UserError.
    """
    for file, what in (
        (Path("~/.ssh/config").expanduser(), "no text in UTF-8: correct it"),
        (Path(str(key)) if key else None, "no private key: correct SSH_KEY"),
    ):
        if file and given_file.is_there(file):
            try:
                given_file.read_text(file)
            except OSError as error:
                raise UserError(f"{file} cannot be read: {error.strerror}.") from None
            except UnicodeDecodeError:
                raise UserError(f"{file} is {what}.") from None
