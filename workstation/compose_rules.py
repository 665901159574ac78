"""Rules for a stack's Compose file besides its form, checked before anything is made of it.

Compose itself would find most of it too, but only on the host, in the middle of a run.
"""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workstation.compose_keys import entries, mapping
from workstation.errors import named, nearest, shown
from workstation.preflight.ports import Port, published
from workstation.stack import Service, Stack, StackError

# All those of Compose 2.40 (github.com/compose-spec/compose-go, schema/compose-spec.json).
_TOP_KEYS = frozenset(
    {
        *("name", "version", "services", "networks", "volumes", "secrets", "configs", "include"),
        *("models", "x-workstation"),
    }
)
_SERVICE_KEYS = frozenset(
    re.findall(
        r"\S+",
        """
    annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs
    container_name cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime
    cpu_shares cpus cpuset credential_spec depends_on deploy develop device_cgroup_rules devices dns
    dns_opt dns_search domainname entrypoint env_file environment expose extends
    external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation labels
    label_file links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit
    models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports
    post_start pre_stop privileged profiles provider pull_policy pull_refresh_after read_only
    restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal
    storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from
    working_dir x-workstation
    """,
    )
)
_FURTHER_KEYS = {
    "a mount": frozenset(
        {"type", "source", "target", "read_only", "bind", "volume", "tmpfs", "image", "consistency"}
    ),
    "`deploy`": frozenset(
        {
            *("mode", "replicas", "endpoint_mode", "labels", "resources", "placement"),
            *("restart_policy", "rollback_config", "update_config"),
        }
    ),
    "networks": frozenset(
        {
            *("name", "driver", "driver_opts", "attachable", "enable_ipv4", "enable_ipv6"),
            *("external", "ipam", "internal", "labels"),
        }
    ),
    "volumes": frozenset({"name", "driver", "driver_opts", "external", "labels"}),
    "secrets": frozenset(
        {
            *("file", "environment", "external", "name", "labels", "driver", "driver_opts"),
            *("template_driver", "x-workstation"),
        }
    ),
}
_LISTS = (
    *(
        "cap_add",
        "cap_drop",
        "configs",
        "device_cgroup_rules",
        "devices",
        "expose",
        "external_links",
    ),
    *("group_add", "links", "ports", "profiles", "secrets", "security_opt", "volumes"),
    "volumes_from",
)
_DURATIONS = ("interval", "timeout", "start_period", "start_interval")

# github.com/distribution/reference. A first part without dot and port is no registry but a name on
# Docker Hub.
_IMAGE = re.compile(
    r"(?P<registry>(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:))(?::[0-9]{1,5})?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)
_OWNER = re.compile(r"[a-z0-9_][a-z0-9_-]{0,31}(:[a-z0-9_][a-z0-9_-]{0,31})?( [0-7]{3,4})?")


def check(stack: Stack, place: str) -> None:
    """Raise StackError for the first rule that the stack's Compose file breaks.

    + place: of its template
    """
    for problem in _problems(stack):
        raise StackError(f"{place}: {problem}.")


def _problems(stack: Stack) -> Iterator[str]:
    """Yield what is wrong, each with what to do."""
    try:
        yield from _unknown("the file", stack.keys, _TOP_KEYS)
        if not stack.services:
            yield "`services` is empty: describe one at least"
        if "include" in stack.keys:
            yield "`include` hides services from this project: write them into this file"
        found = {
            kind: mapping(stack.keys.get(kind), kind)
            for kind in ("networks", "volumes", "secrets", "configs")
        }
        names = {kind: set(entry) for kind, entry in found.items()}
        for kind in ("networks", "volumes", "secrets"):
            for name, keys in found[kind].items():
                what = f"{kind}.{named(name)}"
                yield from _unknown(what, mapping(keys, what), _FURTHER_KEYS[kind])
        for service in stack.services:
            if not re.fullmatch(r"[A-Za-z0-9._-]+", service.name):
                yield (
                    f"a service is called {shown(service.name)}: use letters, digits, dots, dashes "
                    "and underscores"
                )
            for problem in _service(service, stack, names):
                yield f"service {service.name}: {problem}"
        yield from _same_ports(stack)
        for disk in stack.disks:
            if not disk.startswith("/"):
                yield f"x-workstation.disks has {shown(disk)}: expected an absolute path"
        for secret in stack.secrets:
            if not _OWNER.fullmatch(secret.owner):
                yield f"the owner of secret {secret.setting} is {shown(secret.owner)}: {_OWNERS}"
    except ValueError as error:
        yield str(error)


_OWNERS = "expected user:group, such as 999:1000"


def _unknown(what: str, keys: Iterable[str], known: frozenset[str]) -> Iterator[str]:
    """Yield keys that Compose does not have, and extensions (``x-``) that are nearly ours."""
    for key in keys:
        if key in known:
            continue
        own = key.startswith("x-")
        hint = nearest(key, {"x-workstation"} if own else known, 0.8 if own else 0.6)
        if hint or not own:
            yield f"{what} has the key {named(key)}, which Compose does not know{hint}"


def _service(service: Service, stack: Stack, names: Mapping[str, set[str]]) -> Iterator[str]:
    keys = service.keys
    yield from _unknown("it", keys, _SERVICE_KEYS)
    for key in _LISTS:
        entries(keys.get(key), f"`{key}`")
    yield from _image(service)
    build = keys.get("build")
    for key in build if isinstance(build, dict) else ():
        if key != "context":
            yield f"`build` has {named(key)}, which is not done here: say it in the Dockerfile"
    for port in entries(keys.get("ports"), "`ports`"):
        if problem := port_problem(port):
            yield f"the port {shown(port)} cannot be used: {problem}"
    yield from _mounts(service, names["volumes"])
    deploy = mapping(keys.get("deploy"), "`deploy`")
    yield from _unknown("`deploy`", deploy, _FURTHER_KEYS["`deploy`"])
    for key, known in (
        ("networks", names["networks"] | {"default"}),
        ("secrets", names["secrets"]),
        ("configs", names["configs"]),
        ("depends_on", {one.name for one in stack.services}),
    ):
        for name in _named(keys.get(key), key):
            if name not in known:
                yield f"`{key}` has {named(name)}, which is not in this file{nearest(name, known)}"
    yield from _health(keys)
    if str(keys.get("restart", "no")).partition(":")[0] not in (
        *("no", "always", "on-failure", "unless-stopped", "False"),
    ):
        yield f"`restart` is {shown(keys['restart'])}: expected unless-stopped, always or no"
    yield from _own(service)


def _image(service: Service) -> Iterator[str]:
    found = _IMAGE.fullmatch(service.image)
    image = shown(service.image)
    if not found:
        yield f"the image {image} has no name that a registry takes"
    elif not service.build and not found["registry"]:
        yield (
            f"the image {image} names no registry: write it as docker.io/library/redis:7.2, or pin "
            "it in pins.yml"
        )
    elif not found["digest"] and found["tag"] in (None, "latest"):
        yield f"the image {image} is another one tomorrow: give it the tag of a version"


_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


def port_problem(entry: Any) -> str:
    """Return what is wrong with an entry of ``ports:``, in either syntax; empty if nothing is."""
    if isinstance(entry, dict):
        for key in entry:
            if key not in (
                "target",
                "published",
                "host_ip",
                "protocol",
                "mode",
                "name",
                "app_protocol",
            ):
                return f"it has {named(key)}, which Compose does not know"
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
        return f"{shown(protocol)} is no protocol of tcp, udp and sctp"
    if address is not None:
        try:
            ipaddress.ip_address(str(address).strip("[]"))
        except ValueError:
            return f"{shown(address)} is no address"
    counts = []
    for number in (container, host):
        if number is None and number is not container:
            continue
        found = _RANGE.fullmatch(str(number)) if type(number) in (int, str) else None
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= 65535:
            return f"{shown(number)} is no number from 1 to 65535"
        counts.append(last - first)
    # More ports of the host than of the container: Docker takes the first that is free.
    if len(counts) == 2 and counts[0] and counts[0] != counts[1]:
        return "the two ranges have different lengths"
    return ""


def _same_ports(stack: Stack) -> Iterator[str]:
    """Yield a port of the host that two services would have; the second would not start."""
    taken: dict[int, list[tuple[Port, str]]] = defaultdict(list)
    for service in stack.running:
        for port in published(service):
            for other, name in taken[port.number]:
                if "*" in (port.address, other.address) or port.address == other.address:
                    yield f"port {port.number} is that of {name} and of {service.name}: change one"
            taken[port.number].append((port, service.name))


def _mounts(service: Service, volumes: set[str]) -> Iterator[str]:
    seen: set[str] = set()
    for entry in entries(service.keys.get("volumes"), "`volumes`"):
        if isinstance(entry, dict):
            yield from _unknown("a mount", mapping(entry, "a mount"), _FURTHER_KEYS["a mount"])
            if entry.get("type") == "bind" and not entry.get("source"):
                yield "a mount of the type bind has no `source`: name a folder of the host"
    for mount in service.mounts:
        if mount.kind not in ("bind", "volume", "tmpfs", "npipe", "cluster", "image"):
            yield f"a mount has the type {shown(mount.kind)}: expected bind, volume or tmpfs"
        if not mount.target.startswith("/"):
            yield f"a mount has the target {shown(mount.target)}: expected an absolute path"
        if mount.target in seen:
            yield f"two mounts have the target {mount.target}: keep one of them"
        seen.add(mount.target)
        if mount.kind == "bind" and (not mount.source or "/~" in mount.source):
            yield f"the mount of {mount.target} has no folder of the host: write its whole path"
        if mount.kind == "volume" and mount.source and mount.source not in volumes:
            yield (
                f"the volume {named(mount.source)} is not in this file"
                f"{nearest(mount.source, volumes)}: add it below `volumes:`"
            )


def _named(value: Any, what: str) -> Iterator[str]:
    """Yield the names in a list, of mappings with a ``source`` perhaps, or of a mapping."""
    if isinstance(value, dict):
        yield from map(str, value)
        return
    for entry in entries(value, f"`{what}`"):
        yield str(entry.get("source") if isinstance(entry, dict) else entry)


def _health(keys: Mapping[str, Any]) -> Iterator[str]:
    check = mapping(keys.get("healthcheck"), "`healthcheck`")
    yield from _unknown(
        "healthcheck", check, frozenset({*_DURATIONS, "test", "retries", "disable"})
    )
    durations = {f"healthcheck.{key}": check.get(key) for key in _DURATIONS}
    durations["stop_grace_period"] = keys.get("stop_grace_period")
    for key, value in durations.items():
        if value is not None and not re.fullmatch(
            r"0|([0-9]{1,9}(\.[0-9]{1,9})?(us|ms|s|m|h))+", str(value)
        ):
            yield f"`{key}` is {shown(value)}: expected a duration such as 1m30s"


def _own(service: Service) -> Iterator[str]:
    """Yield what is wrong in ``x-workstation``."""
    for key, path in (("probe", service.probe), ("websocket", service.websocket)):
        if path and not re.fullmatch(r"/[!-~]*", path):
            yield f"x-workstation.{key} is {shown(path)}: expected a path such as /health"
    sources = [mount.source for mount in service.mounts if mount.source]
    for key, named_sources in (("owners", service.owners), ("holds", service.holds)):
        for source in named_sources:
            if source not in sources:
                hint = nearest(source, sources)
                yield f"x-workstation.{key} has {named(source)}, which it does not mount{hint}"
    for source, owner in service.owners.items():
        if not _OWNER.fullmatch(owner):
            yield f"the owner of {source} is {shown(owner)}: {_OWNERS}, or 999:1000 750"
