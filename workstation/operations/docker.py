"""The Docker Engine: installed where it is missing, its configuration merged, never replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyinfra import host

from workstation.errors import HostError
from workstation.facts.docker import Engine, EngineState
from workstation.facts.machine import Machine, MachineState
from workstation.mirror import Mirror
from workstation.operations import daemon, packages
from workstation.operations.base import Commands, operation
from workstation.pins import AptRepository

DAEMON_JSON = "/etc/docker/daemon.json"
"""Unless its command line names another."""
UNITS = ("ai-workstation-containers.service", "ai-workstation-guard.service")
"""Ours beside Docker's own."""

# By source; the distributions' packages have names of their own (packages.debian.org/trixie,
# packages.ubuntu.com/noble).
_PACKAGES = {
    "docker": [
        "docker-ce",
        "docker-ce-cli",
        "containerd.io",
        "docker-buildx-plugin",
        "docker-compose-plugin",
    ],
    "debian": ["docker.io", "docker-cli", "docker-compose", "docker-buildx"],
    "ubuntu": ["docker.io", "docker-compose-v2", "docker-buildx"],
}


def source_of(setting: str, os_release: Mapping[str, str]) -> str:
    """Return where the Engine comes from: ``docker`` (its own repository) or ``distribution``.

    + setting: ``auto``, ``docker`` or ``distribution``
    + os_release: fields of ``/etc/os-release``
    """
    if setting != "auto":
        return setting
    version = os_release.get("VERSION_ID", "0").split(".")[0]
    if os_release.get("ID") == "debian" and version.isdigit() and int(version) >= 13:
        return "distribution"
    return "docker"


def origin_of(setting: str, system: MachineState) -> str:
    """Return whose packages are installed: ``docker`` for its own, else the distribution's name."""
    own = source_of(setting, system.os_release) == "docker"
    return "docker" if own else system.distribution


@operation
def engine(source: str, pin: AptRepository, mirror: Mirror) -> Commands:
    """
    Have Engine, Compose plugin (at least 2.24) and Buildx. A Docker of any origin that has
    these is left alone.

    + source: ``auto``, ``docker`` or ``distribution``, see ``source_of``
    + pin, mirror: of Docker's own repository, and where everything comes from
    """
    found = host.get_fact(Engine)
    refuse_snap(found)
    if found.complete:
        host.noop(f"Docker {found.client} with Compose {found.compose} is left as it is")
        return
    if replace(found, unfinished=()).complete:
        # Of whichever origin: dpkg was interrupted, and ends what it was at.
        yield from packages.installed._inner(packages=list(found.unfinished))
        return
    # Only here: a machine that has its Docker need not be asked what it is.
    system = host.get_fact(Machine)
    origin = origin_of(source, system)
    # Lists, so that the whole plan is told before the first command.
    prepare = []
    if origin == "docker":
        arguments = repository(pin, mirror, system.os_release)
        prepare = list(packages.repository._inner(**arguments))
    install = list(packages.installed._inner(packages=_PACKAGES.get(origin, _PACKAGES["docker"])))
    yield from (*prepare, *install)


def refuse_snap(found: EngineState) -> None:
    """Raise HostError if Docker is the snap, which cannot see ``/vol`` or ``/mnt``."""
    if found.snap:
        raise HostError(
            "Docker on this host is the snap, which has no access to /vol and /mnt and no NVIDIA "
            "runtime: save what its volumes hold, remove it with `snap remove docker`, run again."
        )


@operation
def daemon_config(wanted: dict[str, Any], defaults: dict[str, Any] | None = None) -> Commands:
    """
    Have these keys in ``daemon.json``, and the Engine run with them; others stay as they are.

    + wanted: keys and values to merge
    + defaults: keys and values where there are none yet

    A key that this Engine cannot take is left out, or refused if it is one of ``wanted``. What a
    reload loads needs no restart; for what needs one, ``live-restore`` is loaded before, and
    containers run through. Where they cannot, Docker is only restarted for one of ``wanted``, and
    what ran is started again. An Engine that does not come up gets its old file back.
    """
    yield from daemon.configured(wanted, defaults)


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
