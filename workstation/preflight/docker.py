"""A Docker that is already there, and whether Engine, Compose and Traefik work together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from workstation.daemon_json import DaemonJsonError, merge
from workstation.findings import Finding
from workstation.gpu import version
from workstation.settings import Settings

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.docker import EngineState
    from workstation.facts.machine import MachineState
    from workstation.facts.surroundings import RunningContainer

# The first with CDI as a feature of its own, not an experiment (moby/moby#47087; on by default
# since 28.2, moby/moby#45192), and with start_interval of health checks (docker/compose#11360).
_OLDEST_ENGINE = "25.0"
# What EngineState.complete asks for.
_OLDEST_COMPOSE = "2.24"

# Engine 29 refuses clients with an older API; Traefik asked for 1.24 until these versions.
_NEW_API = (1, 44)
_OLDEST_TRAEFIK = {3: "3.6.1", 2: "2.11.31"}


def docker_findings(machine: MachineState, engine: EngineState) -> Iterator[Finding]:
    """Yield the findings about a Docker that is already there."""
    snap = machine.snap_docker or engine.snap
    yield Finding(
        "Docker",
        not snap,
        "it is the snap, which sees neither /vol nor /mnt" if snap else engine.client or "absent",
        "save what its volumes hold, then `snap remove docker`",
    )
    try:
        merge(engine.daemon_json, {})
    except DaemonJsonError as error:
        yield Finding(
            "/etc/docker/daemon.json",
            False,
            f"nothing can be merged into it: {error}",
            "correct it or move it away",
        )
    if not snap:
        yield from _version_findings(engine)


def _version_findings(engine: EngineState) -> Iterator[Finding]:
    """A Docker that is whole is left alone, so it must do; packages that are there are not
    upgraded, so neither is an old Compose."""
    found = engine.server or engine.client
    if engine.complete:
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
            version(engine.compose) >= version(_OLDEST_COMPOSE),
            f"{engine.compose} is there, {_OLDEST_COMPOSE} or newer is needed",
            "upgrade the package docker-compose-plugin (Docker's) or docker-compose-v2 (Ubuntu's), "
            "and remove copies in /usr/local/lib/docker/cli-plugins and ~/.docker/cli-plugins",
        )


def is_traefik(container: RunningContainer) -> bool:
    """Whether a container's image is a Traefik, from whichever registry."""
    path = container.image.partition("@")[0].rpartition("/")[2]
    return path.partition(":")[0] == "traefik"


def traefik_findings(
    settings: Settings,
    own: str,
    foreign: Sequence[RunningContainer],
    new_engine: bool,
) -> Iterator[Finding]:
    """Yield whether the Traefik that is to serve the routes can talk to the Engine.

    + own: tag of the pinned image
    + foreign: running containers of other projects
    + new_engine: whether the Engine refuses old clients, see :func:`refuses_old_clients`

    Source: github.com/traefik/traefik, releases v3.6.1 and v2.11.31.
    """
    if not new_engine:
        return
    if settings.proxy == "own":
        yield _compatible("pins.yml images.traefik", own, "pin a newer one")
        return
    for container in foreign:
        if is_traefik(container):
            tag = container.image.partition("@")[0].rpartition("/")[2].partition(":")[2]
            yield _compatible(
                f"Traefik {container.name}",
                container.version or tag,
                "upgrade it, or set `min-api-version` to 1.24 in /etc/docker/daemon.json",
            )


def refuses_old_clients(engine: EngineState, minimum_api: str, installs_newest: bool) -> bool:
    """Whether the Engine, or the one that will be installed, is 29 or newer without the setting
    that lets old clients in.

    + minimum_api: what a running Engine says, or empty
    + installs_newest: whether this run installs Docker's own newest
    """
    if minimum_api:
        return version(minimum_api) >= _NEW_API
    found = engine.server or engine.client
    return version(found) >= (29,) if found else installs_newest


def _compatible(name: str, found: str, fix: str) -> Finding:
    numbers = version(found.partition("-")[0])
    oldest = _OLDEST_TRAEFIK.get(numbers[0] if numbers else 0, _OLDEST_TRAEFIK[3])
    # v3 or latest may be any of them.
    vague = len(numbers) < 3 and version(oldest)[: len(numbers)] == numbers
    return Finding(
        name,
        numbers >= version(oldest),
        f"Docker 29 needs Traefik {oldest} or newer, this one is {found or 'of no known version'}",
        fix,
        note=vague,
    )
