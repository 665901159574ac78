"""Whose packages a Docker is of, and in which of them its parts come."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what the fact returns; this module itself needs no pyinfra
    from workstation.facts.docker import EngineState

FAMILIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # docs.docker.com/engine/install
    "docker": {
        "engine": ("docker-ce", "containerd.io"),
        "client": ("docker-ce-cli",),
        "buildx": ("docker-buildx-plugin",),
        "compose": ("docker-compose-plugin",),
    },
    # packages.debian.org/trixie
    "debian": {
        "engine": ("docker.io",),
        "client": ("docker-cli",),
        "buildx": ("docker-buildx",),
        "compose": ("docker-compose",),
    },
    # packages.ubuntu.com/noble: docker.io has the client too.
    "ubuntu": {
        "engine": ("docker.io",),
        "client": ("docker.io",),
        "buildx": ("docker-buildx",),
        "compose": ("docker-compose-v2",),
    },
    # packages.microsoft.com
    "moby": {
        "engine": ("moby-engine",),
        "client": ("moby-cli",),
        "buildx": ("moby-buildx",),
        "compose": ("moby-compose",),
    },
}

# Containers are held up by these; Kubernetes has the first two without any Docker.
_RUNTIMES = ("containerd", "runc", "cri-o", "podman")
_ENGINES = ("docker.io", "docker-ce", "moby-engine", "containerd.io", "moby-containerd")

# What Docker's own packages put in their place (their Conflicts and Replaces).
_REPLACED = ("docker.io", "containerd", "runc", "docker-compose-v2", "docker-buildx", "docker-cli")


def family_of(package: str, distribution: str) -> str:
    """Return whose a package of Docker's is: a key of ``FAMILIES``, or empty for no known one."""
    if package.startswith("moby-"):
        return "moby"
    for family in ("docker", distribution if distribution in FAMILIES else "debian"):
        if package in all_of(family):
            return family
    return ""


def all_of(family: str) -> list[str]:
    """Return all packages of a family, each once."""
    return list(dict.fromkeys(name for names in FAMILIES[family].values() for name in names))


def lacking(engine: EngineState) -> list[str]:
    """Return the parts that a Docker lacks: ``engine``, ``client``, ``buildx``, ``compose``."""
    parts = {
        "engine": engine.without_daemon,
        "client": not engine.client,
        "buildx": engine.client and not engine.buildx,
        "compose": engine.client and not engine.new_compose,
    }
    return [part for part, missing in parts.items() if missing]


def stopped_by(names: Iterable[str]) -> list[str]:
    """Return those of these packages without which containers stop, or stop for a while."""
    kept = (*_RUNTIMES, *_ENGINES, "kubelet", "snapd")
    return [name for name in names if name in kept]


def in_the_way(installed: Collection[str]) -> list[str]:
    """Return the packages that Docker's own would have removed."""
    return [name for name in _REPLACED if name in installed]
