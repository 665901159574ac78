"""Changes to how pyinfra itself behaves, made by ``config.py`` before anything else.

1. An error of ours, and one in a file of ``group_data/``, is printed as one sentence. pyinfra shows
   a traceback for every exception that is not its own, and the file and line that raised it for
   those that are.
2. A run that has no host to work on fails. pyinfra 3.10 exits 0 after a wrong inventory name or a
   ``--limit`` that matches nothing.
3. SSH connections set TCP_NODELAY. paramiko does not, and each command then waits for the other
   side's delayed acknowledgement (about 40 ms on Linux). A login has time on a busy machine.
4. The plan is always made and shown, as text or JSON, and a run holds the lock of its hosts while
   it changes them (``workstation/run.py``).
5. A fact is asked once, until a command has run on the host (``workstation/remembered.py``).
6. A byte that is no UTF-8 in what a host prints is shown as ``\\xe4``. pyinfra stops reading there,
   with a traceback, and the command waits for ever for somebody to read on.
7. sudo speaks English: pyinfra knows by sudo's own words that a password is wanted. And the path of
   the program that answers sudo is found among what a login script says before and after it.
8. What a connection raises has no traceback of gevent's before its sentence.
9. A run that is interrupted at the keyboard ends with status 130, as shells expect it. pyinfra
   exits 0, as if all had been done.
10. ``pyinfra HOST fact NAME`` shows our facts too. pyinfra knows no dataclass, and ends in a
   traceback.

Each wraps one function and calls the original; ``install`` may be called again.
"""

from __future__ import annotations

import dataclasses
import functools
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import click
import gevent
from paramiko import SSHClient, Transport
from pyinfra import logger
from pyinfra.api.command import (
    FileDownloadCommand,
    FileUploadCommand,
    FunctionCommand,
    RsyncCommand,
    StringCommand,
)
from pyinfra.api.exceptions import InventoryError, PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors import util
from pyinfra_cli import cli, prints
from pyinfra_cli.exceptions import UnexpectedExternalError, UnexpectedInternalError, WrappedError

from workstation import command_line, given_file, group_data, remembered, run
from workstation.errors import UserError
from workstation.facts.shell import ENGLISH

_BUSY = 120
"""Seconds that sshd may take for a step of a login."""

_COMMANDS = (
    StringCommand,
    FunctionCommand,
    FileUploadCommand,
    FileDownloadCommand,
    RsyncCommand,
)


# How pyinfra begins the script that makes the program which answers sudo, and names that.
_ASKPASS = util.ASKPASS_COMMAND.partition("{")[0]
_ASKPASS_NAME = "/pyinfra-sudo-askpass-"


class NoHostsError(UserError, InventoryError):
    """The inventory, or what ``--limit`` and ``--exclude`` leave of it, is empty."""


def install() -> None:
    """Makes the changes, and checks the command line if there is one.

    Raises CommandLineError.
    """
    arguments = click.get_current_context(silent=True)
    options = arguments.params if arguments else {}
    # Where group data is, as pyinfra names it; the context is gone when an error is shown.
    folders = [Path.cwd() / "group_data", *map(Path, options.get("group_data") or ())]
    show = functools.partial(_show_sentence, folders)
    for error in (WrappedError, UnexpectedExternalError, UnexpectedInternalError):
        _wrap(error, "show", show)
    _wrap(State, "init", _require_hosts)
    _wrap(SSHClient, "connect", _without_delay)
    _wrap(cli, "_handle_commands", run.prepare)
    _wrap(cli, "_do_confirm", run.confirm)
    _wrap(cli, "run_ops", run.operate)
    _wrap(cli, "print_results", run.show_results)
    _wrap(cli, "print_run_json", lambda original, *args, **kwargs: run.show_json(*args, **kwargs))
    _wrap(cli, "disconnect_all", run.disconnect)
    _wrap(prints, "json_encode", _encoded)
    _wrap(Host, "get_fact", remembered.fact)
    _wrap(util, "read_buffer", _read_buffer)
    _wrap(util, "make_unix_command", _in_english)
    _wrap(Host, "run_shell_command", _run_shell_command)
    for name in ("put_file", "get_file"):
        _wrap(Host, name, remembered.counted)
    for command in _COMMANDS:
        _wrap(command, "execute", remembered.command)
    signal.signal(signal.SIGINT, _interrupted)
    # What a connection raises is shown at the end; gevent prints its traceback besides.
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*dict.fromkeys((*hub.NOT_ERROR, PyinfraError, UserError)),)
    if options:
        command_line.check(options)


def _interrupted(number: int, _: FrameType | None) -> None:
    """In place of pyinfra's handler of SIGINT. The exit is raised where the run waits, not inside
    of whatever greenlet happens to be at work, which might take it for its own."""
    click.echo("Interrupted: the next run finishes what this one has begun.", err=True)
    gevent.kill(gevent.get_hub().parent, SystemExit(128 + number))


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


def _wrap(owner: type | ModuleType, name: str, wrapper: Callable[..., Any]) -> None:
    """Replaces a method or function by ``wrapper``, which is given the original first."""
    original = getattr(owner, name)
    if hasattr(original, "_wrapped_by_workstation"):
        return

    @functools.wraps(original)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    setattr(method, "_wrapped_by_workstation", True)  # noqa: B010 (mypy knows no such attribute)
    setattr(owner, name, method)


def _show_sentence(
    folders: Sequence[Path], original: Callable[..., Any], self: Any, file: Any = None
) -> None:
    """In place of ``show`` of pyinfra_cli's exceptions; click then exits with status 1."""
    error, innermost = self.exception, self
    # A file that includes another wraps what the other has wrapped already.
    while isinstance(error, UnexpectedExternalError):
        error, innermost = error.exception, error
    file_name = Path(getattr(innermost, "filename", None) or "")
    if isinstance(error, SyntaxError) or file_name.parent in folders:
        error = UserError(group_data.problem_of(error, file_name))
    if isinstance(error, UserError):
        logger.error(f"--> {click.style('error', 'red', bold=True)}: {error}")
    else:
        original(self, file)


def _require_hosts(
    original: Callable[..., Any],
    self: State,
    inventory: Any,
    config: Any,
    initial_limit: list[Any] | None = None,
) -> None:
    """In place of ``State.init``, the first call after the limits have been applied."""
    if not len(inventory):
        raise NoHostsError(
            "The inventory has no hosts: name a file that exists, such as inventory.py."
        )
    if initial_limit is not None and not initial_limit:
        names = ", ".join(dict.fromkeys([*(host.name for host in inventory), *inventory.groups]))
        raise NoHostsError(f"--limit or --exclude leaves no host: choose from {names}.")
    original(self, inventory, config, initial_limit=initial_limit)


def _in_english(
    original: Callable[..., Any], command: StringCommand, *args: Any, **kwargs: Any
) -> StringCommand:
    """In place of ``make_unix_command``: what stands before our own script, such as sudo, is told
    its language too. By env(1), since a login shell need not be a POSIX one."""
    return StringCommand(*ENGLISH, original(command, *args, **kwargs))


def _run_shell_command(
    original: Callable[..., Any], host: Any, command: Any, *args: Any, **kwargs: Any
) -> Any:
    """In place of ``Host.run_shell_command``. A login script may have left its line open."""
    asks = isinstance(command, str) and command.startswith(_ASKPASS)
    asked = f"echo\n{command}" if asks else command
    status, output = remembered.counted(original, host, asked, *args, **kwargs)
    if asks and status:
        output.combined_lines[:] = [
            line
            for line in output.combined_lines
            if line.buffer_name == "stdout" and _ASKPASS_NAME in line.line
        ][-1:]
    return status, output


def _encoded(original: Callable[..., Any], value: Any) -> Any:
    """In place of ``json_encode``, which says what JSON has for a value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else original(value)


def _read_buffer(
    original: Callable[..., Any], name: str, lines: Iterable[Any], *args: Any, **kwargs: Any
) -> None:
    """In place of ``read_buffer``, which reads a program's output for both connectors."""
    original(name, _decoded(lines), *args, **kwargs)


def _decoded(lines: Iterable[Any]) -> Iterator[str]:
    """Yield lines as text. paramiko decodes them itself; its error holds the line."""
    iterator = iter(lines)
    while True:
        try:
            line = next(iterator)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            line = error.object
        yield line if isinstance(line, str) else line.decode(errors="backslashreplace")


def _without_delay(original: Callable[..., Any], self: SSHClient, *args: Any, **kwargs: Any) -> Any:
    """In place of ``SSHClient.connect``, also for the hops of a ProxyJump. A busy machine takes
    longer to say that it is there than paramiko waits (15 s), and to let somebody in."""
    kwargs.setdefault("transport_factory", _transport)
    kwargs.setdefault("banner_timeout", _BUSY)
    kwargs.setdefault("auth_timeout", _BUSY)
    return original(self, *args, **kwargs)


def _transport(sock: Any, **kwargs: Any) -> Transport:
    """A transport on a socket that sends at once; a ProxyCommand or a channel is no socket."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Transport(sock, **kwargs)
