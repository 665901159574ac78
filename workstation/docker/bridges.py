"""Traffic that Docker itself lets into its networks from outside, because somebody configured it.

Pure: ``workstation.facts.docker`` reports how networks are configured, and the guard in
``templates/docker/ai-workstation-guard.service.j2`` leaves these ways open.

Sources: moby v28.5.2, daemon/libnetwork/drivers/bridge/internal/iptabler (network.go, endpoint.go);
docs.docker.com/engine/network/drivers/bridge. Tried with Engine 28.5 and a neighbor with a route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

_OPTION = "com.docker.network.bridge"
_ROUTED, _UNPROTECTED = "routed", "nat-unprotected"

# Names that need no quoting in an nft rule or a unit.
_INTERFACE = re.compile(r"[\w.-]{1,15}")

DOCKERS = re.compile(r"docker0|br-[0-9a-f]{12}")
"""Names that Docker gives to its bridges."""


@dataclass(frozen=True)
class Way:
    """An nft match for traffic that Docker lets in. ``everything``: to all ports of the containers;
    otherwise Docker's own rules limit it to the published ones."""

    match: str
    everything: bool = False


@dataclass(frozen=True)
class Daemon:
    """The Engine's settings for all of its networks. ``direct``: it does not drop packets addressed
    to containers (``allow-direct-routing``); ``mark``: it accepts packets with this mark
    (``bridge-accept-fwmark``), such as ``0x40000/0xff0000``; empty for none."""

    direct: bool = False
    mark: str = ""


def ways(options: Mapping[str, str], subnets: Iterable[str], daemon: Daemon) -> Iterator[Way]:
    """Yield the traffic that Docker lets into a network from outside, except to published ports.

    + options: of the network, as shown by ``docker network inspect``
    + subnets: of the network; they stay the same when its owner re-creates it, as
      ``docker compose up`` does, while its bridge gets another name

    Anything that nft could not parse is skipped and stays closed.
    """
    marked = _marked(daemon.mark)
    trusted = str(options.get(f"{_OPTION}.trusted_host_interfaces") or "").split(":")
    for subnet in subnets:
        try:
            network = ip_network(subnet, strict=False)
        except ValueError:
            continue
        to = f"{'ip' if network.version == 4 else 'ip6'} daddr {network}"
        mode = options.get(f"{_OPTION}.gateway_mode_ipv{network.version}")
        if mode in (_ROUTED, _UNPROTECTED) or daemon.direct:
            yield Way(to, mode == _UNPROTECTED)
        for interface in trusted:
            if _INTERFACE.fullmatch(interface):
                yield Way(f'iifname "{interface}" {to}')
        if marked:
            yield Way(f"{marked} {to}", everything=True)


def _marked(mark: str) -> str:
    """Return nft's match for a mark in dockerd's format: a number, or a number and a mask."""
    number, _, mask = mark.partition("/")
    try:
        value, bits = int(number, 0), int(mask or "0xffffffff", 0)
    except ValueError:
        return ""
    return f"meta mark & {bits:#x} == {value:#x}"


def others(links: Iterable[str], dockers: Iterable[str]) -> tuple[str, ...]:
    """Return the interfaces named ``br-*`` that are not Docker's, such as a bridge of the LAN or of
    virtual machines, or a VLAN on one.

    + links: names of the host's interfaces
    + dockers: names of the bridges of Docker's networks
    """
    known = set(dockers)
    return tuple(
        sorted(
            one
            for one in set(links) - known
            if one.startswith("br-") and _INTERFACE.fullmatch(one) and not DOCKERS.fullmatch(one)
        )
    )
