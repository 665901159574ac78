"""Listening sockets, as ``ss -Hlnp`` shows them (ss(8)), and their owners."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PROCESS = re.compile(r'"([^"]*)",pid=(\d+)')
_UNIT = re.compile(r"[^/]+\.(?:service|scope)")


@dataclass(frozen=True)
class Socket:
    """A listening socket. ``address`` is ``*`` for all, has no brackets, and is plain IPv4 if it
    is a mapped address; ``interface``: the one that it is bound to, if any. ``program`` is ``?``,
    and ``pid`` empty, if the host does not know them, as for sockets of the kernel."""

    address: str
    port: int
    protocol: str = "tcp"
    interface: str = ""
    program: str = "?"
    pid: str = ""


def parse(line: str) -> Socket:
    """Return the socket in a line of ``ss``: protocol (missing if only one was requested), state,
    queues, address, peer, process."""
    columns = line.split()
    protocol = columns.pop(0) if columns[0] in ("tcp", "udp") else "tcp"
    local, _, port = columns[3].rpartition(":")
    address, interface = split(local)
    process = _PROCESS.search(line)
    program, pid = process.groups() if process else ("?", "")
    return Socket(address, int(port), protocol, interface, program, pid)


def split(text: str) -> tuple[str, str]:
    """Return an address in the form of ``Socket``, and the interface after its ``%``."""
    address, _, interface = re.sub(r"[][]", "", text).partition("%")
    address = address.removeprefix("::ffff:")
    return "*" if address in ("0.0.0.0", "::") else address, interface


def unit_of(group: str) -> str:
    """Return the systemd unit of a control group: its first service or scope; empty for none."""
    found = _UNIT.search(group)
    return found[0] if found else ""
