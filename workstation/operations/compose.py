"""A Compose project: its images built or pulled, its containers brought up and healthy."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pyinfra import host, state
from pyinfra.api.command import PyinfraCommand

from workstation import context, scripts
from workstation.compose.actions import (
    Action,
    ProjectState,
    actions,
    newer_secrets,
    retired,
    strangers,
)
from workstation.compose.builds import bake_definition, labels, listing
from workstation.docker.references import familiar
from workstation.errors import HostError
from workstation.facts.asking import Question, ask, ask_together
from workstation.facts.compose import APPLIED, BUILDING, PULLING, Project
from workstation.facts.docker import Networks
from workstation.facts.files import Paths
from workstation.facts.invokeai import Models
from workstation.facts.shell import script
from workstation.operations import files
from workstation.operations.base import operation
from workstation.operations.live import live
from workstation.pins import Source
from workstation.plan import Change, Changes, Sign, together
from workstation.rendered import RenderedStack
from workstation.stack import Stack

_PATIENCE, _MARGIN = 2700, 900
"""Seconds for all services to become healthy, and extra seconds beyond a start period."""

_SIGNS: dict[str, Sign] = {"create": "+", "build": "+", "pull": "+", "remove": "-"}


@operation
def laid_down(stack: RenderedStack) -> Changes:
    """
    Ensure the stack's folder on the host: Compose file, build contexts, configuration, secrets, and
    the host folders that its containers mount.

    + stack: the rendered stack
    """
    _ask_ahead()
    return files.present.changes(entries=_entries(stack))


def _entries(stack: RenderedStack) -> list[files.Entry]:
    """Return everything in the stack's folder, and the host folders. Raises SettingsError for a
    secret that is not set."""
    return [*_files(stack), *_secrets(stack), *_folders(stack)]


def _files(stack: RenderedStack) -> list[files.Entry]:
    parents = {
        "/".join([stack.folder, *path.split("/")[:depth]])
        for path in stack.files
        for depth in range(1, path.count("/") + 1)
    }
    entries: list[files.Entry] = [
        files.Directory(path) for path in [stack.folder, *sorted(parents)]
    ]
    entries += [
        files.File(
            f"{stack.folder}/{path}",
            content,
            mode="600" if path in stack.hidden else "755" if content.startswith(b"#!") else "644",
            secret=path in stack.hidden,
            backup=path == "compose.yaml",
        )
        for path, content in stack.files.items()
    ]
    return entries + _routes(stack)


def _routes(stack: RenderedStack) -> list[files.Entry]:
    """Return the file of the stack's routes, in the folder of our own proxy."""
    if stack.routes is None:
        return []
    path, content = stack.routes
    if not content:
        return [files.Absent(path)]
    folder = posixpath.dirname(path)
    return [
        files.Directory(posixpath.dirname(folder)),
        files.Directory(folder),
        files.File(path, content),
    ]


def _folders(stack: RenderedStack) -> list[files.Entry]:
    own = [place for place in stack.places if place.home == "own"]
    return [files.Directory(one.path, one.mode, one.user, one.group) for one in own]


def _secrets(stack: RenderedStack, known: bool = True) -> list[files.Entry]:
    """Return the files of the stack's secrets. The Engine mounts each into its containers, so root
    owns the folder, and the service's user owns the file.

    + known: whether the files have their content, for which each secret must be set

    Raises SettingsError for a secret that is not set, unless only a service that a person starts
    reads it.
    """
    if not stack.model.secrets:
        return []
    entries: list[files.Entry] = [files.Directory(f"{stack.folder}/secrets", mode="700")]
    required = stack.model.required_secrets
    for secret in stack.model.secrets:
        if secret not in required and not stack.secrets[secret.setting]:
            continue
        user, _, group = secret.owner.partition(":")
        content = stack.secret(secret) if known else b""
        entries.append(files.File(secret.path, content, "400", user, group or user, secret=True))
    return entries


@operation
def up(
    stack: RenderedStack,
    secrets: list[str],
    sources: Mapping[str, Source] | None = None,
    attestations: Sequence[str] = (),
    limit: int = 0,
) -> Changes:
    """
    Build and pull missing images, bring the project up, and wait until every service is healthy.
    A container of a service that has got a profile since an earlier run is removed first; one that
    a person started with ``docker compose --profile`` is left alone.
    Then remove images built here that are neither in use nor from the version before. If a service
    does not become healthy, restore the folder and images of the last success and fail the run.

    + stack: the rendered stack; its folder is already on the host
    + secrets: BuildKit secrets for builds
    + sources: the pins' git sources, for the labels of images
    + attestations: options of ``docker buildx bake``, used if the Engine can store attestations
    + limit: seconds after which a service that is not healthy is an error; 0: 45 minutes,
      or longer if a service may take longer to start
    """
    model = stack.model
    limit = limit or max([_PATIENCE, *(one.start_period + _MARGIN for one in model.running)])
    found = project_state(stack)
    if found.error:
        raise HostError(
            f"Docker Compose on {host.name} rejects {stack.folder}/compose.yaml: {found.error}",
            id="compose-file-rejected",
        )
    seen, fix = strangers(model.name, stack.folder, found)
    if seen:
        raise HostError(f"{seen} on {host.name}. To fix it: {fix}.", id="project-name-taken")
    # While planning, the new secrets are not written yet.
    secret = {one.path for one in model.secrets}
    changed = secret and secret & files.other_content(_entries(stack))
    found = replace(found, secrets=found.secrets | dict.fromkeys(changed, math.inf))
    inputs = {service.name: listing(stack.context(service)) for service in model.built}
    planned = actions(model, found, inputs)
    kept = f"{APPLIED}/{model.name}"
    if not planned and found.applied == stack.compose:
        host.noop(f"up to date: {_services(len(model.running), model)}")
        return
    commands = _images(stack, planned, secrets, sources or {}, attestations)
    if gone := retired(model, found):
        retire = scripts.text("docker/retire.sh")
        commands.append(live(script(retire, *(container.id for container in gone))))
    if stale := _with_old_secrets(model, found):
        commands.append(script(scripts.text("docker/give_up.sh"), stack.folder, *stale))
    up = scripts.text("docker/up.sh")
    commands.append(live(script(up, model.name, limit, stack.folder, kept, stdin=stack.compose)))
    before = {name: container.image for name, container in found.by_service().items()}
    here = {service.image for service in model.built}
    if renewed := [
        service.image
        for service in model.running
        if service.image in here
        and before.get(service.name, "") not in ("", found.image_id(service.image))
    ]:
        kept_ids, images = " ".join(before.values()), dict.fromkeys(renewed)
        prune = script(scripts.text("docker/prune.sh"), kept_ids, *images)
        commands.append(live(prune))
    yield together(_changes(model, found, planned, kept), commands)


def _changes(
    model: Stack, found: ProjectState, planned: Sequence[Action], kept: str
) -> Iterator[Change]:
    """Yield the changes to a project's images and services."""
    if not planned:
        # A run died after the last service became healthy, or only comments changed.
        yield Change("~", f"{kept}.yaml", "saves the running version for a rollback")
    if found.cut_off is not None and any(action.verb == "build" for action in planned):
        since = f" since {found.cut_off.replace('T', ' ')} UTC" if found.cut_off else ""
        yield Change("-", f"BuildKit's cache{since}", "the machine went down during a build")
    for action in planned:
        sign = _SIGNS.get(action.verb, "~")
        yield Change(sign, f"{model.name}: {action.verb} {action.subject}", action.cause)
    touched = {action.subject for action in planned}
    unchanged = sum(service.name not in touched for service in model.running)
    if unchanged:
        stay = "stays as it is" if unchanged == 1 else "stay as they are"
        yield Change("=", f"{_services(unchanged, model)} {stay}")


def _services(count: int, model: Stack) -> str:
    return f"{count} service{'' if count == 1 else 's'} of {model.name}"


def project_state(stack: RenderedStack, **how: Any) -> ProjectState:
    """Return the current state of the stack's project on the host.

    + how: pyinfra's arguments, such as ``_timeout``
    """
    if not how:
        _ask_ahead()
    found: ProjectState = ask(host, Project, **_question(stack), **how)
    return found


def _ask_ahead() -> None:
    """Ask in one command everything that a plan needs to know about the stacks rendered for the
    host. Only while planning: a run changes the answers."""
    if state.is_executing or not context.is_loaded(host):
        return
    questions: list[Question] = []
    for stack in context.load(host).rendered:
        project = stack.model.name
        questions.append((Project, _question(stack)))
        questions += [
            (Models, {"project": project, "service": one.name, "path": one.registers})
            for one in stack.model.registering
        ]
        asked = [*_files(stack), *_secrets(stack, known=False), *_folders(stack)]
        questions.append((Paths, files.question(asked)))
    ask_together(host, questions)


def _question(stack: RenderedStack) -> dict[str, Any]:
    return {
        "project": stack.model.name,
        "folder": stack.folder,
        "images": sorted({familiar(service.image) for service in stack.model.services}),
        "_stdin": stack.compose,
    }


def _with_old_secrets(model: Stack, found: ProjectState) -> list[str]:
    """Return the services whose container was started with an outdated secret."""
    containers = found.by_service()
    return [
        service.name
        for service in model.running
        if service.name in containers
        and newer_secrets(model, service, [containers[service.name]], found)
    ]


def _images(
    stack: RenderedStack,
    planned: Sequence[Action],
    secrets: list[str],
    sources: Mapping[str, Source],
    attestations: Sequence[str],
) -> list[PyinfraCommand]:
    """Return the commands that pull and build missing images."""
    built = {service.image: service.name for service in stack.model.built}
    missing = [built[action.subject] for action in planned if action.verb == "build"]
    pulled = [action.subject for action in planned if action.verb == "pull"]
    commands: list[PyinfraCommand] = []
    if pulled:
        commands.append(live(script(scripts.text("docker/pull.sh"), PULLING, *pulled)))
    if missing:
        images = " ".join(image for image, name in built.items() if name in missing)
        dockerfiles = {service.name: stack.dockerfile(service) for service in stack.model.built}
        created = datetime.now(UTC).isoformat(timespec="seconds")
        said = {
            service.name: labels(
                service, stack.source(service, sources), created, listing(stack.context(service))
            )
            for service in stack.model.built
        }
        bake = json.dumps(bake_definition(stack.model, dockerfiles, missing, secrets, said))
        arguments = (BUILDING, ", ".join(missing), images, *attestations)
        commands.append(live(script(scripts.text("docker/bake.sh"), *arguments, stdin=bake)))
    return commands


@operation
def network_exists(network: str) -> Changes:
    """
    Check that the Docker network exists. Raises HostError otherwise: it is not ours to create.

    + network: its name
    """
    known = ask(host, Networks)
    if known and network not in known:
        raise HostError(
            f"Docker on {host.name} has no network {network}, which the existing proxy should "
            f"share with the services: set PROXY_NETWORK to one of {', '.join(known)}, or "
            "create it.",
            id="proxy-network-missing",
        )
    host.noop(f"network {network} exists" if known else "Docker has no networks yet")
    return ()
