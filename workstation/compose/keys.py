"""The meaning of a service's keys in a Compose file (docs.docker.com/reference/compose-file)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any


def absolute(path: str, folder: str) -> str:
    """Return a path as absolute; a relative one starts in the project's folder on the host."""
    return posixpath.normpath(posixpath.join(folder, path))


HOST_NAME = "host.docker.internal"
"""The name of the machine inside a container, if ``extra_hosts`` adds it."""


def reaches_host(keys: dict[str, Any]) -> bool:
    """Return whether a service has a name for the machine, where Ollama is."""
    return any(HOST_NAME in str(entry) for entry in keys.get("extra_hosts") or ())


def has_gpu(keys: dict[str, Any]) -> bool:
    """Return whether a service reserves a GPU, in any of Compose's ways."""
    resources = (keys.get("deploy") or {}).get("resources") or {}
    reservations = (resources.get("reservations") or {}).get("devices") or []
    devices = [
        str(device.get("source") if isinstance(device, dict) else device)
        for device in keys.get("devices") or []
    ]
    return bool(
        any("gpu" in (device.get("capabilities") or []) for device in reservations)
        or any(device.startswith("nvidia.com/gpu") for device in devices)
        or keys.get("gpus")
    )


def key_at(keys: Any, dotted: str) -> Any:
    """Return the value at nested keys, written with dots; None if there is none."""
    for key in dotted.split("."):
        keys = (keys or {}).get(key)
    return keys


def replicas(keys: Mapping[str, Any]) -> int:
    """Return the number of containers that Compose makes of a service."""
    return int(key_at(keys, "scale") or key_at(keys, "deploy.replicas") or 1)


def requested_devices(keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a service says of devices, in both places where it can."""
    gpus = keys.get("gpus")
    reserved = key_at(keys, "deploy.resources.reservations.devices") or []
    return [*reserved, *(gpus if isinstance(gpus, list) else [])]
