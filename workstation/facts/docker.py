"""The Docker Engine of the host: its installed parts and its networks."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.docker import OLDEST_COMPOSE
from workstation.docker import bridges as ways_in
from workstation.docker.daemon_flags import values
from workstation.docker.daemon_json import read_or_nothing
from workstation.facts.daemon import command_line, refuse_wedged
from workstation.facts.shell import Fact, question
from workstation.version import version

# The client's version is printed even if no Engine answers.
_VERSIONS = (
    "client {{.Client.Version}}{{if .Server}}{{println}}server {{.Server.Version}}"
    '{{range .Server.Components}}{{if eq .Name "containerd"}}{{println}}'
    "containerd {{.Version}}{{end}}{{end}}{{end}}"
)

_NETWORK = (
    "network [{{json .Name}},{{json .Id}},{{json .Internal}},{{json .Options}},"
    "{{json .IPAM.Config}},{{json .Labels}}]"
)


@dataclass(frozen=True)
class EngineState:
    """Versions are empty for missing parts; ``daemon_json`` is None without a file.
    ``bridge``: IPv4 gateway of the default bridge network; ``without_daemon``: there is a client,
    but no ``dockerd``; ``unfinished``: Docker's packages that dpkg left half installed;
    ``package``: the package of ``dockerd``, or else of the client, empty for none; ``podman``:
    the command docker is Podman; ``desktop``: Docker Desktop is installed; ``wedged``: Docker is
    installed but does not answer."""

    client: str = ""
    server: str = ""
    compose: str = ""
    buildx: str = ""
    containerd: str = ""
    snap: bool = False
    daemon_json: bytes | None = None
    bridge: str = ""
    without_daemon: bool = False
    unfinished: tuple[str, ...] = ()
    package: str = ""
    podman: bool = False
    desktop: bool = False
    wedged: bool = False

    @property
    def new_compose(self) -> bool:
        """Whether the Compose plugin is new enough for our Compose files."""
        return version(self.compose) >= version(OLDEST_COMPOSE)

    @property
    def complete(self) -> bool:
        """Whether Engine, Buildx and a Compose plugin of at least 2.24 are installed, Docker is not
        a snap or Podman, and none of its packages is half installed: one may have its programs but
        not its group and units."""
        return bool(
            self.client
            and self.buildx
            and self.new_compose
            and not (self.snap or self.podman or self.without_daemon or self.unfinished)
        )


class Engine(Fact[EngineState]):
    """Returns the ``EngineState`` of the host."""

    def command(self) -> StringCommand:
        return question(scripts.text("docker/engine.sh"), _VERSIONS, "bridge {{json .IPAM.Config}}")

    def read(self, lines: list[str]) -> EngineState:
        words = dict(line.partition(" ")[::2] for line in lines)
        gateways = _addresses(json.loads(words.get("bridge") or "[]"), "Gateway")
        return EngineState(
            client=words.get("client", ""),
            server=words.get("server", ""),
            compose=words.get("compose", ""),
            buildx=words.get("buildx", ""),
            containerd=words.get("containerd", ""),
            snap="snap" in words,
            daemon_json=base64.b64decode(words["daemon"]) if "daemon" in words else None,
            bridge=next((one for one in gateways if ip_address(one).version == 4), ""),
            without_daemon="without_daemon" in words,
            unfinished=tuple(words.get("unfinished", "").split()),
            package=words.get("package", ""),
            podman="podman" in words,
            desktop="desktop" in words,
            wedged="wedged" in words,
        )


class Networks(Fact[list[str]]):
    """Returns the names of Docker's networks; empty only without an Engine, which always has
    some."""

    def command(self) -> StringCommand:
        return question(scripts.text("docker/networks.sh"))

    def read(self, lines: list[str]) -> list[str]:
        refuse_wedged(lines)
        return [line.removeprefix("name ") for line in lines if line.startswith("name ")]


@dataclass(frozen=True)
class Bridge:
    """A Docker network with a bridge on the host. ``interface``: the bridge's name, which its owner
    may have chosen; ``subnets`` and ``gateways``: as configured by Docker, IPv4 and IPv6
    separately; ``project``: of Compose, or empty; ``ways``: what Docker lets in from outside
    besides published ports."""

    name: str
    interface: str
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    project: str = ""
    ways: tuple[ways_in.Way, ...] = ()


@dataclass(frozen=True)
class Link:
    """An interface of the host. ``kind``: as ``ip -d link`` names it (``bridge``, ``tun``,
    ``wireguard`` ...), empty for a network card; ``uplink``: a default route uses it; ``port``: it
    is a port of a bridge, such as that of a container or a virtual machine."""

    name: str
    kind: str = ""
    uplink: bool = False
    port: bool = False


@dataclass(frozen=True)
class BridgesState:
    """``bridges``: Docker's networks; ``host_gateways``: the addresses under which containers reach
    the host (``host-gateway``), none if the default bridge is switched off; ``links``: the host's
    interfaces; ``admitted``: those that the guard's table lets through to all containers."""

    bridges: tuple[Bridge, ...] = ()
    host_gateways: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    admitted: tuple[str, ...] = ()

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names of bridges that do not follow Docker's own pattern."""
        names = {bridge.interface for bridge in self.bridges}
        return tuple(sorted(one for one in names if one != "docker0" and one[:3] != "br-"))

    @property
    def others(self) -> tuple[str, ...]:
        """The interfaces that are named like Docker's bridges (``br-``) but are not."""
        names = [link.name for link in self.links]
        return ways_in.others(names, [bridge.interface for bridge in self.bridges])


class Bridges(Fact[BridgesState]):
    """Returns the ``BridgesState`` of the host: Docker's, or from its configuration if no Engine
    answers."""

    def command(self) -> StringCommand:
        return question(scripts.text("docker/bridges.sh"), _NETWORK)

    def read(self, lines: list[str]) -> BridgesState:
        refuse_wedged(lines)
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        configured = read_or_nothing(base64.b64decode(words.get("daemon", "")))
        arguments = command_line(words.get("arguments", ""))[1:]
        told = ways_in.Daemon(
            direct="direct" in words
            or _given(configured, arguments, "allow-direct-routing") == "true",
            mark=_given(configured, arguments, "bridge-accept-fwmark"),
        )
        bridges = [_bridge(json.loads(rest), told) for word, rest in pairs if word == "network"]
        uplinks = {rest for word, rest in pairs if word == "uplink"}
        held = [rest.split(" ") for word, rest in pairs if word == "address"]
        default = next((one for one in bridges if one.name == "bridge"), None)
        return BridgesState(
            bridges=tuple(sorted(bridges, key=lambda one: one.name)),
            host_gateways=_chosen(configured, arguments)
            or (_of_interface(default, held) if default else ()),
            links=_links(words.get("links", ""), uplinks),
            admitted=tuple(rest for word, rest in pairs if word == "admitted"),
        )


def _bridge(network: list[Any], daemon: ways_in.Daemon) -> Bridge:
    name, identity, internal, options, config, labels = network
    interface = (options or {}).get("com.docker.network.bridge.name") or f"br-{identity[:12]}"
    subnets = _addresses(config, "Subnet")
    return Bridge(
        name=name,
        interface=interface,
        subnets=subnets,
        gateways=_addresses(config, "Gateway"),
        project=(labels or {}).get("com.docker.compose.project", ""),
        ways=() if internal else tuple(ways_in.ways(options or {}, subnets, daemon)),
    )


def _given(configured: Mapping[str, Any], arguments: tuple[str, ...], key: str) -> str:
    """Return the Engine's value for a key with one value, as text; the command line wins."""
    said = values(arguments, key)
    return str(said[-1] if said else configured.get(key, "")).lower()


def _links(told: str, uplinks: set[str]) -> tuple[Link, ...]:
    """Return the links of ``ip -j -d link show``; before iproute2 4.13 there is no such output."""
    try:
        found = json.loads(told or "[]")
    except ValueError:
        return ()
    return tuple(
        Link(
            name=one["ifname"],
            kind=one.get("linkinfo", {}).get("info_kind", ""),
            uplink=one["ifname"] in uplinks,
            port="master" in one,
        )
        for one in found
        if one.get("ifname") and one.get("link_type") != "loopback"
    )


def _addresses(config: Iterable[Mapping[str, str]] | None, key: str) -> tuple[str, ...]:
    """Return the key's value in each part of a network's configuration; a part may lack a
    gateway."""
    return tuple(str(part[key]) for part in config or () if part.get(key))


def _chosen(configured: Mapping[str, Any], arguments: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses configured for the host: one key until Docker 27, a list since 28, which
    still accepts the old key (dockerd(8): --host-gateway-ip)."""
    given = values(list(arguments), "host-gateway-ips") or configured.get("host-gateway-ips")
    if not given:
        given = [configured.get("host-gateway-ip")]
    found = given if isinstance(given, list) else [given]
    return tuple(one for text in found for one in str(text or "").split(",") if one)


def _of_interface(bridge: Bridge, held: Iterable[list[str]]) -> tuple[str, ...]:
    """Return the addresses of the default bridge, IPv4 first.

    Docker 28 does not list its own IPv6 gateway (``docker network inspect``), but uses it for
    ``host-gateway``; addresses configured earlier stay on the interface.
    """
    networks = [ip_network(subnet, strict=False) for subnet in bridge.subnets]
    found = [*bridge.gateways]
    for interface, address in held:
        if interface == bridge.interface and any(ip_address(address) in one for one in networks):
            found.append(address)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: ip_address(one).version))
