"""Checks of every container: it is healthy, stays up, and was created from the pinned image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from workstation import scripts
from workstation.acceptance import Answer, Probe, evidence
from workstation.compose.actions import Container, ProjectState
from workstation.compose.fence import addresses
from workstation.docker.references import familiar, parts
from workstation.findings import Finding
from workstation.stack import Service, Stack

Projects = Sequence[tuple[Stack, ProjectState]]
"""Stacks, each with its project on the host."""

# Since Docker 28, `.State.Health` is an error for a container without a health check: its client
# fills templates from the Engine's JSON, where the key is missing then.
_FORMAT = (
    '{{.State.Status}} {{with index .State "Health"}}{{.Status}}{{else}}none{{end}} '
    "{{.State.StartedAt}} {{.RestartCount}}"
)


_TABLE = (
    '{{.Label "com.docker.compose.project"}}/{{.Label "com.docker.compose.service"}}'
    "\t{{.Names}}\t{{.Status}}\t{{.Ports}}"
)


def table_probe(stacks: Sequence[Stack]) -> Probe:
    """Return the probe that checks that Docker lists every service as up."""
    wanted = [f"{stack.name}/{service.name}" for stack in stacks for service in stack.running]
    return Probe(
        "all containers are up",
        'docker ps -a --format "$1" 2>&1',
        (_TABLE,),
        "run tasks/stacks.py",
        r"docker ps --format 'table {{.Names}}\t{{.Status}}\t{{.Ports}}'",
        read=lambda probe, answer: _table_findings(probe, answer, wanted),
    )


def _table_findings(probe: Probe, answer: Answer, wanted: Sequence[str]) -> Iterator[Finding]:
    # The last row may lack the tab before its ports, of which it has none: answers are stripped.
    rows = [line.split("\t") for line in answer.output.splitlines() if line.count("\t") >= 2]
    up = {subject for subject, _, status, *_ in rows if status.startswith("Up")}
    lacking = [subject for subject in wanted if subject not in up]
    seen = f"{len(wanted) - len(lacking)} of {len(wanted)} are up"
    yield probe.finding(
        answer.ok and not lacking,
        f"{seen}; down: {', '.join(lacking)}" if lacking else seen,
        answer,
    )


def container_probe(projects: Projects) -> Probe:
    """Return the probe of all containers' states.

    It must run last: a container that has restarted since ``projects`` was read does not stay up.
    """
    ids = [container.id for _, _, container in _containers(projects) if container]
    return Probe(
        "containers run",
        scripts.text("acceptance/states.sh"),
        ("state {{.Id}} " + _FORMAT, *ids),
        "see `systemctl status docker`",
        "docker ps -a",
        read=lambda probe, answer: _state_findings(projects, answer),
    )


def _containers(projects: Projects) -> Iterator[tuple[Stack, Service, Container | None]]:
    for stack, state in projects:
        containers = state.by_service()
        for service in stack.running:
            yield stack, service, containers.get(service.name)


def _state_findings(projects: Projects, answer: Answer) -> Iterator[Finding]:
    told: dict[tuple[str, str], list[str]] = {}
    for line in answer.output.splitlines():
        word, _, rest = line.partition(" ")
        identity, _, text = rest.partition(" ")
        told.setdefault((word, identity), []).append(text)
    unreachable = {stack.name for stack, state in projects if not state.docker}
    for stack, service, container in _containers(projects):
        if container is None:
            seen = "Docker does not answer" if stack.name in unreachable else "no container"
            asked = f"docker compose -p {stack.name} ps -a {service.name}"
            yield _healthy(stack, service, False, seen, evidence(asked, seen))
            continue
        asked = f"docker inspect -f '{_FORMAT}' {container.id[:12]}"
        (seen, *_) = told.get(("state", container.id), [""])
        if not seen:
            lines = answer.output.splitlines()
            gone = next((line for line in lines if container.id in line), answer.detail)
            yield _healthy(stack, service, False, gone, evidence(asked, gone))
            continue
        shown = [evidence(asked, seen)]
        for word, command in (("log", "docker logs --tail 15"), ("check", "docker inspect")):
            if words := told.get((word, container.id)):
                shown.append(evidence(f"{command} {container.id[:12]}", "\n".join(words)))
        yield from _of_state(stack, service, container, seen, "\n".join(shown))


def _of_state(
    stack: Stack, service: Service, container: Container, seen: str, shown: str
) -> Iterator[Finding]:
    status, health, started, restarts = seen.split()
    well = status == "running" and health in ("healthy", "none")
    yield _healthy(
        stack, service, well, status if health == "none" else f"{status}, {health}", shown
    )
    if status in ("running", "restarting"):
        stays = status == "running" and started == (container.started or started)
        since = started[:19].replace("T", " ")
        yield Finding(
            f"{stack.name}/{service.name} does not restart",
            stays,
            f"up since {since} UTC" if stays else f"restarted at {since} UTC",
            _fix(stack, service),
            f"{shown}\njust before: started {container.started}; restarts so far: {restarts}",
            f"{stack.name}/{service.name}",
        )


def _healthy(stack: Stack, service: Service, ok: bool, seen: str, shown: str) -> Finding:
    name = f"{stack.name}/{service.name}"
    return Finding(f"{name} is healthy", ok, seen, _fix(stack, service), shown, name)


def _fix(stack: Stack, service: Service) -> str:
    logs = f"docker compose -p {stack.name} logs {service.name}"
    return f"read `{logs}`, then run tasks/stacks.py"


_ADDRESSES = "{{.Id}} {{.State.Status}} {{json .NetworkSettings.Networks}}"


def fence_probe(projects: Projects) -> Probe | None:
    """Return the probe that checks that running containers have the hardware addresses by which the
    fence knows them; None if no service is fenced in."""
    fenced = [container for _, service, container in _containers(projects) if service.egress]
    if not fenced:
        return None
    ids = [container.id for container in fenced if container]
    return Probe(
        "the fence knows our containers",
        'fmt=$1; shift; [ $# = 0 ] || docker inspect -f "$fmt" "$@" 2>&1',
        (_ADDRESSES, *ids),
        "run tasks/stacks.py",
        f"docker inspect -f '{_ADDRESSES}' CONTAINER",
        read=lambda probe, answer: _fence_findings(projects, probe, answer),
    )


def _fence_findings(projects: Projects, probe: Probe, answer: Answer) -> Iterator[Finding]:
    found: dict[str, dict[str, dict[str, str] | None]] = {}
    stopped = set()
    for line in answer.output.splitlines():
        identity, _, rest = line.partition(" ")
        status, _, networks = rest.partition(" ")
        if networks.startswith("{"):
            found[identity] = json.loads(networks)
        if status not in ("running", "paused"):
            stopped.add(identity)
    unknown = []
    for stack, service, container in _containers(projects):
        # Docker takes the addresses of a stopped container away.
        if not service.egress or container is None or container.id in stopped:
            continue
        ours = set(addresses(service.keys).values())
        joined = found.get(container.id) or {}
        other = [name for name, how in joined.items() if (how or {}).get("MacAddress") not in ours]
        if other or not joined:
            where = f" in {', '.join(other)}" if other else ""
            unknown.append(f"{stack.name}/{service.name}{where}")
    seen = f"another hardware address: {', '.join(unknown)}" if unknown else "each by its address"
    yield probe.finding(not unknown, seen, answer)


def image_findings(projects: Projects) -> Iterator[Finding]:
    """Yield whether each container was created from exactly the image in its Compose file."""
    states = {stack.name: state for stack, state in projects}
    for stack, service, container in _containers(projects):
        if container is None:
            continue
        state, name = states[stack.name], f"{stack.name}/{service.name}"
        wanted = state.image_id(service.image)
        if not wanted:
            seen = f"{familiar(service.image)} is not on the machine"
        elif container.image != wanted:
            seen = f"an image other than {familiar(service.image)}"
        else:
            seen = _version(service, stack)
        digests = [
            reference
            for reference, image in sorted(state.images.items())
            if image == container.image and "@sha256:" in reference
        ]
        shown = [
            evidence(f"docker inspect -f '{{{{.Image}}}}' {container.id[:12]}", container.image),
            evidence(f"docker image inspect -f '{{{{.Id}}}}' {service.image}", wanted or "none"),
            *digests,
        ]
        yield Finding(
            f"{name} runs the pinned image",
            bool(wanted) and container.image == wanted,
            seen,
            "run tasks/stacks.py",
            "\n".join(shown),
            name,
        )


def _version(service: Service, stack: Stack) -> str:
    """Return the tag and digest of a service's image, or why it has no digest."""
    _, tag, digest = parts(service.image)
    here = service.image in {one.image for one in stack.built}
    without = "built here" if here else "no digest is pinned"
    return f"{tag or 'latest'}, {digest[:19] or without}"
