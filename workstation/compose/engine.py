"""What the Engine refuses when it creates or starts a container, although Compose accepts it.

Sources: moby 28, daemon/daemon_unix.go (verifyPlatformContainerResources), daemon/container.go,
runconfig/hostconfig_unix.go, daemon/logger and daemon/cdi.go; runc 1.2,
libcontainer/configs/validate; setrlimit(2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workstation.compose.forms import LEAST_MEMORY, in_bytes, words
from workstation.compose.keys import key_at, replicas, requested_devices
from workstation.errors import named, nearest, shown
from workstation.stack import Service
from workstation.traefik.labels import pairs

Keys = Mapping[str, Any]


def problems(service: Service) -> Iterator[str]:
    """Yield each problem of a service with its fix."""
    keys = service.keys
    for part in (
        *(_memory, _processors, _ulimits, _sysctls, _process, _joined, _replicas, _logging),
        _devices,
    ):
        yield from part(keys)


_LIMIT = ("mem_limit", "deploy.resources.limits.memory")
_RESERVATION = ("mem_reservation", "deploy.resources.reservations.memory")


def _memory(keys: Keys) -> Iterator[str]:
    for name in (*_LIMIT, *_RESERVATION):
        given = key_at(keys, name)
        if given is not None and 0 < in_bytes(given) < LEAST_MEMORY:
            yield f"`{name}` is {shown(given)}: Docker needs at least 6mb"
    limit = max(in_bytes(key_at(keys, name) or 0) for name in _LIMIT)
    if limit and max(in_bytes(key_at(keys, name) or 0) for name in _RESERVATION) > limit:
        yield "`mem_reservation` is more than `mem_limit`: reserve less"
    swap = keys.get("memswap_limit")
    if swap is None or swap == -1 or not in_bytes(swap):
        return
    if not limit:
        yield "`memswap_limit` needs a `mem_limit`, which it includes: add it"
    elif in_bytes(swap) < limit:
        yield "`memswap_limit` is less than `mem_limit`, which it includes: allow more"


def _processors(keys: Keys) -> Iterator[str]:
    for name in ("cpus", "deploy.resources.limits.cpus"):
        given = key_at(keys, name)
        if given is not None and 0 < float(given) < 0.01:
            yield f"`{name}` is {shown(given)}: Docker needs at least 0.01"
    period, quota = (int(keys.get(name) or 0) for name in ("cpu_period", "cpu_quota"))
    if period and not 1000 <= period <= 1_000_000:
        yield f"`cpu_period` is {period}: expected a number from 1000 to 1000000 (microseconds)"
    if 0 < quota < 1000:
        yield f"`cpu_quota` is {quota}: expected at least 1000 (microseconds)"
    for part in str(keys.get("cpuset") or "").split(","):
        first, _, last = part.partition("-")
        if last and int(first) > int(last):
            yield f"`cpuset` has {part}: put the lower number first"
    weight = key_at(keys, "blkio_config.weight")
    if weight and weight < 10:
        yield f"`blkio_config.weight` is {weight}: expected a number from 10 to 1000"


def _ulimits(keys: Keys) -> Iterator[str]:
    for name, limit in (keys.get("ulimits") or {}).items():
        if isinstance(limit, dict):
            # -1 is no limit.
            soft, hard = (int(limit[one]) % 2**64 for one in ("soft", "hard"))
            if soft > hard:
                yield f"`ulimits.{name}` has a soft limit above its hard limit: lower it"


# Those that each container has of its own (sysctl: runc's validator).
_OWN_SYSCTLS = re.compile(
    r"net\..+|fs\.mqueue\..+|kernel\.(domainname|msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni"
    r"|shm_rmid_forced)"
)


def _sysctls(keys: Keys) -> Iterator[str]:
    on_host = keys.get("network_mode") == "host"
    for name in pairs(keys.get("sysctls")):
        if not _OWN_SYSCTLS.fullmatch(name) or (on_host and name.startswith("net.")):
            yield (
                f"the sysctl {named(name)} is one of the whole machine, which a container cannot "
                "set: set it on the host"
            )


def _process(keys: Keys) -> Iterator[str]:
    folder = keys.get("working_dir")
    if folder and not folder.startswith("/"):
        yield f"`working_dir` is {shown(folder)}: expected an absolute path"
    user = keys.get("user") or "root"
    numbers = [int(one) for one in user.split(":") if re.fullmatch("[0-9]{1,99}", one)]
    if (
        not re.fullmatch(r"[^\s:-][^\s:]*(:[^\s:-][^\s:]*)?", user)
        or max(numbers, default=0) >= 2**31
    ):
        yield f"`user` is {shown(user)}: expected user or user:group, in names or numbers"


def _joined(keys: Keys) -> Iterator[str]:
    """Yield keys that belong to the other container if a service uses its network."""
    mode = str(keys.get("network_mode") or "")
    if mode.startswith(("service:", "container:")):
        for key in words("ports expose hostname dns extra_hosts links mac_address"):
            if keys.get(key):
                yield f"`{key}` cannot go with `network_mode: {mode}`: move it to that service"


def _replicas(keys: Keys) -> Iterator[str]:
    """Yield host ports that each of several containers would publish."""
    for entry in (keys.get("ports") or ()) if replicas(keys) > 1 else ():
        if isinstance(entry, dict):
            port = str(entry.get("published") or "")
        else:
            port = str(entry).partition("/")[0].rpartition(":")[0].rpartition(":")[2]
        if port.isdigit():
            yield f"there would be several, but only one container can publish port {port}"


_SHARED = words("mode max-buffer-size")
_LABELED = words("labels labels-regex env env-regex tag")
_ROTATED = words("max-size max-file compress")
_LOG_OPTIONS = {
    "json-file": (*_ROTATED, *_LABELED, *_SHARED),
    "local": (*_ROTATED, *_SHARED),
    "journald": (*_LABELED, *_SHARED),
}
# units.FromHumanSize of docker/go-units, above 0.
_LOG_SIZE = re.compile(r"(?=.*[1-9])[0-9]{1,18}(\.[0-9]{1,9})? ?[kmgtp]?i?b?", re.IGNORECASE)


def _logging(keys: Keys) -> Iterator[str]:
    logging = keys.get("logging") or {}
    known = _LOG_OPTIONS.get(logging.get("driver") or "", ())
    for name, given in (logging.get("options") or {}).items() if known else ():
        place = f"`logging.options.{named(name)}`"
        if name not in known:
            yield f"{place} is not an option of {logging['driver']}{nearest(name, known)}"
        elif name == "max-size" and not _LOG_SIZE.fullmatch(str(given)):
            yield f"{place} is {shown(given)}: expected a size such as 10m"
        elif name == "max-file" and not re.fullmatch(r"0*[1-9][0-9]{0,8}", str(given)):
            yield f"{place} is {shown(given)}: expected a number from 1"


# Container Device Interface, pkg/parser.
_CDI_NAME = re.compile(r"[\w.-]+/[\w.-]+=[\w.:-]+")


def _devices(keys: Keys) -> Iterator[str]:
    for device in requested_devices(keys):
        names = device.get("device_ids") or ()
        if device.get("driver") == "cdi" and not (names and all(map(_CDI_NAME.fullmatch, names))):
            yield "a device with the driver `cdi` needs `device_ids` such as nvidia.com/gpu=all"
