"""One run at a time on a host: a lock that lives as long as the run that took it.

A shell on the host holds flock(1) on a file in ``/run/lock`` as long as it hears from the run's
connection. However the run ends, the shell ends too: its input closes with the connection, and if
the host does not notice that, silence ends it. So does a reboot. There is nothing to clean up.
"""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from workstation import scripts
from workstation.errors import HostError
from workstation.report.origin import origin

FILE = "/run/lock/ai-workstation"
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

    Raises LockedError if another run holds one of them, HostError if one cannot be locked.
    """
    with ExitStack() as stack:
        for host in hosts:
            opened = _open(host, who)
            if opened is None:
                continue
            write, answer, close = opened
            stack.callback(close)
            word, _, holder = _said(answer)
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


def _said(answer: Iterable[str | bytes]) -> tuple[str, str, str]:
    """Return the holder's first word and what follows; a login script may print something before
    it, in any encoding."""
    for line in answer:
        text = line if isinstance(line, str) else line.decode(errors="backslashreplace")
        name, _, rest = text.strip().partition(" ")
        if name == _NAME:
            return rest.partition(" ")
    return "", "", ""


def _command(who: str) -> list[str]:
    return ["bash", "-c", scripts.text("lock/hold.sh"), "bash", who, FILE, _NAME, str(SILENCE)]


def _open(host: Any, who: str) -> tuple[Any, Iterable[str | bytes], Any] | None:
    """Start the holder; return how to write to it, its output, and how to end it."""
    kind = type(host.connector).__name__
    if kind == "LocalConnector":
        process = subprocess.Popen(
            _command(who),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            bufsize=1,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def end() -> None:
            process.kill()
            process.wait()

        return process.stdin.write, process.stdout, end
    if kind == "SSHConnector" and host.connector.client is not None:
        channel = host.connector.client.get_transport().open_session()
        channel.exec_command(shlex.join(_command(who)))
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
