"""What a service's keys in a Compose file mean (docs.docker.com/reference/compose-file)."""

from __future__ import annotations

import posixpath
from typing import Any


def absolute(path: str, folder: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def has_gpu(keys: dict[str, Any]) -> bool:
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
