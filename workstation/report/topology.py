"""The picture of a machine: who reaches which service, and what each service uses.

Its content comes from the stacks and a few settings; ``drawing`` lays it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from workstation.compose.keys import reaches_host
from workstation.compose.ports import reached
from workstation.findings import HOST, State
from workstation.stack import Mount, Service, Stack, is_below

GPU, MODELS, SHARE, OLLAMA, DOCKER = "GPU", "models", "share", "Ollama", "Docker"
"""The resources of its machine that a service may use."""

STAND_IN = "stand-in"
"""The mark of a part that is not the real one."""


@dataclass(frozen=True)
class Site:
    """The surroundings of the services, as plain values of the settings.

    + address: the host's address on the network
    + scheme, port: how a browser reaches the proxy
    + share, share_mount: the share for outputs (``//server/share``), and its mount point
    + gpu: the name of the card
    + login: argument of ssh(1) to log in: ``anna@192.168.0.20``
    """

    address: str = ""
    proxy: Literal["own", "existing"] = "own"
    scheme: Literal["http", "https"] = "http"
    port: int = 80
    models_path: str = ""
    share: str = ""
    share_mount: str = ""
    ollama_port: int = 11434
    gpu: str = ""
    login: str = ""

    def link(self, name: str) -> str:
        """Return the address of the host name ``name`` behind the proxy."""
        usual = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{name}{'' if self.port == usual else f':{self.port}'}/"

    def way(self, service: Service) -> tuple[str, str]:
        """Return the address at which a browser finds a service, and the command that must run for
        it: a tunnel to a port published only on loopback. Each is empty if there is none."""
        if service.host:
            return self.link(service.host), ""
        port = reached(service)
        if port is None:
            return "", ""
        named = {"*": self.address, "::1": "[::1]"}.get(port.address, port.address)
        link = f"http://{named}:{port.number}/" if service.probe and named else ""
        tunnel = f"ssh -L {port.number}:{named}:{port.number} {self.login}" if port.loopback else ""
        return link, tunnel


def reads_models(service: Service, site: Site) -> bool:
    """Return whether it sees the model store and must not write there."""
    return any(mount.read_only for mount in _mounts_below(service, site.models_path))


def writes_outputs(service: Service, site: Site) -> bool:
    """Return whether it has a folder of the share that it may write to."""
    return any(not mount.read_only for mount in _mounts_below(service, site.share_mount))


def _mounts_below(service: Service, folder: str) -> list[Mount]:
    return [
        mount
        for mount in service.mounts
        if folder and mount.kind == "bind" and is_below(mount.source, folder)
    ]


def uses(service: Service, site: Site) -> tuple[str, ...]:
    """Return the resources that a service uses, always in the same order."""
    used = {
        GPU: service.gpu,
        MODELS: bool(_mounts_below(service, site.models_path)),
        SHARE: bool(_mounts_below(service, site.share_mount)),
        OLLAMA: reaches_host(service.keys),
        DOCKER: any(mount.source.endswith("/docker.sock") for mount in service.mounts),
    }
    return tuple(name for name, used_here in used.items() if used_here)


def stand_in(part: str, stand_ins: Iterable[str]) -> str:
    """Return the phrase that says that ``part`` is a stand-in, or an empty string.

    + part: a service's name, or a word such as ``Ollama``
    + stand_ins: phrases that begin with names, ``ComfyUI, AI-Toolkit: small programs``
    """
    for phrase in stand_ins:
        names = re.split(r"[\s,()]+", re.split(r":\s", phrase, maxsplit=1)[0])
        if _folded(part) in map(_folded, names):
            return phrase
    return ""


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


@dataclass(frozen=True)
class Node:
    """A part of the machine.

    ``marks`` are words in frames, ``state`` is the worst of its checks; a service is ``routed`` if
    the proxy routes to it; ``uses``: whether it uses a resource of the machine.
    """

    title: str
    lines: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    state: State | None = None
    routed: bool = False
    uses: bool = False


@dataclass(frozen=True)
class Topology:
    """The parts of a machine and its surroundings; ``server`` provides the share. Without a proxy,
    nothing is routed."""

    host: Node
    proxy: Node | None
    services: tuple[Node, ...]
    resources: tuple[Node, ...]
    server: Node | None

    @property
    def sentence(self) -> str:
        """The picture in words, for people who cannot see it."""
        routed = [node.title for node in self.services if node.routed]
        parts = [f"Browsers reach {self.host.title} through tunnels"]
        if self.proxy:
            parts = [
                f"Browsers on the network reach {self.proxy.title} on {self.host.title}, "
                f"which routes to {len(routed)} of {len(self.services)} services by name"
            ]
        for node in self.services:
            parts.append(f"{node.title} uses {', '.join(node.marks) or 'no shared resources'}")
        if self.server:
            parts.append(f"outputs go to {self.server.title}")
        return "; ".join(parts) + "."


def read(
    host: str,
    site: Site,
    stacks: Sequence[Stack],
    states: Mapping[str, tuple[State, str]],
    stand_ins: Sequence[str],
) -> Topology:
    """Return the parts of the machine ``host``.

    + states: subject (``dhoch3/forge``, ``host``) -> state of its checks, and in words
    """

    def marks(part: str, *words: str) -> tuple[str, ...]:
        return (*words, STAND_IN) if stand_in(part, stand_ins) else words

    def service_node(stack: Stack, service: Service) -> Node:
        state, words = states.get(f"{stack.name}/{service.name}", ("not checked", "not checked"))
        ports = tuple(f"port {port}" for port in service.ports)
        used = uses(service, site)
        own = marks(service.name, *used, *ports)
        return Node(service.name, (words,), own, state, bool(service.host), bool(used))

    running = [(stack, service) for stack in stacks for service in stack.running]
    used = set(chain.from_iterable(uses(service, site) for _, service in running))
    writable = any(
        not mount.read_only
        for _, service in running
        for mount in _mounts_below(service, site.models_path)
    )
    offered = {
        GPU: Node("GPU", (site.gpu or "NVIDIA",), marks("NVIDIA")),
        MODELS: Node(
            "Model store",
            (site.models_path, "some services write" if writable else "read-only in services"),
        ),
        OLLAMA: Node("Ollama", (f"native, port {site.ollama_port}",), marks("Ollama")),
        DOCKER: Node("Docker", ("full control through its socket",)),
        SHARE: Node("Share", (site.share_mount, "for outputs")),
    }
    words = states[HOST][1] if HOST in states else ""
    ways = {"own": "run by this project", "existing": "already installed"}
    return Topology(
        host=Node(host, tuple(line for line in (site.address, words) if line)),
        proxy=Node("Traefik", (f"{site.scheme}, port {site.port}", ways[site.proxy]))
        if not running or any(service.host for _, service in running)
        else None,
        services=tuple(service_node(stack, service) for stack, service in running),
        resources=tuple(node for name, node in offered.items() if name in used),
        server=Node("File server", (site.share, "SMB")) if SHARE in used else None,
    )
