"""Combinations in a Compose file that are invalid although each part is valid.

Source: compose-go 2.9, loader and validation; each rule was verified with Compose 2.40, see
``tests/unit/test_compose_together.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from workstation.compose.keys import key_at, replicas, requested_devices
from workstation.errors import named, nearest, shown
from workstation.stack import BUILD, Service, Stack
from workstation.traefik.labels import pairs

_TWICE = (
    ("scale", "deploy.replicas"),
    ("cpus", "deploy.resources.limits.cpus"),
    ("mem_limit", "deploy.resources.limits.memory"),
    ("pids_limit", "deploy.resources.limits.pids"),
    ("mem_reservation", "deploy.resources.reservations.memory"),
)


def problems(stack: Stack) -> Iterator[str]:
    """Yield each problem with its fix."""
    known = {service.name: service for service in stack.services}
    needed = {service.name: list(_needed(service)) for service in stack.services}
    for service in stack.services:
        for problem in _of_one(service):
            yield f"service {service.name}: {problem}"
        for key, name in needed[service.name]:
            if name not in known:
                yield (
                    f"service {service.name}: `{key}` names {named(name)}, which is not in this "
                    f"file{nearest(name, known)}"
                )
            elif service.runs and not known[name].runs:
                yield (
                    f"service {service.name}: `{key}` names {name}, which does not run because it "
                    "has `profiles`"
                )
            elif lacking := _without(service, known[name]):
                yield (
                    f"service {service.name}: `{key}` names {name}, which lacks its profile "
                    f"{named(lacking)}, so `docker compose --profile {named(lacking)}` would fail: "
                    "add the profile there"
                )
    yield from _circles({name: [one for _, one in found] for name, found in needed.items()})
    yield from _same_names(stack)
    yield from _same_routers(stack)


def _without(service: Service, other: Service) -> str:
    """Return a profile with which a person starts ``service`` but not ``other``, which it needs; an
    empty string if there is none."""
    mine = [one for one in service.profiles if one != BUILD]
    return next((one for one in mine if not other.runs and one not in other.profiles), "")


def _needed(service: Service) -> Iterator[tuple[str, str]]:
    """Yield the services that one requires, each with the key that says so."""
    keys = service.keys
    given = keys.get("depends_on") or ()
    for name in given:
        how = given[name] if isinstance(given, dict) else {}
        if how.get("required", True):
            yield "depends_on", name
    for key in ("links", "volumes_from"):
        for entry in keys.get(key) or ():
            name = entry.partition(":")[0]
            if name != "container":
                yield key, name
    for key in ("network_mode", "ipc", "pid"):
        kind, _, name = str(keys.get(key) or "").partition(":")
        if kind == "service":
            yield key, name


def _of_one(service: Service) -> Iterator[str]:
    keys = service.keys
    if "network_mode" in keys and "networks" in keys:
        yield "it has both `network_mode` and `networks`: keep one of the two"
    for one, other in _TWICE:
        if key_at(keys, one) is not None and key_at(keys, other) is not None:
            yield f"it has both `{one}` and `{other}`: keep one of the two"
    number = replicas(keys)
    if "container_name" in keys and number > 1:
        yield f"`container_name` can name only one container, but there would be {number}"
    for device in requested_devices(keys):
        if "count" in device and "device_ids" in device:
            yield "devices have both `count` and `device_ids`: keep one of the two"


def _circles(needed: dict[str, list[str]]) -> Iterator[str]:
    """Yield the first circle of services that depend on each other."""
    done: set[str] = set()
    for first in needed:
        way: list[str] = []
        waiting = [(first, 0)]
        while waiting:
            name, depth = waiting.pop()
            way = way[:depth]
            if name in way:
                circle = " -> ".join([*way[way.index(name) :], name])
                yield f"services depend on each other: {circle}"
                return
            if name not in done:
                way.append(name)
                waiting += [(one, depth + 1) for one in needed.get(name, ())]
        done.update(way)


def _same_names(stack: Stack) -> Iterator[str]:
    """Yield container names that two services have."""
    taken: dict[str, str] = {}
    for service in stack.services:
        if name := service.keys.get("container_name"):
            if name in taken:
                yield f"`container_name` {name} is used by both {taken[name]} and {service.name}"
            taken[name] = service.name


def _same_routers(stack: Stack) -> Iterator[str]:
    """Yield routers that two services define differently, which Traefik drops."""
    taken: dict[str, tuple[str, str]] = {}
    for service in stack.running:
        labels = {name.lower(): value for name, value in pairs(service.keys.get("labels")).items()}
        if labels.get("traefik.enable", "").lower() not in ("true", "1", "t"):
            continue
        for label, value in labels.items():
            if not re.fullmatch(r"traefik\.(http|tcp)\.routers\.[^.]+\.rule", label):
                continue
            name, rule = taken.setdefault(label, (service.name, value))
            if name != service.name and rule != value:
                yield (
                    f"{label} is {shown(rule)} in {name} and {shown(value)} in {service.name}: "
                    "give one router another name, because names must be unique on the machine"
                )
