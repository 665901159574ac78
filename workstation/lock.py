"""One run at a time on a host: a lock that lives as long as the run that took it.

A shell on the host holds flock(1) on a file in ``/run`` as long as it hears from the run's
connection. However the run ends, the shell ends too: its input closes with the connection, and if
the host does not notice that, silence ends it. So does a reboot. There is nothing to clean up.

The shell is root's, since only root can create files in ``/run``: in a folder for everybody, any
user of the host could hold the lock, or leave something in its place that blocks.
"""

from __future__ import annotations

import os
import queue
import shlex
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from workstation import scripts, ssh
from workstation.errors import HostError
from workstation.report.origin import origin

FILE = "/run/ai-workstation.lock"
PATIENCE = 120
"""Seconds that the host may take to say whether it is locked."""

SILENCE = 90
"""Seconds of silence after which the host considers the run dead."""

_NAME = "ai-workstation-lock"
"""The name of the holder on the host; each line of its output begins with it."""


class LockedError(HostError):
    """Another run is working on the host."""

    id = "host-locked"


def identity(repository: Path) -> str:
    """Return who runs what: user, machine, start time, commit and whether it was changed."""
    run = origin(repository)
    changed = " with uncommitted changes" if run.changed and run.commit else ""
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return f"{run.who} since {since}, commit {run.commit or 'unknown'}{changed}"


@contextmanager
def held(hosts: Any, who: str) -> Iterator[None]:
    """Hold the lock of every host while the body runs.

    + hosts: pyinfra's, connected by SSH or @local; others are not locked
    + who: shown to a run that is refused

    Raises LockedError if another run holds one of them, HostError if one cannot be locked, or if
    sudo does not work there.
    """
    with ExitStack() as stack:
        for host in hosts:
            taken = _take(stack, host, who)
            if taken is None:
                continue
            if not taken[0] and _is_full(host) and ssh.has_become_root(host):
                taken = _take(stack, host, who) or taken
            word, holder, write = taken
            if word == "busy":
                raise LockedError(
                    f"Another run is changing {host.name}: {holder or 'owner unknown'}. "
                    f"Wait until it ends; the lock of a dead run is released within {SILENCE} "
                    "seconds."
                )
            if word != "held":
                raise HostError(
                    f"{host.name} could not be locked: {FILE} cannot be used ({holder or word}).",
                    id="lock-failed",
                )
            stack.enter_context(_beat(write))
        yield


def _take(stack: ExitStack, host: Any, who: str) -> tuple[str, str, Any] | None:
    """Start the holder, which ends with ``stack``; return its word, what follows, and how to write
    to it. None if the host is not locked at all."""
    opened = _open(host, who)
    if opened is None:
        return None
    write, answer, close = opened
    stack.callback(close)
    said: queue.Queue[tuple[str, str]] = queue.Queue()

    def listen() -> None:
        word = holder = ""
        with suppress(Exception):  # the connection is gone, which is no answer either
            word, _, holder = _said(answer)
        said.put((word, holder))

    threading.Thread(target=listen, daemon=True).start()
    try:
        return (*said.get(timeout=PATIENCE), write)
    except queue.Empty:
        return "", f"no answer within {PATIENCE} s", write


def _is_full(host: Any) -> bool:
    """Whether it is a host of pyinfra's, with data that say how to become root there."""
    return hasattr(host, "state")


def _said(answer: Iterable[str | bytes]) -> tuple[str, str, str]:
    """Return the holder's first word and what follows; a login script may print something before
    it, in any encoding."""
    for line in answer:
        text = line if isinstance(line, str) else line.decode(errors="backslashreplace")
        name, _, rest = text.strip().partition(" ")
        if name == _NAME:
            return rest.partition(" ")
    return "", "", ""


def _command(who: str, file: str = "") -> list[str]:
    text = scripts.text("lock/hold.sh")
    return ["bash", "-c", text, "bash", who, file or FILE, _NAME, str(SILENCE)]


def _line(host: Any, who: str, file: str = "") -> str:
    """Return the holder's command for a shell, as root if the host's data say how."""
    command = _command(who, file)
    return ssh.as_root(host, command) if _is_full(host) else shlex.join(command)


def _own_file(host: Any) -> str:
    """Return a file of the user's own for a run on this machine that does not become root, as tests
    do: it can only change what is hers."""
    folder = Path(FILE).parent
    if (
        (_is_full(host) and ssh.uses_sudo(host))
        or not folder.is_dir()
        or os.access(folder, os.W_OK)
    ):
        return ""
    return str(Path(os.environ.get("XDG_RUNTIME_DIR") or Path.home()) / f".{Path(FILE).name}")


def _open(host: Any, who: str) -> tuple[Any, Iterable[str | bytes], Any] | None:
    """Start the holder; return how to write to it, its output, and how to end it."""
    kind = type(host.connector).__name__
    if kind == "LocalConnector":
        process = subprocess.Popen(
            ["sh", "-c", _line(host, who, _own_file(host))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            bufsize=1,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        stdin = process.stdin

        def end() -> None:
            # It ends with its input. A process of root's, behind sudo, cannot be killed.
            with suppress(OSError):
                stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                with suppress(OSError):
                    process.kill()

        return stdin.write, process.stdout, end
    if kind == "SSHConnector" and host.connector.client is not None:
        channel = host.connector.client.get_transport().open_session()
        channel.exec_command(_line(host, who))
        return lambda text: channel.sendall(text.encode()), channel.makefile("rb"), channel.close
    return None


@contextmanager
def _beat(write: Any) -> Iterator[None]:
    """Send a sign of life now and then while the body runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(SILENCE / 4):
            try:
                write("alive\n")
            except OSError:  # the connection is gone, which the run itself will notice
                return

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
