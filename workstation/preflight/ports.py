"""TCP ports that services are to listen on, and who holds them; Traefiks that are not ours."""

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

# Ours, and the one of install.sh, which a run takes over. Sockets of units belong to systemd, and
# systemd-socket-proxyd passes their connections on.
_OLLAMAS = ("ollama.service", "ollama-docker.service", "init.scope")


def _takes(listener: Listener, port: Port) -> bool:
    """Whether a socket is in the way: one on all addresses is, and all are in its way."""
    same = "*" in (port.address, listener.address) or port.address == listener.address
    return port.number == listener.port and same


def port_findings(
    machine: MachineState,
    containers: Sequence[RunningContainer],
    stacks: Iterable[Stack],
    listed: bool = True,
) -> Iterator[Finding]:
    """Yield whether each port that the stacks publish is free or already theirs.

    + containers: all that run
    + stacks: the host's, with the proxy's if it is our own
    + listed: whether an Engine told them; one that is down may have left some running
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
                else f"nobody but the stack {stack.name} holds it",
                f"stop that program, {fix}",
            )


def _left(port: Port, stack: Stack, listed: bool) -> Finding:
    if not listed:
        return Finding(
            f"port {port.number}",
            False,
            "Docker holds it, and does not run to say for which container",
            f"leave it if that is of {stack.name}: the run starts Docker",
            note=True,
        )
    return Finding(
        f"port {port.number}",
        False,
        "Docker keeps it for a container that is gone, as after a power cut",
        f"leave it: bringing {stack.name} up restarts Docker",
        note=True,
    )


def ollama_findings(
    settings: Settings, machine: MachineState, containers: Sequence[RunningContainer], bridge: str
) -> Iterator[Finding]:
    """Yield whether Ollama's port is free or Ollama's on loopback and on Docker's bridge.

    + bridge: address of the default bridge
    """
    holders = {
        _named(listener, containers)
        for address in ("127.0.0.1", bridge)
        for listener in machine.listeners
        if _takes(listener, Port(address, settings.ollama_port)) and not _is_ollama(listener)
    }
    port = settings.ollama_port
    # Without Docker's helper programs nobody listens on a port that a container publishes.
    if not any(one.port == port and one.program == "docker-proxy" for one in machine.listeners):
        holders |= {str(one) for one in containers if port in one.ports}
    yield Finding(
        f"port {settings.ollama_port}",
        not holders,
        f"it is held by {', '.join(sorted(holders))}" if holders else "nobody but Ollama holds it",
        "stop that program (models in a container's volume stay there), or set OLLAMA_PORT to "
        "another port",
    )


def foreign_proxy_findings(
    settings: Settings, containers: Sequence[RunningContainer]
) -> Iterator[Finding]:
    """Yield the Traefiks beside our own: one that holds our port stops the run; another may run
    beside it, but one would do."""
    if settings.proxy != "own":
        return
    foreign = [one for one in containers if is_traefik(one.image) and one.project != PROXY]
    for container in foreign:
        ports = ", ".join(str(number) for number in container.ports) or "none"
        yield Finding(
            "foreign Traefik",
            False,
            f"{container} runs (published ports: {ports}), and PROXY=own runs another beside it",
            "set PROXY=existing to join it, and PROXY_NETWORK to its network"
            f"{_network([container])}",
            note=settings.proxy_http_port not in container.ports,
        )
    if not foreign:
        yield Finding("foreign Traefik", True, "none runs")


def _holder(
    port: Port, project: str, machine: MachineState, containers: Sequence[RunningContainer]
) -> str:
    """Return who but ``project`` holds a port; empty for nobody."""
    publishers = [container for container in containers if port.number in container.ports]
    if any(container.project == project for container in publishers):
        return ""
    listener = next((one for one in machine.listeners if _takes(one, port)), None)
    if listener:
        ours = any(one.project == project and _runs_in(listener, one) for one in containers)
        return "" if ours else _named(listener, containers)
    # With "userland-proxy": false nobody listens, and the kernel passes connections on.
    return str(publishers[0]) if publishers else ""


def _is_left(port: Port, machine: MachineState, containers: Sequence[RunningContainer]) -> bool:
    """Whether Docker's helper listens for no container."""
    return not any(port.number in one.ports for one in containers) and any(
        _takes(one, port) and (one.program, one.unit) == ("docker-proxy", "docker.service")
        for one in machine.listeners
    )


def _named(listener: Listener, containers: Sequence[RunningContainer]) -> str:
    """Return a holder's name, with its container: Docker's helper tells nobody anything."""
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
    """Whether a program runs in a container, as it does with the host's network."""
    return listener.unit == f"docker-{container.id}.scope"


def _network(containers: Iterable[RunningContainer]) -> str:
    """Return the networks of those that are a Traefik, for a person to choose from."""
    found = [one for one in containers if is_traefik(one.image) and one.project != PROXY]
    names = sorted({name for container in found for name in container.networks})
    return f" (PROXY_NETWORK={' or '.join(names)})" if names else ""
