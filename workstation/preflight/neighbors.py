"""Who can reach other people's containers by their addresses, until the guard closes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from workstation.docker.bridges import DOCKERS
from workstation.findings import Finding
from workstation.preflight.system import some
from workstation.version import version

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.docker import BridgesState, EngineState
    from workstation.facts.surroundings import RunningContainer

# Kinds of interfaces whose machines may reach containers, through somebody's rules or routes.
_WAYS_IN = (
    *("bridge", "openvswitch", "tun", "wireguard", "vxlan", "gre", "gretap", "ipip", "vti"),
    *("xfrm", "ppp"),
)


def lets_neighbors_in(engine: EngineState) -> bool:
    """Whether a running Engine leaves access to its containers to other firewall rules; since 28 it
    drops everything except published ports itself."""
    return bool(engine.server) and version(engine.server) < (28,)


def guard_findings(
    bridges: BridgesState,
    containers: Sequence[RunningContainer],
    projects: Sequence[str],
) -> Iterator[Finding]:
    """Yield a note about the access to other people's containers that the guard will close.

    Before Docker 28, virtual machines and VPNs may reach all their ports. The ways in
    ``Bridge.ways`` stay open.

    + bridges: of an Engine that ``lets_neighbors_in``
    + containers: the running ones
    + projects: our own Compose projects
    """
    own = {bridge.interface for bridge in bridges.bridges}
    names = [
        link.name
        for link in bridges.links
        if link.kind in _WAYS_IN
        and not (link.uplink or link.port or link.name in own or link.name in bridges.admitted)
        and not DOCKERS.fullmatch(link.name)
    ]
    theirs = [
        one.name
        for one in containers
        if one.project not in projects
        and set(one.networks) & {each.name for each in bridges.bridges}
    ]
    if names and theirs:
        rule = f'insert rule inet ai_workstation_forward forward iifname "{names[0]}" accept'
        yield Finding(
            "ways to containers",
            False,
            f"once ai-workstation-guard.service runs, {', '.join(names)} can reach only the "
            f"published ports of {some(theirs)}",
            "publish the ports that are needed, or allow all access with a drop-in: "
            "`systemctl edit ai-workstation-guard.service`, [Service], "
            f"`ExecStartPost=/usr/sbin/nft '{rule}'`",
            note=True,
            id="guard-closes-access",
        )
