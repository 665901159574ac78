"""What a service's keys in a Compose file mean (docs.docker.com/reference/compose-file)."""

from __future__ import annotations

import posixpath
from typing import Any


def absolute(path: str, folder: str) -> str:
    """Return a path that starts in the project's folder on the host."""
    return posixpath.normpath(posixpath.join(folder, path))


HOST_NAME = "host.docker.internal"
"""The name by which a container knows its machine, where ``extra_hosts`` gives it that."""


def reaches_host(keys: dict[str, Any]) -> bool:
    """Whether a service knows the machine, where Ollama is, by a name."""
    return any(HOST_NAME in str(entry) for entry in keys.get("extra_hosts") or ())


def has_gpu(keys: dict[str, Any]) -> bool:
    """Whether a service reserves a GPU, in any of Compose's ways."""
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
