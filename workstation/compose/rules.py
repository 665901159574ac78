"""Rules for a stack's Compose file besides its schema, checked before the file is used.

Compose itself would find most problems too, but only on the host, in the middle of a run.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from workstation.compose import engine, fence, together
from workstation.compose.forms import is_true
from workstation.compose.ports import Port, published
from workstation.errors import named, nearest, shown
from workstation.stack import Service, Stack, StackError

# github.com/distribution/reference. A first part without dot and port is not a registry but a name
# on Docker Hub.
_IMAGE = re.compile(
    r"(?P<registry>(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:))(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_OWNER = re.compile(r"[a-z0-9_][a-z0-9_-]{0,31}(:[a-z0-9_][a-z0-9_-]{0,31})?( [0-7]{3,4})?")


def check(stack: Stack, place: str, files: Iterable[str] | None = None) -> None:
    """Raise StackError for the first rule that the stack's Compose file breaks.

    + place: its template, for the error
    + files: the stack's files, below its folder on the host; None: not known
    """
    for problem in _problems(stack, None if files is None else set(files)):
        raise StackError(f"{place}: {problem}.")


def _problems(stack: Stack, files: set[str] | None) -> Iterator[str]:
    """Yield each problem with its fix."""
    if not stack.services:
        yield "`services` is empty: describe at least one"
    if "include" in stack.keys:
        yield "`include` hides services from this project: write them into this file"
    names = {
        kind: set(stack.keys.get(kind) or {})
        for kind in ("networks", "volumes", "secrets", "configs", "models")
    }
    for service in stack.services:
        for problem in _service(service, stack, names, files):
            yield f"service {service.name}: {problem}"
    yield from _definitions(stack)
    yield from _same_ports(stack)
    yield from together.problems(stack)
    for disk in stack.disks:
        if not disk.startswith("/"):
            yield f"x-workstation.disks has {shown(disk)}: expected an absolute path"
    for secret in stack.secrets:
        if not _OWNER.fullmatch(secret.owner):
            yield f"the owner of secret {secret.setting} is {shown(secret.owner)}: {_OWNERS}"


def _definitions(stack: Stack) -> Iterator[str]:
    """Yield contradictions in configs and volumes (compose-go, validation)."""
    for name, keys in (stack.keys.get("configs") or {}).items():
        given = [one for one in ("file", "environment", "content", "external") if one in keys]
        if len(given) != 1:
            yield f"configs.{named(name)} needs exactly one of file, environment and content"
    for name, keys in (stack.keys.get("volumes") or {}).items():
        if keys and is_true(keys.get("external")) and (more := set(keys) - {"external", "name"}):
            yield f"volumes.{named(name)} is external, but has {named(min(more))}: remove it"


_OWNERS = "expected user:group, such as 999:1000"


def _service(
    service: Service, stack: Stack, names: Mapping[str, set[str]], files: set[str] | None
) -> Iterator[str]:
    keys = service.keys
    yield from _image(service, {one.image for one in stack.services if one.build})
    build = keys.get("build")
    for key in build if isinstance(build, dict) else ():
        if key != "context":
            yield f"`build` has {named(key)}, which is not supported: use the Dockerfile instead"
    if "extends" in keys:
        yield "`extends` hides keys from this project: write them here, or use a YAML anchor"
    for port in keys.get("ports") or ():
        if problem := port_problem(port):
            yield f"the port {shown(port)} is invalid: {problem}"
    yield from _mounts(service, names["volumes"])
    yield from engine.problems(service)
    yield from fence.problems(stack.name, service.name, service.egress, keys)
    for key, known in (
        ("networks", names["networks"] | {"default"}),
        ("secrets", names["secrets"]),
        ("configs", names["configs"]),
        ("models", names["models"]),
        ("depends_on", {one.name for one in stack.services}),
    ):
        for name in _named(keys.get(key)):
            if name not in known:
                hint = nearest(name, known)
                yield f"`{key}` names {named(name)}, which is not in this file{hint}"
    if files is not None:
        yield from _files(keys, files)
    yield from _own(service)


def _files(keys: Mapping[str, Any], files: set[str]) -> Iterator[str]:
    """Yield files that Compose would read in the stack, and that do not exist."""
    for key in ("env_file", "label_file"):
        given = keys.get(key) or ()
        for entry in [given] if isinstance(given, str) else given:
            path = entry if isinstance(entry, str) else entry["path"]
            if isinstance(entry, dict) and not is_true(entry.get("required", True)):
                continue
            name = posixpath.normpath(path)
            if not path.startswith(("/", "~")) and name not in files:
                hint = nearest(name, files)
                yield f"`{key}` names {named(path)}, which is not in the stack{hint}"


def _image(service: Service, built: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with an image.

    + built: the images that the stack builds, which any of its services may run
    """
    found = _IMAGE.fullmatch(service.image)
    image = shown(service.image)
    if not found:
        yield f"the image {image} is not a valid name of an image"
    elif service.image not in built and not found["registry"]:
        yield (
            f"the image {image} names no registry: write it like docker.io/library/redis:7.2, or "
            "pin it in pins.yml"
        )
    elif not found["digest"] and found["tag"] in (None, "latest"):
        yield f"the image {image} changes over time: give it a version tag"


_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


def port_problem(entry: Any) -> str:
    """Return the problem of an entry of ``ports:``, in either syntax, or an empty string."""
    if isinstance(entry, dict):
        address, host = entry.get("host_ip"), entry.get("published")
        container, protocol = entry.get("target"), entry.get("protocol")
    else:
        if isinstance(entry, bool) or not isinstance(entry, str | int):
            return "expected HOST:CONTAINER, in quotes"
        rest, slash, protocol = str(entry).partition("/")
        head, _, container = rest.rpartition(":")
        address, _, host = head.rpartition(":")
        address = address or None
        if (slash and not protocol) or (":" in rest and not address and not host):
            return "expected HOST:CONTAINER, with nothing left out"
        protocol, host = protocol or None, host or None
    if protocol not in (None, "tcp", "udp", "sctp"):
        return f"{shown(protocol)} is not tcp, udp or sctp"
    if address is not None:
        try:
            ipaddress.ip_address(str(address).strip("[]"))
        except ValueError:
            return f"{shown(address)} is not an IP address"
    counts = []
    for number in (container, host):
        if number is None and number is not container:
            continue
        found = _RANGE.fullmatch(str(number)) if type(number) in (int, str) else None
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= 65535:
            return f"{shown(number)} is not a number from 1 to 65535"
        counts.append(last - first)
    # With several host ports for one container port, Docker uses the first free one.
    if len(counts) == 2 and counts[0] and counts[0] != counts[1]:
        return "the two ranges have different lengths"
    return ""


def _same_ports(stack: Stack) -> Iterator[str]:
    """Yield host ports that two services publish; the second service would not start."""
    taken: dict[int, list[tuple[Port, str]]] = defaultdict(list)
    for service in stack.running:
        for port in published(service):
            for other, name in taken[port.number]:
                if "*" in (port.address, other.address) or port.address == other.address:
                    yield (
                        f"port {port.number} is published by both {name} and {service.name}: "
                        "change one"
                    )
            taken[port.number].append((port, service.name))


def _mounts(service: Service, volumes: set[str]) -> Iterator[str]:
    tmpfs = service.keys.get("tmpfs") or ()
    targets = [one.partition(":")[0] for one in ([tmpfs] if isinstance(tmpfs, str) else tmpfs)]
    yield from _targets([*targets, *(mount.target for mount in service.mounts)])
    for mount in service.mounts:
        if mount.kind == "bind" and (not mount.source or "/~" in mount.source):
            yield f"the mount at {mount.target} has no host folder: write its full path"
        if mount.kind == "tmpfs" and mount.source:
            yield f"the tmpfs at {mount.target} has a `source`: remove it"
        if mount.kind == "volume" and mount.source and mount.source not in volumes:
            yield (
                f"the volume {named(mount.source)} is not in this file"
                f"{nearest(mount.source, volumes)}: add it under `volumes:`"
            )


def _targets(targets: Iterable[str]) -> Iterator[str]:
    """Yield targets of mounts that the Engine refuses; it compares them without needless slashes
    and dots."""
    seen = set()
    for target in targets:
        path = posixpath.normpath(target)
        if not target.startswith("/"):
            yield f"a mount has the target {shown(target)}: expected an absolute path"
        elif path == "/":
            yield f"a mount has the target {shown(target)}: expected a folder below it"
        if path in seen:
            yield f"two mounts have the target {path}: keep one of them"
        seen.add(path)


def _named(value: Any) -> Iterator[str]:
    """Yield the names in a mapping or in a list, whose entries may be mappings with ``source``."""
    for entry in value or ():
        yield entry["source"] if isinstance(entry, dict) else entry


def _own(service: Service) -> Iterator[str]:
    """Yield problems in ``x-workstation``."""
    for key, path in (
        ("probe", service.probe),
        ("websocket", service.websocket),
        ("setup.path", service.setup.get("path", "")),
    ):
        if path and not re.fullmatch(r"/[!-~]*", path):
            yield f"x-workstation.{key} is {shown(path)}: expected a path such as /health"
    sources = [mount.source for mount in service.mounts if mount.source]
    for key, named_sources in (("owners", service.owners), ("holds", service.holds)):
        for source in named_sources:
            if source not in sources:
                hint = nearest(source, sources)
                yield f"x-workstation.{key} has {named(source)}, which is not mounted{hint}"
    for source, owner in service.owners.items():
        if not _OWNER.fullmatch(owner):
            yield f"the owner of {source} is {shown(owner)}: {_OWNERS}, or 999:1000 750"
