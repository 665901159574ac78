"""The Docker Engine: installed if missing, its configuration merged, never replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pyinfra import host

from workstation.docker import OLDEST_COMPOSE
from workstation.docker.packages import (
    FAMILIES,
    all_of,
    family_of,
    in_the_way,
    lacking,
    stopped_by,
)
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.docker import Bridges, BridgesState, Engine, EngineState
from workstation.facts.machine import Machine, MachineState
from workstation.facts.packages import Packages, Simulated, SimulatedState
from workstation.mirror import Mirror
from workstation.operations import daemon, files, packages
from workstation.operations.base import operation
from workstation.pins import AptRepository
from workstation.plan import Change, Changes, together
from workstation.version import version

DEFAULT_BRIDGE = "172.17.0.1"
"""Docker's default address of the default bridge, used until an Engine reports another."""

UNITS = ("ai-workstation-containers.service", "ai-workstation-guard.service")
"""Our units, in addition to Docker's own."""

_PACKAGES = {family: all_of(family) for family in FAMILIES}


def source_of(setting: str, os_release: Mapping[str, str]) -> str:
    """Return where the Engine comes from: ``docker`` (its own repository) or ``distribution``.

    + setting: ``auto``, ``docker`` or ``distribution``
    + os_release: fields of ``/etc/os-release``
    """
    if setting != "auto":
        return setting
    release = os_release.get("VERSION_ID", "0").split(".")[0]
    if os_release.get("ID") == "debian" and release.isdigit() and int(release) >= 13:
        return "distribution"
    return "docker"


def origin_of(setting: str, system: MachineState) -> str:
    """Return whose packages to install: ``docker`` for Docker's own, else the distribution's
    name."""
    own = source_of(setting, system.os_release) == "docker"
    return "docker" if own else system.distribution


@operation
def engine(source: str, pin: AptRepository, mirror: Mirror) -> Changes:
    """
    Ensure Engine, Compose plugin (at least 2.24) and Buildx. A complete Docker of any origin is
    left alone; an incomplete one gets the missing parts from the same origin.

    + source: ``auto``, ``docker`` or ``distribution``, see ``source_of``
    + pin, mirror: pin of Docker's own repository, and where to download from
    """
    found = ask(host, Engine)
    refuse_others(found)
    if found.complete:
        host.noop(f"Docker {found.client} with Compose {found.compose} stays as it is")
        return
    if replace(found, unfinished=()).complete:
        # Whatever its origin: dpkg was interrupted and finishes its work.
        yield from packages.installed.changes(packages=list(found.unfinished))
        return
    # Only asked here: a machine with a complete Docker does not need this.
    system = ask(host, Machine)
    if found.client or found.package:
        yield from _completed(found, system, pin, mirror)
        return
    origin = origin_of(source, system)
    family = origin if origin in FAMILIES else "docker"
    if family == "docker":
        installed = ask(host, Packages)
        _refuse_replacing(list(installed))
        arguments = repository(pin, mirror, system.os_release)
        yield from packages.repository.changes(**arguments)
    yield from packages.installed.changes(packages=_PACKAGES[family])


def _completed(
    found: EngineState, system: MachineState, pin: AptRepository, mirror: Mirror
) -> Changes:
    """Yield the changes that add the missing parts to a Docker, from its own origin."""
    parts = lacking(found)
    family = family_of(found.package, system.distribution)
    if not family:
        raise HostError(
            f"Docker on {host.name} lacks {' and '.join(parts)}, and was not installed from a known"
            f" package{f' ({found.package})' if found.package else ''}: put the plugins "
            "docker-buildx and docker-compose (2.24 or newer) into "
            "/usr/local/lib/docker/cli-plugins, then run again.",
            id="docker-incomplete",
        )
    names = [name for part in parts for name in FAMILIES[family][part]]
    names = list(dict.fromkeys([*names, *found.unfinished]))
    plan = ask(host, Simulated, packages=names)
    installed = ask(host, Packages)
    (compose,) = FAMILIES[family]["compose"]
    if "compose" in parts and compose in installed and compose not in found.unfinished:
        names[names.index(compose)] = f"{compose}={_newer_compose(found, compose, plan)}"
    asked = [name.partition("=")[0] for name in names]
    touched = [name for name, (old, _) in plan.installed.items() if old and name not in asked]
    if stopped := stopped_by([*plan.removed, *touched]):
        raise HostError(
            f"To add {' and '.join(parts)} to Docker on {host.name}, apt would replace or remove "
            f"{', '.join(stopped)}, which may stop running containers: do that yourself when it is "
            f"safe (`apt-get install {' '.join(names)}`), then run again.",
            id="docker-packages-conflict",
        )
    if family == "docker" and not plan.known:
        yield from packages.repository.changes(**repository(pin, mirror, system.os_release))
    yield from packages.installed.changes(packages=names)


def _newer_compose(found: EngineState, package: str, plan: SimulatedState) -> str:
    """Return the version of the Compose plugin that its own source offers. Raises HostError if it
    is too old, or if the package is not the plugin in use."""
    _, new = plan.installed.get(package, ("", ""))
    # The version may start with an epoch: 5:2.40.3-1.
    if version(new.rpartition(":")[2]) < version(OLDEST_COMPOSE):
        raise HostError(
            f"Docker Compose {found.compose} on {host.name} is too old (2.24 or newer is needed), "
            f"and apt offers no newer {package}: run `apt-get update`, upgrade it, remove copies "
            "in /usr/local/lib/docker/cli-plugins and ~/.docker/cli-plugins, then run again.",
            id="compose-too-old",
        )
    return new


def _refuse_replacing(installed: Sequence[str]) -> None:
    """Raise HostError if Docker's own packages would replace others."""
    if others := in_the_way(installed):
        raise HostError(
            f"Docker's own packages would replace {', '.join(others)} on {host.name}, which other "
            "containers may depend on: set DOCKER_SOURCE=distribution to install Docker alongside "
            "them, or remove them when that is safe, then run again.",
            id="docker-packages-conflict",
        )


def refuse_others(found: EngineState) -> None:
    """Raise HostError if Docker is Podman or the snap, which cannot access ``/vol`` or ``/mnt``."""
    if found.snap:
        raise HostError(
            f"Docker on {host.name} is the snap, which has no access to /vol and /mnt and no "
            "NVIDIA runtime: back up its volumes, remove it with `snap remove docker`, then run "
            "again.",
            id="docker-unsupported",
        )
    if found.podman:
        raise HostError(
            f"`docker` on {host.name} is Podman: remove the package podman-docker (Podman itself "
            "may stay), then run again.",
            id="docker-unsupported",
        )


@operation
def daemon_config(wanted: dict[str, Any], defaults: dict[str, Any] | None = None) -> Changes:
    """
    Ensure these keys in ``daemon.json`` and an Engine that runs with them; other keys stay.

    + wanted: keys and values to merge
    + defaults: keys and values to add if missing

    A key that this Engine does not support is left out, or rejected if it is one of ``wanted``.
    Keys that a reload applies need no restart. For others ``live-restore`` is loaded first, so that
    containers keep running through the restart. If they cannot, Docker is only restarted for one
    of ``wanted``, and the containers are started again. An Engine that does not come up gets its
    old file back.
    """
    return daemon.configured(wanted, defaults)


@operation
def boot_units(
    containers: str, guard: str, projects: Sequence[str] = (), proxy: str = "", own: bool = True
) -> Changes:
    """
    Install the units that start containers again at boot and close them to neighbors.

    + containers, guard: their text, see ``on_bridges``
    + projects: our Compose projects, whose networks are guarded whatever Docker lets in
    + proxy: network that our services share with the proxy
    + own: whether the proxy is ours; another proxy's network is guarded if Docker would let a
      neighbor reach all of its ports
    """
    bridges = ask(host, Bridges)
    ways = {
        one.name: [
            way.match
            for way in one.ways
            if one.project not in projects and not (one.name == proxy and (own or way.everything))
        ]
        for one in bridges.bridges
    }
    entries: list[files.Entry] = [
        files.File(f"/etc/systemd/system/{unit}", on_bridges(text, bridges, ways).encode())
        for unit, text in zip(UNITS, (containers, guard), strict=True)
    ]
    changes = list(files.present.changes(entries=entries))
    if not changes:
        return
    for one in bridges.bridges:
        if ways[one.name]:
            left = "Docker lets neighbors in: left as it is"
            changes.append(Change("=", f"network {one.name}", left))
        if len(ways[one.name]) < len(one.ways):
            closed = "closed to neighbors, which Docker would let in: our services use it"
            changes.append(Change("~", f"network {one.name}", closed))
    yield together(changes)


def on_bridges(
    text: str, bridges: BridgesState, ways: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return a unit's text for Docker's bridges.

    A line with ``@BRIDGE@`` is repeated for each address under which containers reach the host,
    one with ``@DESCRIPTOR@`` for each socket there that systemd hands over (sd_listen_fds(3)), one
    with ``@INTERFACE@`` for each bridge with a name chosen by its owner, one with ``@OTHER@``
    for each ``br-`` interface that is not Docker's, and one with ``@WAY@`` for each match of what
    Docker lets in. The text itself names ``docker0`` and ``br-*``.

    + ways: network -> matches of nft
    """
    addresses = bridges.host_gateways or (DEFAULT_BRIDGE,)
    values = {
        "@BRIDGE@": [f"[{one}]" if ":" in one else one for one in addresses],
        "@DESCRIPTOR@": [str(3 + number) for number in range(len(addresses))],
        # Other names would need quoting for both systemd and nft.
        "@INTERFACE@": [one for one in bridges.interfaces if re.fullmatch(r"[\w.-]+", one)],
        "@OTHER@": bridges.others,
        "@WAY@": [match for found in (ways or {}).values() for match in found],
    }
    lines = []
    for line in text.splitlines(keepends=True):
        mark = next((mark for mark in values if mark in line), "")
        lines += [line.replace(mark, value) for value in values[mark]] if mark else [line]
    return "".join(lines)


def repository(pin: AptRepository, mirror: Mirror, os_release: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of ``packages.repository`` for Docker's own apt repository.

    The pin is for Ubuntu; Debian has a folder of its own, signed with the same key
    (docs.docker.com/engine/install).
    """
    arguments = packages.repository_of("docker", pin, mirror)
    if os_release.get("ID") == "debian":
        for key in ("key_url", "uri"):
            arguments[key] = arguments[key].replace("/linux/ubuntu", "/linux/debian")
        arguments["suite"] = os_release["VERSION_CODENAME"]
    return arguments
