"""Host ports that services publish, in short or long syntax.

Source: docs.docker.com/reference/compose-file/services, "ports".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workstation.stack import Service


@dataclass(frozen=True)
class Port:
    """A published port; ``address`` is ``*`` for all addresses."""

    address: str
    number: int
    protocol: str = "tcp"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.address.startswith("127.") or self.address == "::1"


def published(service: Service) -> Iterator[Port]:
    """Yield the TCP ports of the host that a service publishes."""
    return (port for port in all_published(service) if port.protocol == "tcp")


def reached(service: Service) -> Port | None:
    """Return the TCP port of the host that leads to a service: the first that it publishes, or the
    one at which a proxy answers for it; None if there is none."""
    own = Port("127.0.0.1", service.loopback) if service.loopback else None
    return next(published(service), own)


def all_published(service: Service) -> Iterator[Port]:
    """Yield the ports of the host that a service publishes, for every protocol. A container port
    without a host port gets a free one, which is not included."""
    for entry in service.keys.get("ports") or ():
        address, ports, protocol = _long(entry) if isinstance(entry, dict) else _short(str(entry))
        first, _, last = ports.partition("-")
        if first.isdigit():
            for number in range(int(first), int(last or first) + 1):
                every = address in ("", "0.0.0.0", "::")
                yield Port("*" if every else address, number, protocol or "tcp")


def _short(entry: str) -> tuple[str, str, str]:
    rest, _, protocol = entry.partition("/")
    rest, _, _ = rest.rpartition(":")
    address, _, ports = rest.rpartition(":")
    return address.strip("[]"), ports, protocol


def _long(entry: dict[str, Any]) -> tuple[str, str, str]:
    keys = ("host_ip", "published", "protocol")
    address, ports, protocol = (str(entry.get(key) or "") for key in keys)
    return address, ports, protocol
