"""Check whether stacks that need a GPU get one, and what two stacks must not share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from workstation.compose.actions import ProjectState, strangers
from workstation.compose.ports import published
from workstation.findings import Finding
from workstation.stack import Service, Stack


def gpu_findings(stacks: Iterable[Stack]) -> Iterator[Finding]:
    """Yield whether each service that needs a GPU to start gets one."""
    for stack, service in _running(stacks):
        if service.needs_gpu:
            yield Finding(
                f"GPU for {service.name}",
                service.gpu,
                "it gets all cards"
                if service.gpu
                else "this service needs a GPU, but containers get none: GPU is `none`, or "
                "`optional` with no working driver",
                f"{service.needs_gpu} in group_data/{stack.name}.py, or GPU to required",
                subject=f"{stack.name}/{service.name}",
                id="service-needs-gpu",
            )


def collision_findings(
    stacks: Iterable[Stack], others: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Yield what more than one service of the machine's stacks claims: ports, host names, and fixed
    container names.

    + others: claim, such as ``port 11434`` -> what else in this project claims it
    """
    claims: dict[str, list[str]] = defaultdict(list)
    for claim, claimant in (others or {}).items():
        claims[claim].append(claimant)
    for stack, service in _running(stacks):
        claimed = {f"port {port.number}" for port in published(service)}
        if service.host:
            claimed.add(f"host name {service.host}")
        if service.keys.get("container_name"):
            claimed.add(f"container name {service.keys['container_name']}")
        for claim in sorted(claimed):
            claims[claim].append(f"{stack.name}/{service.name}")
    for claim, claimants in claims.items():
        if len(claimants) > 1:
            yield Finding(
                claim,
                False,
                f"it is claimed by {' and '.join(claimants)}",
                "change it in group_data/ or templates/stacks/ for one of them, or remove a stack "
                "from STACKS",
                id="claimed-twice",
            )


def stranger_findings(
    projects: Iterable[tuple[Stack, str, ProjectState]],
) -> Iterator[Finding]:
    """Yield whether each stack's name is unique among Docker's Compose projects.

    + projects: stack, its folder on the host, its project there
    """
    for stack, folder, found in projects:
        seen, fix = strangers(stack.name, folder, found)
        yield Finding(
            f"project {stack.name}",
            not seen,
            seen or f"it belongs to {folder}",
            fix,
            id="project-name-taken",
        )


def other_networks(stacks: Iterable[Stack], proxy: str) -> list[str]:
    """Return the networks that stacks join and none of them creates.

    + proxy: the network of a proxy, which ``compose.network_exists`` checks
    """
    own = {network for stack in stacks for network in stack.own_networks}
    joined = {network for stack in stacks for network in stack.external_networks}
    return sorted(joined - own - {proxy})


def network_findings(
    stacks: Iterable[Stack], proxy: str, existing: Iterable[str]
) -> Iterator[Finding]:
    """Yield each network that a stack joins, and that does not exist when the stack is started.

    + stacks: in the order in which they are started
    + proxy: as for :func:`other_networks`
    + existing: Docker's networks
    """
    stacks, there = [*stacks], {*existing, proxy}
    owners = {network: stack.name for stack in stacks for network in stack.own_networks}
    for stack in stacks:
        for network in sorted({*stack.external_networks} - there):
            owner = owners.get(network)
            if owner:
                seen = f"{stack.name} joins this network of {owner}, which is started later"
                fix = f"name {owner} before {stack.name} in STACKS"
            else:
                seen = f"{stack.name} joins this network, but Docker does not have it"
                fix = f"correct its name in group_data/{stack.name}.py, or start its owner first"
            yield Finding(
                f"network {network}", False, seen, fix, subject=stack.name, id="network-missing"
            )
        there.update(stack.own_networks)


def _running(stacks: Iterable[Stack]) -> Iterator[tuple[Stack, Service]]:
    return ((stack, service) for stack in stacks for service in stack.running)
