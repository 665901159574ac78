"""What bringing a stack up will do: decided from hashes and labels, never by trying.

Compose labels every container with the hash of its service's configuration and with the ID of its
image; ``docker compose config --hash '*'`` prints the hash of the service in the file (verified
with Compose 2.26). ``docker compose up --dry-run`` is not used, because it has replaced real
containers (docker/compose#14029).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from workstation.compose.builds import changed_inputs
from workstation.docker.references import familiar, parts
from workstation.quoting import interpolated
from workstation.stack import BUILD, Service, Stack
from workstation.yaml_file import ComposeLoader


@dataclass(frozen=True)
class Container:
    """A container of the project: IDs, origin and state. ``inputs``: the listing of the files that
    went into its image, if that was built here; ``created``: Unix time; ``folder``: folder of the
    project that created it."""

    id: str
    service: str
    image: str
    hash: str
    state: str
    health: str = ""
    started: str = ""
    oneoff: bool = False
    inputs: str = ""
    created: float = 0.0
    folder: str = ""


@dataclass(frozen=True)
class ProjectState:
    """The project on the host. ``hashes``: service -> hash that the Compose file requires;
    ``images``: reference -> ID of existing images; ``unsettled``: those that are being pulled or
    built, or were when the machine went down, and may not be on its disk; ``secrets``: path of a
    secret's file -> Unix time of its last change; ``applied``: the Compose file of the last
    successful run, empty if there is none; ``error``: Compose's error about the file; ``docker``:
    whether there is an Engine; ``cut_off``: time (UTC) from which BuildKit's cache may be damaged,
    because the machine went down during a build, empty if unknown, None if there is no damage."""

    docker: bool = False
    hashes: dict[str, str] = field(default_factory=dict)
    containers: tuple[Container, ...] = ()
    images: dict[str, str] = field(default_factory=dict)
    unsettled: tuple[str, ...] = ()
    secrets: dict[str, float] = field(default_factory=dict)
    applied: str = ""
    error: str = ""
    cut_off: str | None = None

    def by_service(self) -> dict[str, Container]:
        """Return the container of each service, without those of ``docker compose run``."""
        return {
            container.service: container for container in self.containers if not container.oneoff
        }

    def image_id(self, reference: str) -> str:
        """Return the ID of an image on the host; empty if it is missing, or if a power cut may have
        damaged it. An image that a container uses is on the disk, so only its mark was left."""
        name = familiar(reference)
        found = self.images.get(name, "")
        used = any(container.image == found for container in self.containers)
        return found if used or name not in self.unsettled else ""


def strangers(name: str, folder: str, state: ProjectState) -> tuple[str, str]:
    """Return which containers of another project with the same name are on the host, or an empty
    string, and the fix. Compose distinguishes projects only by name: it would treat those
    containers as its own.

    + folder: the project's folder on the host
    """
    others: dict[str, list[str]] = {}
    for container in state.containers:
        if container.folder not in ("", folder):
            others.setdefault(container.folder, []).append(container.service)
    told = "; ".join(f"{', '.join(services)} of {other}" for other, services in others.items())
    return (
        f"Docker has another project named {name}: {told}" if told else "",
        f"stop it with `docker compose -p {name} down`, which keeps its volumes for this project, "
        "or give it another name",
    )


@dataclass(frozen=True)
class Action:
    """One step: ``verb`` is build, pull, create, recreate, start or remove; ``cause`` says why."""

    verb: str
    subject: str
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}" + (f" ({self.cause})" if self.cause else "")


def actions(
    stack: Stack, state: ProjectState, inputs: Mapping[str, str] | None = None
) -> list[Action]:
    """Return what bringing ``stack`` up will do, in order; empty if everything is up to date.

    + inputs: service -> listing of the files that go into its image, for services built here
    """
    applied = _services(state.applied)
    planned = [*_images(stack.wanted, state, applied, inputs or {})]
    by_service: dict[str, list[Container]] = {}
    for container in state.containers:
        if not container.oneoff:
            by_service.setdefault(container.service, []).append(container)
    left = {container.service for container in retired(stack, state)}
    planned += [
        Action("remove", service.name, _BUILT if BUILD in service.profiles else _BY_HAND)
        for service in stack.services
        if service.name in left
    ]
    for service in stack.services:
        containers = by_service.pop(service.name, [])
        if not service.runs:
            continue
        newer = newer_secrets(stack, service, containers, state)
        if action := _container(service, containers, state, applied.get(service.name, {}), newer):
            planned.append(action)
    planned += [Action("remove", name, "no longer in the file") for name in by_service]
    return planned


_BY_HAND = "it has a profile now: start it with `docker compose --profile`"
_BUILT = "it is only built now"


def retired(stack: Stack, state: ProjectState) -> list[Container]:
    """Return the containers that an earlier run started, of services that have a profile now.

    ``up`` would leave them running, because their services are in the file. A container that a
    person started with ``docker compose --profile`` looks the same to Docker: Compose has no label
    for profiles, and they are not part of its hash (compose-go, ``ServiceConfig``; Compose,
    ``ServiceHash``). The file of the last successful run tells them apart: a run only starts
    services without a profile, so if the service had one there, or was not in it, a person has
    started the container, and it stays. Without that file, every container stays.
    """
    applied = _services(state.applied)
    by_hand = {
        service.name
        for service in stack.services
        if not service.runs
        and service.name in applied
        and not applied[service.name].get("profiles")
    }
    return [one for one in state.containers if not one.oneoff and one.service in by_hand]


def _images(
    services: Iterable[Service],
    state: ProjectState,
    applied: Mapping[str, Mapping[str, Any]],
    inputs: Mapping[str, str],
) -> Iterable[Action]:
    containers = state.by_service()
    users: dict[str, list[Service]] = {}
    for service in services:
        if not state.image_id(service.image):
            users.setdefault(service.image, []).append(service)
    for image, sharing in users.items():
        names = [service.name for service in sharing]
        if builder := next((service.name for service in sharing if service.build), ""):
            listings = [containers[name].inputs for name in names if name in containers]
            before = next(filter(None, listings), "")
            changed = changed_inputs(before, inputs.get(builder, ""))
            cause = f"changed: {', '.join(changed)}" if changed else ""
            yield Action("build", image, cause)
        else:
            before = str(applied.get(names[0], {}).get("image", ""))
            yield Action("pull", image, f"was {_version(before)}" if before else "")


def _version(reference: str) -> str:
    """Return the tag and digest of an image's reference."""
    _, tag, digest = parts(reference)
    return f"{tag}{'@' if digest else ''}{digest}" or "without a tag"


def newer_secrets(
    stack: Stack, service: Service, containers: Iterable[Container], state: ProjectState
) -> list[str]:
    """Return the secrets of a service that changed after one of its containers was created. The
    file's content is not part of Compose's hash, and a container keeps the file it started with."""
    paths = {secret.setting: secret.path for secret in stack.secrets}
    made = min((container.created for container in containers), default=None)
    return [
        name
        for name in service.secrets
        if made is not None and state.secrets.get(paths.get(name, ""), 0.0) > made
    ]


def _container(
    service: Service,
    containers: list[Container],
    state: ProjectState,
    applied: Mapping[str, Any],
    newer: list[str],
) -> Action | None:
    if not containers:
        long = f"its first start takes {service.first_start}" if service.first_start else ""
        return Action("create", service.name, long)
    if len(containers) > 1:
        return Action("recreate", service.name, f"{len(containers)} containers instead of one")
    container = containers[0]
    causes = []
    if container.image != state.image_id(service.image):
        causes.append("image")
    if container.hash != state.hashes.get(service.name):
        keys = differences(applied, service.keys)
        # The image's name is part of the configuration too.
        causes += [key for key in keys if key != "image"] or ([] if causes else ["configuration"])
    causes += [f"secret {name}" for name in newer]
    if causes:
        return Action("recreate", service.name, ", ".join(causes))
    if container.state not in ("running", "restarting"):
        return Action("start", service.name, container.state)
    return None


# Keys that are not part of a container's configuration.
_NO_CONFIGURATION = ("build", "profiles", "pull_policy")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the keys of a service that differ between two Compose files, as ``environment.NAME``;
    empty if there is nothing to compare with. Values are left out: they may be secret."""
    found = []
    for key in sorted(before.keys() | after.keys()) if before else []:
        old, new = before.get(key), after.get(key)
        if old == new or key.startswith("x-") or key in _NO_CONFIGURATION:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            names = sorted(
                name for name in old.keys() | new.keys() if old.get(name) != new.get(name)
            )
            found += [f"{key}.{name}" for name in names]
        else:
            found.append(key)
    return found


def _services(compose: str) -> dict[str, dict[str, Any]]:
    """Return the services of a Compose file that was applied before; empty if it is broken."""
    try:
        content = interpolated(yaml.load(compose, ComposeLoader) or {}, {}, strict=False)
        return {name: dict(keys) for name, keys in content.get("services", {}).items()}
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        return {}
