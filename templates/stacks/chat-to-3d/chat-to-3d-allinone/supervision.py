"""Asks supervisord, over its socket, and keeps the mark of an LLM that the page stopped."""

from __future__ import annotations

import http.client
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

from options import LLM, Options

# supervisord's states (http://supervisord.org/subprocess.html).
RUNNING = "RUNNING"
STOPPED = ("STOPPED", "EXITED", "FATAL")
_ALREADY_STARTED = 60
_NOT_RUNNING = 70


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(self._path, self._timeout)


class Supervision:
    """supervisord of this container. Methods raise OSError if it does not answer."""

    def __init__(self, options: Options, timeout: float = 60) -> None:
        self._socket = options.run / "supervisor.sock"
        self._mark = options.run / "llm-service.stopped-by-page"
        self._timeout = timeout

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = _Transport(self._socket, self._timeout)
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport)
        with proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def programs(self) -> dict[str, dict[str, Any]]:
        """Return what supervisord knows of each program, by name (``statename``, ``pid``...)."""
        return {one["name"]: one for one in self._call("getAllProcessInfo")}

    def tail(self, program: str, channel: str, size: int = 20_000) -> str:
        """Return the end of a program's log. channel: ``Stdout`` or ``Stderr``."""
        text: str = self._call(f"tailProcess{channel}Log", program, 0, size)[0]
        return text

    @property
    def llm_is_paused(self) -> bool:
        """Whether the page stopped the LLM to make room on the GPU."""
        return self._mark.exists()

    def pause_llm(self) -> None:
        """Stop the LLM and mark that this was meant."""
        self._mark.touch()
        try:
            self._call("stopProcess", LLM)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise OSError(f"supervisord did not stop {LLM}: {fault.faultString}") from None

    def start_llm(self) -> None:
        """Start the LLM if it does not run, without waiting until it is ready."""
        try:
            self._call("startProcess", LLM, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _ALREADY_STARTED:
                raise OSError(f"supervisord did not start {LLM}: {fault.faultString}") from None
        self._mark.unlink(missing_ok=True)
