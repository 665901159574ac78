"""Check the TCP ports that services will listen on, and find Traefiks that are not ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from workstation.compose.ports import Port, published
from workstation.docker.references import is_traefik
from workstation.findings import Finding
from workstation.needs import PROXY
from workstation.settings import Settings
from workstation.stack import Stack

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.machine import Listener, MachineState
    from workstation.facts.surroundings import RunningContainer

# Our units, and the one of install.sh, which a run takes over. systemd itself holds the sockets of
# socket units; systemd-socket-proxyd forwards their connections.
_OLLAMAS = ("ollama.service", "ollama-docker.service", "init.scope")


def _takes(listener: Listener, port: Port) -> bool:
    """Whether a socket occupies a port; "all addresses" overlaps with every address."""
    same = "*" in (port.address, listener.address) or port.address == listener.address
    return port.number == listener.port and same


def port_findings(
    machine: MachineState,
    containers: Sequence[RunningContainer],
    stacks: Iterable[Stack],
    listed: bool = True,
) -> Iterator[Finding]:
    """Yield whether each port that the stacks publish is free, or already held by that stack.

    + containers: all running ones
    + stacks: the host's, including the proxy's if it is our own
    + listed: whether a running Engine listed the containers; one that is down may have left some
      running
    """
    for stack in stacks:
        for port in [port for service in stack.running for port in published(service)]:
            if _is_left(port, machine, containers):
                yield _left(port, stack, listed)
                continue
            holder = _holder(port, stack.name, machine, containers)
            fix = (
                f"or change the port in group_data/{stack.name}.py or "
                f"templates/stacks/{stack.name}/compose.yaml.j2"
            )
            if stack.name == PROXY:
                publishers = [one for one in containers if port.number in one.ports]
                fix = (
                    "or set PROXY=existing to join a Traefik that is already there"
                    f"{_network(publishers)}, or PROXY_HTTP_PORT to another port"
                )
            yield Finding(
                f"port {port.number}",
                not holder,
                f"it is held by {holder}"
                if holder
                else f"it is free, or held by the stack {stack.name} itself",
                f"stop that program, {fix}",
                id="port-taken",
            )


def _left(port: Port, stack: Stack, listed: bool) -> Finding:
    if not listed:
        return Finding(
            f"port {port.number}",
            False,
            "Docker holds it, but is not running and cannot say for which container",
            f"nothing to do if the container belongs to {stack.name}: the run starts Docker",
            note=True,
            id="port-kept-by-docker",
        )
    return Finding(
        f"port {port.number}",
        False,
        "Docker still holds it for a container that is gone, as happens after a power failure",
        f"nothing to do: the run restarts Docker when it starts {stack.name}",
        note=True,
        id="port-kept-by-docker",
    )


def ollama_findings(
    settings: Settings, machine: MachineState, containers: Sequence[RunningContainer], bridge: str
) -> Iterator[Finding]:
    """Yield whether Ollama's port is free, or held by Ollama, on loopback and on Docker's bridge.

    + bridge: address of the default bridge
    """
    holders = {
        _named(listener, containers)
        for address in ("127.0.0.1", bridge)
        for listener in machine.listeners
        if _takes(listener, Port(address, settings.ollama_port)) and not _is_ollama(listener)
    }
    port = settings.ollama_port
    # Without Docker's helper programs, no program listens on a port that a container publishes.
    if not any(one.port == port and one.program == "docker-proxy" for one in machine.listeners):
        holders |= {str(one) for one in containers if port in one.ports}
    yield Finding(
        f"port {settings.ollama_port}",
        not holders,
        f"it is held by {', '.join(sorted(holders))}"
        if holders
        else "it is free, or held by Ollama itself",
        "stop that program (models in a container's volume are kept), or set OLLAMA_PORT to "
        "another port",
        id="port-taken",
    )


def foreign_proxy_findings(
    settings: Settings, containers: Sequence[RunningContainer]
) -> Iterator[Finding]:
    """Yield the Traefiks besides our own. One that holds our port stops the run; any other may keep
    running, but a single Traefik would be enough."""
    if settings.proxy != "own":
        return
    foreign = [one for one in containers if is_traefik(one.image) and one.project != PROXY]
    for container in foreign:
        ports = ", ".join(str(number) for number in container.ports) or "none"
        yield Finding(
            "foreign Traefik",
            False,
            f"{container} is running (published ports: {ports}), and PROXY=own starts a second one",
            "set PROXY=existing to use the running one, and PROXY_NETWORK to its network"
            f"{_network([container])}",
            note=settings.proxy_http_port not in container.ports,
            id="traefik-already-there",
        )
    if not foreign:
        yield Finding("foreign Traefik", True, "none is running", id="traefik-already-there")


def _holder(
    port: Port, project: str, machine: MachineState, containers: Sequence[RunningContainer]
) -> str:
    """Return what holds a port other than ``project``; empty if nothing does."""
    publishers = [container for container in containers if port.number in container.ports]
    if any(container.project == project for container in publishers):
        return ""
    listener = next((one for one in machine.listeners if _takes(one, port)), None)
    if listener:
        ours = any(one.project == project and _runs_in(listener, one) for one in containers)
        return "" if ours else _named(listener, containers)
    # With "userland-proxy": false, no program listens; the kernel forwards connections.
    return str(publishers[0]) if publishers else ""


def _is_left(port: Port, machine: MachineState, containers: Sequence[RunningContainer]) -> bool:
    """Whether Docker's helper holds a port that no container publishes."""
    return not any(port.number in one.ports for one in containers) and any(
        _takes(one, port) and (one.program, one.unit) == ("docker-proxy", "docker.service")
        for one in machine.listeners
    )


def _named(listener: Listener, containers: Sequence[RunningContainer]) -> str:
    """Return the holder's name, with its container: the name of Docker's helper says little."""
    for container in containers:
        published = listener.program == "docker-proxy" and listener.port in container.ports
        if published or _runs_in(listener, container):
            return f"{listener.program} for {container}"
    return str(listener)


def _is_ollama(listener: Listener) -> bool:
    if listener.unit:
        return listener.unit in _OLLAMAS
    return listener.program == "ollama" or listener.program.startswith("systemd")


def _runs_in(listener: Listener, container: RunningContainer) -> bool:
    """Whether a program runs in a container, as one with the host's network does."""
    return listener.unit == f"docker-{container.id}.scope"


def _network(containers: Iterable[RunningContainer]) -> str:
    """Return a hint with the networks of the Traefiks among them, for the user to choose from."""
    found = [one for one in containers if is_traefik(one.image) and one.project != PROXY]
    names = sorted({name for container in found for name in container.networks})
    return f" (PROXY_NETWORK={' or '.join(names)})" if names else ""
