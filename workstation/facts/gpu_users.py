"""Containers that lose the GPU at ``systemctl daemon-reload`` because systemd does not know that
they have it.

NVIDIA's hook (``docker run --gpus``, the runtime ``nvidia`` in its legacy mode) gives a container
devices behind systemd's back. At each daemon-reload, including those of apt, systemd resets the
container's device filter to the devices it knows. It does know devices from the OCI specification
(CDI, ``--device``).

Sources: NVIDIA/nvidia-container-toolkit#48, opencontainers/runc#3708; systemd.resource-control(5),
DeviceAllow= and DevicePolicy=. Tried with systemd 262, Docker 28.5 and another device.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question

_CONTAINER = (
    "container [{{json .Id}},{{json .Name}},{{json .HostConfig.Runtime}},"
    "{{json .HostConfig.DeviceRequests}},["
    '{{range .Config.Env}}{{if eq (index (split . "=") 0) "NVIDIA_VISIBLE_DEVICES"}}'
    '{{json (index (split . "=") 1)}},{{end}}{{end}}""]]'
)

_NVIDIAS = re.compile(r"/dev/nvidia.*|/dev/char/195:.*|char-(195|nvidia.*)")
_NONE = ("void", "none")


@dataclass(frozen=True)
class GpuUser:
    """A container whose GPU systemd would revoke. ``scope``: its unit; ``devices``: those unknown
    to systemd, none if they cannot be seen; ``docker``: whether it is a Docker container.
    """

    name: str
    scope: str
    devices: tuple[str, ...] = ()
    docker: bool = True

    @property
    def kept(self) -> bool:
        """Whether a run can register its devices with systemd."""
        return self.docker and bool(self.devices)


class GpuUsers(Fact[list[GpuUser]]):
    """Returns the running containers that would lose the GPU, whoever started them."""

    def command(self) -> StringCommand:
        return question(scripts.text("gpu_users/gpu_users.sh"), _CONTAINER)

    def read(self, lines: list[str]) -> list[GpuUser]:
        # Other facts report a Docker that does not answer: Engine, Daemon.
        pairs = [line.partition(" ")[::2] for line in lines]
        names, asking = {}, set()
        for word, rest in pairs:
            if word == "container":
                identity, name, runtime, requests, visible = json.loads(rest)
                scope = f"docker-{identity}.scope"
                names[scope] = name.removeprefix("/")
                if _asks(runtime, requests, visible):
                    asking.add(scope)
        mounts = [rest.split(" ") for word, rest in pairs if word == "mount"]
        numbers = dict(rest.split(" ") for word, rest in pairs if word == "number")
        units = [rest.partition(" ")[::2] for word, rest in pairs if word == "unit"]
        return sorted(
            _losing(names, asking, mounts, numbers, units), key=lambda one: (one.name, one.scope)
        )


def _asks(runtime: str, requests: Sequence[dict[str, Any]] | None, visible: list[str]) -> bool:
    """Return whether the hook gave a container the GPU. Requests of the driver ``cdi`` are in the
    specification instead, and ``NVIDIA_VISIBLE_DEVICES=void`` requests none."""
    if "nvidia" in runtime and visible[0] not in ("", *_NONE):
        return True
    return any(
        one.get("Driver") == "nvidia"
        or (not one.get("Driver") and any("gpu" in all_of for all_of in one["Capabilities"] or ()))
        for one in requests or ()
    )


def _losing(
    names: dict[str, str],
    asking: set[str],
    mounts: Iterable[Sequence[str]],
    numbers: dict[str, str],
    units: Sequence[tuple[str, str]],
) -> Iterator[GpuUser]:
    mounted: dict[str, list[str]] = {}
    for scope, device in mounts:
        mounted.setdefault(scope, []).append(device)
    for scope in {*asking, *mounted}:
        properties = [said for unit, said in units if unit == scope]
        # Any other policy lets the container use every device it has.
        if "DevicePolicy=strict" not in properties:
            continue
        allowed = {
            said.removeprefix("DeviceAllow=").partition(" ")[0]
            for said in properties
            if said.startswith("DeviceAllow=")
        }
        seen = mounted.get(scope, [])
        unknown = [one for one in seen if not _known(one, numbers.get(one, ""), allowed)]
        if unknown or (not seen and not any(map(_NVIDIAS.fullmatch, allowed))):
            name = names.get(scope, scope)
            yield GpuUser(name, scope, tuple(sorted(unknown)), scope.startswith("docker-"))


def _known(device: str, number: str, allowed: set[str]) -> bool:
    """Return whether systemd knows a device by its path, its number, or its driver's name."""
    if {device, f"/dev/char/{number}", f"char-{number.partition(':')[0]}"} & allowed:
        return True
    kind = "nvidia-uvm" if "uvm" in device else "nvidia"
    return bool({f"char-{kind}", "char-nvidia-frontend" if kind == "nvidia" else ""} & allowed)
