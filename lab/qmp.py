"""A client of QEMU's machine protocol (QMP): one connection per use."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.errors import LabError


class Monitor:
    """A connection to a running QEMU, as a context manager.

    + path: QEMU's QMP socket
    + seconds: how long one answer may take (a snapshot of RAM takes a while)
    """

    def __init__(self, path: Path, seconds: float = 180) -> None:
        self._path = path
        self._seconds = seconds

    def __enter__(self) -> Monitor:
        """Connect and leave the negotiation mode; raise OSError if QEMU does not answer."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(self._seconds)
        folder = os.open(self._path.parent, os.O_PATH)
        try:
            # A socket's path is limited to 107 bytes; a checkout's path may be longer.
            self._socket.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)
        self._file = self._socket.makefile("rb")
        self._file.readline()
        self.execute("qmp_capabilities")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect."""
        self._file.close()
        self._socket.close()

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a QMP command and return its answer. Raises LabError with QEMU's own message."""
        request = {"execute": command, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while line := self._file.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU rejected {command}: {answer['error']['desc']}")
        raise LabError(f"QEMU closed the connection during {command}")

    def human(self, line: str) -> str:
        """Run a command of the human monitor and return what it prints."""
        return str(self.execute("human-monitor-command", **{"command-line": line})).strip()

    def human_silent(self, line: str) -> None:
        """Run a command of the human monitor that prints nothing unless it fails."""
        if answer := self.human(line):
            raise LabError(f"QEMU rejected {line!r}: {answer}")
