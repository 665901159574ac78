"""Sockets that wait for others, as ``ss -Hlnp`` shows them (ss(8)), and whose they are."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PROCESS = re.compile(r'"([^"]*)",pid=(\d+)')
_UNIT = re.compile(r"[^/]+\.(?:service|scope)")


@dataclass(frozen=True)
class Socket:
    """``address`` is ``*`` for all, without brackets, and IPv4 as such; ``interface``: the one that
    it is bound to, if any. ``program`` is ``?``, and ``pid`` empty, where the host does not tell,
    as of what the kernel holds."""

    address: str
    port: int
    protocol: str = "tcp"
    interface: str = ""
    program: str = "?"
    pid: str = ""


def parse(line: str) -> Socket:
    """Return the socket of a line of ``ss``: protocol, unless it was asked for one alone; state,
    queues, address, peer, process."""
    columns = line.split()
    protocol = columns.pop(0) if columns[0] in ("tcp", "udp") else "tcp"
    local, _, port = columns[3].rpartition(":")
    address, interface = split(local)
    process = _PROCESS.search(line)
    program, pid = process.groups() if process else ("?", "")
    return Socket(address, int(port), protocol, interface, program, pid)


def split(text: str) -> tuple[str, str]:
    """Return an address as it is compared, see ``Socket``, and the interface behind its ``%``."""
    address, _, interface = re.sub(r"[][]", "", text).partition("%")
    address = address.removeprefix("::ffff:")
    return "*" if address in ("0.0.0.0", "::") else address, interface


def unit_of(group: str) -> str:
    """Return the systemd unit of a control group: its first service or scope; empty for none."""
    found = _UNIT.search(group)
    return found[0] if found else ""
