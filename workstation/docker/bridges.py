"""Traffic that Docker itself lets into its networks from outside: somebody asked for that.

Pure: ``workstation.facts.docker`` says how networks are configured, the guard of
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

# What can stand in a rule of nft and in a unit without quoting.
_INTERFACE = re.compile(r"[\w.-]{1,15}")

DOCKERS = re.compile(r"docker0|br-[0-9a-f]{12}")
"""Names that Docker itself gives to bridges."""


@dataclass(frozen=True)
class Way:
    """A match of nft for what Docker lets in. ``everything``: to every port of the containers;
    otherwise Docker's own rules keep it to those that they publish."""

    match: str
    everything: bool = False


@dataclass(frozen=True)
class Daemon:
    """What the Engine is told about all of its networks. ``direct``: it does not drop packets that
    are addressed to containers (``allow-direct-routing``); ``mark``: packets with this mark are let
    in (``bridge-accept-fwmark``), such as ``0x40000/0xff0000``; empty for none."""

    direct: bool = False
    mark: str = ""


def ways(options: Mapping[str, str], subnets: Iterable[str], daemon: Daemon) -> Iterator[Way]:
    """Yield what Docker lets into a network from outside, not counting published ports.

    + options: of the network, as ``docker network inspect`` shows them
    + subnets: of the network; they stay the same where its owner makes it again, as
      ``docker compose up`` does, while its bridge gets another name

    What nft could not read is left out: it stays closed.
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
    """Return nft's match for a mark as dockerd takes it: a number, or a number and a mask."""
    number, _, mask = mark.partition("/")
    try:
        value, bits = int(number, 0), int(mask or "0xffffffff", 0)
    except ValueError:
        return ""
    return f"meta mark & {bits:#x} == {value:#x}"


def others(links: Iterable[str], dockers: Iterable[str]) -> tuple[str, ...]:
    """Return the interfaces named ``br-`` that are not Docker's: a bridge of the LAN, of virtual
    machines, a VLAN on one.

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
