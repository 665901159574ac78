"""A stack, read from its rendered Compose file: the only definition of what runs.

Everything else that a run makes or checks (folders, images to build, routes, GPUs, outputs) is
derived here. ``x-workstation`` contains what Compose cannot express: ``compose.x_workstation``
defines its keys. A secret at the top level of the file is ``./secrets/<setting>``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workstation import yaml_file
from workstation.compose import schema as compose_schema
from workstation.compose.forms import is_true
from workstation.compose.keys import absolute, has_gpu
from workstation.errors import UserError, named
from workstation.quoting import interpolated
from workstation.system_folders import holds_system
from workstation.traefik.labels import routed_host
from workstation.worker import Worker
from workstation.yaml_file import ComposeLoader, YamlFileError

BUILD = "build"
"""The profile of services that a run only builds, as a base for the images of others."""


class StackError(UserError):
    """A stack's Compose file or templates are invalid; the message says where and why."""

    id = "compose-file-invalid"


@dataclass(frozen=True)
class Mount:
    """A mount of a service: ``source`` is a host path for a bind mount, a name for a volume."""

    kind: str
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Model:
    """A model that a service loads: ``path`` on the host, ``inside`` the container; ``format`` is
    ``gguf`` or ``pytorch`` (a file), ``safetensors`` or ``diffusers`` (a folder); ``setting`` is
    its entry in the stack's data."""

    path: str
    inside: str
    format: str
    setting: str


@dataclass(frozen=True)
class Check:
    """The command with which a service checks itself, and the seconds that it may take."""

    command: tuple[str, ...]
    timeout: int


@dataclass(frozen=True)
class Secret:
    """A secret of a stack: its setting, and its file on the host with the owner."""

    setting: str
    path: str
    owner: str = "root:root"


@dataclass(frozen=True)
class Service:
    """One entry of ``services:``; ``host`` is the host name that the proxy routes to it."""

    name: str
    image: str
    build: str | None = None
    profiles: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    gpu: bool = False
    host: str = ""
    ports: tuple[str, ...] = ()
    probe: str = "/"
    websocket: str = ""
    open: str = ""
    loopback: int = 0
    setup: dict[str, str] = field(default_factory=dict)
    registers: str = ""
    models: tuple[Model, ...] = ()
    check: Check | None = None
    needs_gpu: str = ""
    gpu_memory: float = 0.0
    secrets: tuple[str, ...] = ()
    owners: dict[str, str] = field(default_factory=dict)
    first_start: str = ""
    says: str = ""
    troubles: dict[str, str] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    image_gb: float = 0.0
    on_blackwell: dict[str, str] = field(default_factory=dict)
    egress: str = ""
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether a run starts it: services with a profile are only built, or started by hand."""
        return not self.profiles

    @property
    def wanted(self) -> bool:
        """Whether a run gets its image: it runs, or its profile says that it is only built. A
        person starts any other service, with ``docker compose --profile``."""
        return self.runs or BUILD in self.profiles

    @property
    def start_period(self) -> int:
        """Seconds to start before failed health checks count."""
        return seconds((self.keys.get("healthcheck") or {}).get("start_period") or 0)


@dataclass(frozen=True)
class Stack:
    """One Compose project."""

    name: str
    services: tuple[Service, ...]
    external_networks: tuple[str, ...]
    secrets: tuple[Secret, ...] = ()
    disks: tuple[str, ...] = ()
    worker: Worker | None = None
    keys: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def own_networks(self) -> tuple[str, ...]:
        """The networks that Compose creates for it, as Docker names them."""
        networks = {"default": None, **(self.keys.get("networks") or {})}
        return tuple(
            (keys or {}).get("name", f"{self.name}_{name}")
            for name, keys in networks.items()
            if not is_true((keys or {}).get("external"))
        )

    @property
    def running(self) -> tuple[Service, ...]:
        """The services that ``up`` starts."""
        return tuple(service for service in self.services if service.runs)

    @property
    def registering(self) -> tuple[Service, ...]:
        """The running services in which models are registered."""
        return tuple(service for service in self.running if service.registers)

    @property
    def wanted(self) -> tuple[Service, ...]:
        """The services whose images a run gets: those that run or are only built, and those that
        build an image for one of them."""
        images = {service.image for service in self.services if service.wanted}
        return tuple(
            service
            for service in self.services
            if service.wanted or (service.build and service.image in images)
        )

    @property
    def built(self) -> tuple[Service, ...]:
        """The services whose images a run builds."""
        return tuple(service for service in self.wanted if service.build)

    @property
    def required_secrets(self) -> tuple[Secret, ...]:
        """The secrets that must be set: all except those of services that only a person starts."""
        by_hand = {name for one in self.services if not one.runs for name in one.secrets}
        read = {name for one in self.running for name in one.secrets}
        return tuple(one for one in self.secrets if one.setting not in by_hand - read)

    def binds(self) -> tuple[Mount, ...]:
        """Return every bind mount of every running service."""
        return tuple(
            mount for service in self.running for mount in service.mounts if mount.kind == "bind"
        )

    def uses(self, parent: str) -> bool:
        """Return whether a running service mounts ``parent`` or something below it."""
        return any(is_below(mount.source, parent) for mount in self.binds())

    def losses(self) -> dict[str, str]:
        """Return the data of running services that exist only on this machine: source of each
        writable bind mount, and name of each volume -> its description in ``x-workstation``, or an
        empty string."""
        return {
            mount.source: service.holds.get(mount.source, "")
            for service in self.running
            for mount in service.mounts
            if mount.source and not mount.read_only and not holds_system(mount.source)
        }


def data_key(stack: str) -> str:
    """Return the name of a stack's data in ``group_data/<stack>.py``: Python names have no dash."""
    return stack.replace("-", "_")


def is_below(path: str, parent: str) -> bool:
    """Return whether ``path`` is ``parent`` or below it."""
    return path == parent or path.startswith(parent.rstrip("/") + "/")


_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def seconds(duration: str | int) -> int:
    """Return a duration in Compose's form (``1h30m``, ``90s``, ``0``) in whole seconds.

    Source: docs.docker.com/reference/compose-file/extension, "Specifying durations".
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|[smhdw])", str(duration))
    return round(sum(float(number) * _UNITS[unit] for number, unit in parts))


def parse(
    text: str,
    folder: str = "",
    place: str = "",
    variables: Mapping[str, str] | None = None,
    template: str = "",
) -> Stack:
    """Return the stack that a rendered Compose file describes.

    + text: content of ``compose.yaml``
    + folder: its folder on the host, where relative bind mounts start
    + place: its template, for errors
    + variables: those in the stack's own ``.env``, which Compose inserts; None: not known
    + template: text of the template, for the lines in errors

    Raises StackError if it is not YAML, has a duplicate key or a variable that is not set, lacks
    ``name``, ``services`` or a service's ``image``, or has anything that is not in
    ``workstation.compose.schema``.
    """
    place = place or f"{folder}/compose.yaml"
    template = template or text
    try:
        written = place if template == text else f"{place}, as rendered,"
        content, root = yaml_file.load(text, written, ComposeLoader)
    except YamlFileError as error:
        raise StackError(str(error), id=error.id) from None
    if not isinstance(content, dict) or not isinstance(content.get("services"), dict):
        raise StackError(f"{place} has no services: describe at least one.")
    if not isinstance(content.get("name"), str):
        raise StackError(f"{place} has no `name:` for the project: add `name: {{{{ project }}}}`.")
    seen: dict[str, Any] = {
        key: {
            name: _seen(keys, variables, f"Service {named(name)} in {place}")
            for name, keys in entry.items()
        }
        if key == "services"
        else _seen(entry, variables, place)
        for key, entry in content.items()
    }
    for path, problem in compose_schema.problems(seen):
        line = yaml_file.line_in(template, text, yaml_file.line_of(root, path))
        where = f"{place} line {line}" if line else place
        raise StackError(f"{where}: {_dotted(path)} {problem}.")
    return Stack(
        name=seen["name"],
        services=tuple(
            _service(name, keys, folder, place) for name, keys in seen["services"].items()
        ),
        external_networks=tuple(
            (keys or {}).get("name", name)
            for name, keys in (seen.get("networks") or {}).items()
            if is_true((keys or {}).get("external"))
        ),
        secrets=tuple(
            _secret(name, keys, folder, place) for name, keys in (seen.get("secrets") or {}).items()
        ),
        disks=tuple(_own(seen).get("disks") or ()),
        worker=_worker(seen["name"], _own(seen).get("worker") or {}, place),
        keys=seen,
    )


def _own(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``x-workstation``."""
    return keys.get("x-workstation") or {}


def _dotted(path: Sequence[str | int]) -> str:
    """Return a path of keys in a file as text: ``services.web.ports[0]``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{named(part)}" for part in path)
    return "".join(parts).removeprefix(".") or "it"


def _seen(value: Any, variables: Mapping[str, str] | None, what: str) -> Any:
    """Return a value as Compose sees it. Raises StackError, which begins with ``what``."""
    try:
        return interpolated(value, variables or {}, strict=variables is not None)
    except ValueError as error:
        raise StackError(
            f"{what} is invalid ({_one_line(error)}): see docs.docker.com/reference/compose-file."
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _worker(stack: str, keys: dict[str, Any], place: str) -> Worker | None:
    if not keys:
        return None
    if keys["repository"] and not keys["commit"]:
        raise StackError(
            f"{place} has a worker with a repository but no commit: set the commit to run, with "
            "all 40 digits of its ID.",
            id="worker-commit-missing",
        )
    environment = {name: str(value) for name, value in keys["environment"].items()}
    return Worker(stack, **{**keys, "timeout": int(keys["timeout"]), "environment": environment})


def _service(name: str, keys: dict[str, Any], folder: str, place: str) -> Service:
    if "image" not in keys:
        raise StackError(f"Service {name} in {place} has no `image:`: add it.")
    build = keys.get("build")
    if isinstance(build, dict):
        build = build.get("context", ".")
    own = _own(keys)
    mounts = tuple(_mount(entry, folder) for entry in keys.get("volumes") or ())
    registers = own.get("registers", "")
    if registers and registers not in [mount.target for mount in mounts]:
        raise StackError(
            f"Service {name} in {place} registers {named(registers)}, but mounts nothing there: "
            "use the target of its model store mount."
        )
    log = own.get("log") or {}
    return Service(
        name=name,
        image=keys["image"],
        build=absolute(build, folder) if build else None,
        profiles=tuple(keys.get("profiles") or ()),
        mounts=mounts,
        gpu=has_gpu(keys),
        host=routed_host(keys.get("labels") or {}),
        ports=tuple(str(port) for port in keys.get("ports") or ()),
        probe=own.get("probe", "/"),
        websocket=own.get("websocket", ""),
        open=own.get("open", ""),
        loopback=int(own.get("loopback") or 0),
        setup=own.get("setup") or {},
        registers=registers,
        models=tuple(_model(name, one, mounts, place) for one in own.get("models") or ()),
        check=_check(own.get("check") or {}),
        needs_gpu=own.get("needs_gpu", ""),
        gpu_memory=float(own.get("gpu_memory") or 0),
        secrets=tuple(
            secret["source"] if isinstance(secret, dict) else secret
            for secret in keys.get("secrets") or ()
        ),
        owners=own.get("owners") or {},
        first_start=own.get("first_start", ""),
        says=log.get("says", ""),
        troubles=log.get("troubles") or {},
        holds=own.get("holds") or {},
        image_gb=float(own.get("image_gb") or 0),
        on_blackwell=own.get("on_blackwell") or {},
        egress=own.get("egress", ""),
        keys=keys,
    )


def _secret(name: str, keys: dict[str, Any], folder: str, place: str) -> Secret:
    """Return a secret whose file a run writes; Compose's other kinds of secrets are rejected."""
    path = absolute(str(keys.get("file") or ""), folder)
    if path != f"{folder}/secrets/{name}":
        raise StackError(
            f"The secret {named(name)} in {place} has no `file: ./secrets/{named(name)}`, where a "
            "run writes the value of the setting with that name: add it."
        )
    return Secret(name, path, _own(keys).get("owner", "root:root"))


def _check(keys: dict[str, Any]) -> Check | None:
    return Check(tuple(keys["command"]), int(keys["timeout"])) if keys else None


def _model(name: str, keys: dict[str, Any], mounts: Iterable[Mount], place: str) -> Model:
    """Return a model that a service loads, with its path on the host as its mount says."""
    inside, setting = keys["path"], keys["setting"]
    for mount in mounts:
        if mount.kind == "bind" and is_below(inside, mount.target):
            path = posixpath.normpath(mount.source + inside.removeprefix(mount.target))
            return Model(path, inside, keys["format"], setting)
    raise StackError(
        f"Service {name} in {place} loads {named(inside)}, which is not in any folder that it "
        f"mounts from the host: correct {named(setting)}.",
        id="model-not-mounted",
    )


def _mount(entry: str | dict[str, Any], folder: str) -> Mount:
    """Return a mount in short or long syntax (docs.docker.com/reference/compose-file/services)."""
    if isinstance(entry, dict):
        kind, source = entry.get("type", "volume"), str(entry.get("source") or "")
        target, read_only = str(entry["target"]), is_true(entry.get("read_only"))
    else:
        source, _, rest = entry.partition(":")
        target, _, options = rest.partition(":")
        if not target:
            # A path alone is an anonymous volume.
            source, target = "", source
        kind = "bind" if source.startswith(("/", ".", "~")) else "volume"
        read_only = "ro" in options.split(",")
    if kind == "bind" and source:
        source = absolute(source, folder)
    return Mount(kind, source, target, read_only)
