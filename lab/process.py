"""Background processes with a pid file, and the loopback ports they listen on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError


def free_port(preferred: int | None = None) -> int:
    """Return a TCP port of 127.0.0.1 on which nothing listens: `preferred` if it is free."""
    for port in (preferred or 0, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise LabError("no free TCP port on 127.0.0.1")


def wait_port(port: int, daemon: Daemon, seconds: float = 20) -> None:
    """Wait until something listens on `port`; raise LabError if `daemon` ends or time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if not daemon.alive():
            raise LabError(f"{daemon.name} ended right after its start:\n{daemon.tail()}")
        time.sleep(0.05)
    raise LabError(f"{daemon.name} does not listen on port {port}:\n{daemon.tail()}")


@dataclass(frozen=True)
class Daemon:
    """A process that outlives us and is found again by its pid file.

    + name: the name of its pid file and its log
    + folder: the lab's state folder
    """

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """The file that takes its output."""
        return self.folder / "log" / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.folder / "run" / f"{self.name}.json"

    def start(
        self,
        command: Sequence[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start `command` in a session of its own, its output in the log."""
        if self.alive():
            raise LabError(f"{self.name} is already running; `./provision lab down` stops it")
        for file in (self.log, self._pid_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )
        record = {"pid": process.pid, "started": _started(process.pid), "command": list(command)}
        self._pid_file.write_text(json.dumps(record))

    def pid(self) -> int | None:
        """Return its process id while it runs. The start time detects a pid that was reused."""
        try:
            record = json.loads(self._pid_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        pid, started = int(record["pid"]), record["started"]
        _reap(pid)
        return pid if started is not None and _started(pid) == started else None

    def alive(self) -> bool:
        """Return whether it is running."""
        return self.pid() is not None

    def older_than(self, files: Iterable[Path]) -> bool:
        """Return whether any of the files changed after it was started."""
        if not self._pid_file.exists():
            return True
        started = self._pid_file.stat().st_mtime
        return any(file.stat().st_mtime > started for file in files)

    def stop(self, seconds: float = 10) -> None:
        """Stop it and its children: SIGTERM, then SIGKILL for those left after `seconds`."""
        self._end(signal.SIGTERM, seconds)
        self.kill()

    def kill(self) -> None:
        """Kill it and its children at once, like a power cut."""
        self._end(signal.SIGKILL, 10)
        self._pid_file.unlink(missing_ok=True)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and its children."""
        pid = self.pid()
        if pid is not None:
            os.killpg(pid, number)

    def tail(self, lines: int = 15) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, number: signal.Signals, seconds: float) -> None:
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        deadline = time.monotonic() + seconds
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        # The leader is gone; also end what it left in its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    """Collect an ended child of ours, which would look alive as a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _started(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot (proc(5), stat field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    # A zombie whose other threads are still exiting keeps its files and ports open.
    gone = fields[0] == "Z" and int(fields[17]) <= 1
    return None if gone else int(fields[19])
