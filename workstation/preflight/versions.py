"""Compare Docker's parts with the oldest supported versions and the newest tried ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workstation.docker import OLDEST_COMPOSE
from workstation.findings import Finding
from workstation.version import version

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.docker import EngineState

# The first with CDI outside the experimental features (moby/moby#47087; on by default since 28.2,
# moby/moby#45192), and with start_interval of health checks (docker/compose#11360).
_OLDEST_ENGINE = "25.0"
# From the lab's newest lane, lab/upstream/docker.py.
_NEWEST_TRIED = {"Engine": "28.5", "Compose": "2.40", "Buildx": "0.29", "containerd": "2.1"}


def version_findings(engine: EngineState) -> Iterator[Finding]:
    """Yield the findings about the versions of Docker's parts.

    A complete Docker is left alone, and one that lacks a plugin keeps its Engine, so that Engine
    must be new enough.
    """
    found = engine.server or engine.client
    if engine.client and not engine.without_daemon:
        yield Finding(
            "Docker Engine",
            version(found) >= version(_OLDEST_ENGINE),
            f"{found} is installed; {_OLDEST_ENGINE} or newer is needed",
            "upgrade it, or remove it and run this again to install a new one; older versions "
            "support neither CDI, which gives containers the GPU, nor start_interval",
            id="docker-too-old",
        )
    if engine.client and engine.compose:
        yield Finding(
            "Docker Compose",
            engine.new_compose,
            f"{engine.compose} is installed; {OLDEST_COMPOSE} or newer is needed",
            "nothing to do: the run upgrades its package, or stops before its first change and "
            "says why it cannot",
            note=True,
            id="compose-too-old",
        )
    for what, installed in (
        ("Engine", found),
        ("Compose", engine.compose),
        ("Buildx", engine.buildx),
        ("containerd", engine.containerd),
    ):
        yield version_finding(what, installed)


def version_finding(what: str, installed: str) -> Finding:
    """Return the note about a part of Docker that is newer than any version tried; it is ok if the
    part is not newer, or not installed.

    + what: ``Engine``, ``Compose``, ``Buildx`` or ``containerd``
    """
    tried = _NEWEST_TRIED[what]
    return Finding(
        f"version of {what}" if what == "containerd" else f"version of Docker {what}",
        not installed or version(installed)[:2] <= version(tried),
        f"{installed} is newer than {tried}, the newest version this was tried with",
        "nothing to do, but check the result of acceptance",
        note=True,
        id="docker-untried",
    )


def coming_finding(engine: EngineState, newest: bool) -> Finding:
    """Return the note about the Engine that a run will install.

    From Docker's own repository the run installs the newest version, which is not known before that
    repository is configured.

    + newest: whether the Engine comes from Docker's own repository
    """
    return Finding(
        "version of Docker Engine",
        not newest or bool(engine.client) or bool(engine.package),
        "the run will install the newest of Docker's own packages, which may be newer than "
        f"{_NEWEST_TRIED['Engine']}, the newest version this was tried with",
        "nothing to do, but check the result of acceptance; or set DOCKER_SOURCE=distribution",
        note=True,
        id="docker-untried",
    )
