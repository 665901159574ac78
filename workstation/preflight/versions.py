"""Docker's parts, beside the oldest that will do and the newest that was tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workstation.docker import OLDEST_COMPOSE
from workstation.findings import Finding
from workstation.version import version

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.docker import EngineState

# The first with CDI as a feature of its own, not an experiment (moby/moby#47087; on by default
# since 28.2, moby/moby#45192), and with start_interval of health checks (docker/compose#11360).
_OLDEST_ENGINE = "25.0"
# Of the lab's newest lane, lab/upstream/docker.py.
_NEWEST_TRIED = {"Engine": "28.5", "Compose": "2.40", "Buildx": "0.29", "containerd": "2.1"}


def version_findings(engine: EngineState) -> Iterator[Finding]:
    """A Docker that is whole is left alone, and one that lacks a plugin keeps its Engine, so that
    must do."""
    found = engine.server or engine.client
    if engine.client and not engine.without_daemon:
        yield Finding(
            "Docker Engine",
            version(found) >= version(_OLDEST_ENGINE),
            f"{found} is there, {_OLDEST_ENGINE} or newer is needed",
            "upgrade it, or remove it and run again to have one installed; older ones know neither "
            "CDI, which gives containers the GPU, nor start_interval",
        )
    if engine.client and engine.compose:
        yield Finding(
            "Docker Compose",
            engine.new_compose,
            f"{engine.compose} is there, {OLDEST_COMPOSE} or newer is needed",
            "leave it: the run upgrades its package, or stops before its first change and says why "
            "it cannot",
            note=True,
        )
    for what, installed in (
        ("Engine", found),
        ("Compose", engine.compose),
        ("Buildx", engine.buildx),
        ("containerd", engine.containerd),
    ):
        yield version_finding(what, installed)


def version_finding(what: str, installed: str) -> Finding:
    """Return the note about a part of Docker that is newer than any that was tried; ok where it is
    not, or not there.

    + what: ``Engine``, ``Compose``, ``Buildx`` or ``containerd``
    """
    tried = _NEWEST_TRIED[what]
    return Finding(
        f"version of {what}" if what == "containerd" else f"version of Docker {what}",
        not installed or version(installed)[:2] <= version(tried),
        f"{installed} is newer than {tried}, the newest that this was tried with",
        "leave it, and look at what acceptance says",
        note=True,
    )


def coming_finding(engine: EngineState, newest: bool) -> Finding:
    """Return the note about the Engine that a run will install: of Docker's own packages it takes
    the newest, whose version is not known before their repository is configured.

    + newest: whether Engines come from there
    """
    return Finding(
        "version of Docker Engine",
        not newest or bool(engine.client) or bool(engine.package),
        "the newest of Docker's own packages will be installed, which may be newer than "
        f"{_NEWEST_TRIED['Engine']}, the newest that this was tried with",
        "leave it, and look at what acceptance says; or DOCKER_SOURCE=distribution",
        note=True,
    )
