"""Which family of packages a Docker comes from, and which packages contain its parts."""

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
    # packages.ubuntu.com/noble: docker.io also contains the client.
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

# Containers depend on these; Kubernetes uses the first two without Docker.
_RUNTIMES = ("containerd", "runc", "cri-o", "podman")
_ENGINES = ("docker.io", "docker-ce", "moby-engine", "containerd.io", "moby-containerd")

# Packages that Docker's own packages replace (their Conflicts and Replaces).
_REPLACED = ("docker.io", "containerd", "runc", "docker-compose-v2", "docker-buildx", "docker-cli")


def family_of(package: str, distribution: str) -> str:
    """Return the family of a Docker package: a key of ``FAMILIES``, or empty if unknown."""
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
    """Return the missing parts of a Docker: ``engine``, ``client``, ``buildx``, ``compose``."""
    parts = {
        "engine": engine.without_daemon,
        "client": not engine.client,
        "buildx": engine.client and not engine.buildx,
        "compose": engine.client and not engine.new_compose,
    }
    return [part for part, missing in parts.items() if missing]


def stopped_by(names: Iterable[str]) -> list[str]:
    """Return those of these packages whose removal or upgrade stops containers."""
    kept = (*_RUNTIMES, *_ENGINES, "kubelet", "snapd")
    return [name for name in names if name in kept]


def in_the_way(installed: Collection[str]) -> list[str]:
    """Return the installed packages that Docker's own packages would remove."""
    return [name for name in _REPLACED if name in installed]
