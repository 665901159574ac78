"""The Docker Engine: installed where it is missing, its configuration merged, never replaced."""

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
"""Docker's default address of the default bridge, until an Engine says otherwise."""

UNITS = ("ai-workstation-containers.service", "ai-workstation-guard.service")
"""Ours beside Docker's own."""

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
    """Return whose packages are installed: ``docker`` for its own, else the distribution's name."""
    own = source_of(setting, system.os_release) == "docker"
    return "docker" if own else system.distribution


@operation
def engine(source: str, pin: AptRepository, mirror: Mirror) -> Changes:
    """
    Have Engine, Compose plugin (at least 2.24) and Buildx. A Docker of any origin that has
    these is left alone; one that lacks some gets them of the same origin.

    + source: ``auto``, ``docker`` or ``distribution``, see ``source_of``
    + pin, mirror: of Docker's own repository, and where everything comes from
    """
    found = ask(host, Engine)
    refuse_others(found)
    if found.complete:
        host.noop(f"Docker {found.client} with Compose {found.compose} is left as it is")
        return
    if replace(found, unfinished=()).complete:
        # Of whichever origin: dpkg was interrupted, and ends what it was at.
        yield from packages.installed.changes(packages=list(found.unfinished))
        return
    # Only here: a machine that has its Docker need not be asked what it is.
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
    """Yield what gives a Docker the parts that it lacks, of its own origin."""
    parts = lacking(found)
    family = family_of(found.package, system.distribution)
    if not family:
        raise HostError(
            f"Docker on {host.name} lacks {' and '.join(parts)}, and is of no package that is known"
            f"{f' ({found.package})' if found.package else ''}: put the plugins docker-buildx and "
            "docker-compose (2.24 or newer) into /usr/local/lib/docker/cli-plugins, then run again."
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
            f"To give Docker on {host.name} its {' and '.join(parts)}, apt would replace or remove "
            f"{', '.join(stopped)}, under containers that may run: do that yourself when it does "
            f"no harm (`apt-get install {' '.join(names)}`), then run again."
        )
    if family == "docker" and not plan.known:
        yield from packages.repository.changes(**repository(pin, mirror, system.os_release))
    yield from packages.installed.changes(packages=names)


def _newer_compose(found: EngineState, package: str, plan: SimulatedState) -> str:
    """Return the version of the Compose plugin that its own source has. Raises HostError if there
    is none that would do, or that of the package is not the one that is used."""
    _, new = plan.installed.get(package, ("", ""))
    # An epoch may stand before the version: 5:2.40.3-1.
    if version(new.rpartition(":")[2]) < version(OLDEST_COMPOSE):
        raise HostError(
            f"Docker Compose {found.compose} on {host.name} is too old, 2.24 or newer is needed, "
            f"and apt knows no newer {package}: run `apt-get update`, upgrade it, remove copies in "
            "/usr/local/lib/docker/cli-plugins and ~/.docker/cli-plugins, then run again."
        )
    return new


def _refuse_replacing(installed: Sequence[str]) -> None:
    """Raise HostError if Docker's own packages would have others removed."""
    if others := in_the_way(installed):
        raise HostError(
            f"Docker's own packages would replace {', '.join(others)} on {host.name}, by which "
            "others' containers may run: set DOCKER_SOURCE=distribution to have Docker beside "
            "them, or remove them when that does no harm, then run again."
        )


def refuse_others(found: EngineState) -> None:
    """Raise HostError if Docker is the snap, which cannot see ``/vol`` or ``/mnt``, or Podman."""
    if found.snap:
        raise HostError(
            "Docker on this host is the snap, which has no access to /vol and /mnt and no NVIDIA "
            "runtime: save what its volumes hold, remove it with `snap remove docker`, run again."
        )
    if found.podman:
        raise HostError(
            f"`docker` on {host.name} is Podman: remove the package podman-docker (Podman itself "
            "may stay), then run again."
        )


@operation
def daemon_config(wanted: dict[str, Any], defaults: dict[str, Any] | None = None) -> Changes:
    """
    Have these keys in ``daemon.json``, and the Engine run with them; others stay as they are.

    + wanted: keys and values to merge
    + defaults: keys and values where there are none yet

    A key that this Engine cannot take is left out, or refused if it is one of ``wanted``. What a
    reload loads needs no restart; for what needs one, ``live-restore`` is loaded before, and
    containers run through. Where they cannot, Docker is only restarted for one of ``wanted``, and
    what ran is started again. An Engine that does not come up gets its old file back.
    """
    return daemon.configured(wanted, defaults)


@operation
def boot_units(
    containers: str, guard: str, projects: Sequence[str] = (), proxy: str = "", own: bool = True
) -> Changes:
    """
    Lay down the units that start containers again at boot and close them to neighbors.

    + containers, guard: their text, see ``on_bridges``
    + projects: Compose projects of ours, whose networks are guarded whatever Docker lets in
    + proxy: network that services of ours share with the proxy
    + own: whether it is ours; one of somebody else's is guarded where Docker would let a neighbor
      reach every port of it
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
            closed = "closed to neighbors, whom Docker would let in: our services are in it"
            changes.append(Change("~", f"network {one.name}", closed))
    yield together(changes)


def on_bridges(
    text: str, bridges: BridgesState, ways: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return a unit's text for Docker's bridges: a line with ``@BRIDGE@`` comes once for each
    address by which containers know the host, one with ``@INTERFACE@`` for each bridge whose owner
    has named it, one with ``@OTHER@`` for each ``br-`` that is not Docker's, one with ``@WAY@`` for
    each match of what Docker lets in; ``docker0`` and ``br-*`` are for the text to name.

    + ways: network -> matches of nft
    """
    addresses = bridges.host_gateways or (DEFAULT_BRIDGE,)
    values = {
        "@BRIDGE@": [f"[{one}]" if ":" in one else one for one in addresses],
        # Others would have to be quoted for systemd and nft both.
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
    """Return the arguments of ``packages.repository`` for Docker's own apt repository
    (docs.docker.com/engine/install): the pin is Ubuntu's, Debian has a folder of its own, signed by
    the same key.
    """
    arguments = packages.repository_of("docker", pin, mirror)
    if os_release.get("ID") == "debian":
        for key in ("key_url", "uri"):
            arguments[key] = arguments[key].replace("/linux/ubuntu", "/linux/debian")
        arguments["suite"] = os_release["VERSION_CODENAME"]
    return arguments
