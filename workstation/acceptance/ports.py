"""Compare the ports that the host opens to the LAN with those allowed: SSH, the proxy, and ports
that stacks publish there on purpose."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workstation import scripts
from workstation.acceptance import Answer, Probe, evidence
from workstation.compose.ports import all_published
from workstation.docker.references import is_traefik
from workstation.findings import HOST, Finding
from workstation.settings import Settings
from workstation.sockets import Socket, parse, split, unit_of
from workstation.stack import Stack

_FORMAT = (
    "container [{{json .ID}},{{json .Names}},{{json .Image}},{{json .Ports}},"
    '{{json (.Label "com.docker.compose.project")}},{{json (.Label "com.docker.compose.service")}}]'
)

_PUBLISHED = re.compile(r"(\S+):(\d+)(?:-(\d+))?->\S+/(tcp|udp)")
"""How ``docker ps`` shows a published port: ``0.0.0.0:8000-8001->80-81/tcp``."""

_SSH = {"sshd", "ssh.service", "ssh.socket", "sshd.service", "sshd.socket"}
_OLLAMA = {"ollama", "ollama.service", "ollama-docker.service", "ollama-docker.socket"}

Judgement = Literal["allowed", "ours", "other"]
"""``ours``: of this project, but not meant for the LAN. ``other``: of other programs."""


@dataclass(frozen=True)
class Offer:
    """A port that the LAN may reach: its holder, the judgement, and the output that shows it."""

    protocol: str
    port: int
    holder: str
    judgement: Judgement
    seen: str

    def __str__(self) -> str:
        return f"{self.port}{'/udp' if self.protocol == 'udp' else ''} {self.holder}"


def port_probe(settings: Settings, stacks: Sequence[Stack], entered: int) -> Probe:
    """Return the probe of the ports that the host opens to the LAN.

    + stacks: of this host, including the proxy's if it is our own
    + entered: the SSH port that this run uses, 0 for none
    """
    return Probe(
        "ports open to the LAN",
        scripts.text("acceptance/listeners.sh"),
        (_FORMAT,),
        "run tasks/stacks.py and tasks/ollama.py; a port that the LAN should reach must be "
        "published in its stack's Compose file",
        "ss -Hltnup; docker ps --format '{{.Names}} {{.Ports}}'",
        read=lambda probe, answer: _findings(
            probe, answer, offers(answer.output, settings, stacks, entered)
        ),
    )


def _findings(probe: Probe, answer: Answer, found: Sequence[Offer]) -> Iterator[Finding]:
    if not answer.ok:
        yield probe.finding(False, answer.output.strip().rpartition("\n")[2], answer)
        return
    allowed, ours, others = (
        [offer for offer in found if offer.judgement == judgement]
        for judgement in ("allowed", "ours", "other")
    )
    yield Finding(
        probe.name,
        not ours,
        f"not allowed: {_listed(ours)}" if ours else f"all allowed: {_listed(allowed)}",
        probe.fix,
        _shown(probe, [*ours, *allowed]),
        HOST,
    )
    yield Finding(
        "ports of other programs open to the LAN",
        not others,
        _listed(others),
        "stop the programs that are not needed, or block them from the LAN with a firewall",
        _shown(probe, others),
        HOST,
        note=bool(others),
    )


def _listed(found: Iterable[Offer]) -> str:
    return ", ".join(dict.fromkeys(str(offer) for offer in found)) or "none"


def _shown(probe: Probe, found: Iterable[Offer]) -> str:
    lines = dict.fromkeys(offer.seen for offer in found)
    return evidence(probe.asked, "\n".join(lines) or "none")


@dataclass(frozen=True)
class _Container:
    """A running container; ``ports``: protocol, address and number of its published ports."""

    id: str
    image: str
    project: str
    service: str
    name: str
    ports: tuple[tuple[str, str, int], ...]
    shown: str

    def __str__(self) -> str:
        return f"{self.project}/{self.service}" if self.project else self.name


@dataclass(frozen=True)
class _Told:
    """The probe's output. ``bridges``: names and addresses of Docker's bridges; ``units``: port ->
    unit whose socket systemd holds; ``groups``: process ID -> control group; ``sockets``, each with
    its line."""

    bridges: frozenset[str]
    containers: tuple[_Container, ...]
    units: dict[int, str]
    groups: dict[str, str]
    sockets: tuple[tuple[Socket, str], ...]


def offers(
    output: str, settings: Settings, stacks: Sequence[Stack], entered: int = 0
) -> list[Offer]:
    """Return the ports that the LAN may reach, sorted by number.

    + output: of the probe
    + stacks, entered: see :func:`port_probe`
    """
    told = _told(output)
    projects = {stack.name: stack for stack in stacks}
    found = [
        Offer(
            protocol,
            port,
            str(container),
            _of_container(container, protocol, port, settings, projects),
            container.shown,
        )
        for container in told.containers
        for protocol, address, port in container.ports
        if _on_lan(address, told.bridges)
    ]
    published_here = {(kind, port) for one in told.containers for kind, _, port in one.ports}
    for socket, line in told.sockets:
        helper = socket.program == "docker-proxy"
        if helper and (socket.protocol, socket.port) in published_here:
            continue
        if _on_lan(socket.address, told.bridges, socket.interface):
            holder, judgement = _of_socket(socket, told, settings, projects)
            if (socket.protocol, socket.port) == ("tcp", entered):
                judgement = "allowed"
            found.append(Offer(socket.protocol, socket.port, holder, judgement, line))
    return sorted(found, key=lambda offer: (offer.port, offer.protocol))


def _of_socket(
    socket: Socket, told: _Told, settings: Settings, projects: Mapping[str, Stack]
) -> tuple[str, Judgement]:
    """Return the holder of a socket, and the judgement."""
    group = told.groups.get(socket.pid, "")
    inside = next((one for one in told.containers if one.id in group), None)
    if inside:
        return f"{socket.program} in {inside}", "ours" if inside.project in projects else "other"
    if socket.pid == "1" and socket.port in told.units:
        unit = told.units[socket.port]
        return unit, _of_program({unit}, settings)
    return socket.program, _of_program({socket.program, unit_of(group)}, settings)


def _of_container(
    container: _Container,
    protocol: str,
    port: int,
    settings: Settings,
    projects: Mapping[str, Stack],
) -> Judgement:
    if container.project in projects:
        promised = {
            (one.protocol, one.number)
            for service in projects[container.project].services
            for one in all_published(service)
            if _on_lan(one.address)
        }
        return "allowed" if (protocol, port) in promised else "ours"
    return "allowed" if settings.proxy == "existing" and is_traefik(container.image) else "other"


def _of_program(names: set[str], settings: Settings) -> Judgement:
    """Return the judgement of a program.

    + names: of the program and its unit
    """
    if names & _SSH or (settings.proxy == "existing" and "traefik" in names):
        return "allowed"
    return "ours" if names & _OLLAMA else "other"


def _on_lan(address: str, bridges: Collection[str] = (), interface: str = "") -> bool:
    """Whether a socket on this address (``*`` for all) can be reached from outside this machine and
    its containers.

    + bridges: names and addresses of interfaces that lead only to containers
    """
    if interface == "lo" or {address, interface} & {*bridges}:
        return False
    return not (address.startswith("127.") or address == "::1")


def _told(output: str) -> _Told:
    told: dict[str, list[str]] = {}
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        told.setdefault(word, []).append(rest)
    return _Told(
        bridges=frozenset(word for line in told.get("bridge", []) for word in line.split()),
        containers=tuple(map(_container, told.get("container", []))),
        units=_units(told.get("socket", [])),
        groups=dict(line.partition(" ")[::2] for line in told.get("group", [])),
        sockets=tuple((parse(line), line) for line in told.get("listen", [])),
    )


def _container(line: str) -> _Container:
    identity, name, image, ports, project, service = json.loads(line)
    found = [
        (protocol, split(address)[0], port)
        for address, first, last, protocol in _PUBLISHED.findall(ports)
        for port in range(int(first), int(last or first) + 1)
    ]
    return _Container(identity, image, project, service, name, tuple(found), f"{name} {ports}")


def _units(lines: Iterable[str]) -> dict[int, str]:
    """Return port -> unit of the sockets that systemd holds, from lines such as
    ``0.0.0.0:22 ssh.socket ssh.service``."""
    found = {}
    for columns in map(str.split, lines):
        port = columns[0].rpartition(":")[2] if columns else ""
        if port.isdigit() and len(columns) > 1:
            found[int(port)] = columns[1]
    return found
