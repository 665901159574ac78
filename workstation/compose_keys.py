"""Keys of a Compose file (docs.docker.com/reference/compose-file), each in the form that it has.

The forms raise ValueError, which says what stands there instead.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Any

from workstation.errors import named, nearest, shown

OWN_KEYS = frozenset(
    {
        *("owners", "probe", "websocket", "registers", "model", "needs_gpu", "first_start", "log"),
        *("holds", "image_healthcheck"),
    }
)
"""Keys of a service's ``x-workstation``; a misspelt one is refused, since what it asks for would
not be done."""


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A mapping with names, or nothing."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {shown(value)}, not a mapping")
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"{what} has the key {shown(key)}, which is no text: put it in quotes")
    return value


def entries(value: Any, what: str) -> list[Any]:
    """A list, or nothing; text would be taken for its letters."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{what} is {shown(value)}, not a list")
    return value


def text_of(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} is {shown(value)}, not text: put it in quotes")
    return value


def texts(value: Any, what: str) -> tuple[str, ...]:
    return tuple(text_of(entry, f"an entry of {what}") for entry in entries(value, what))


def text_mapping(value: Any, what: str) -> dict[str, str]:
    return {name: text_of(entry, f"{what}.{name}") for name, entry in mapping(value, what).items()}


def own_keys(value: Any, known: Iterable[str]) -> dict[str, Any]:
    """What an ``x-workstation`` says, in which every key is known."""
    own = mapping(value, "x-workstation")
    for key in own:
        if key not in known:
            raise ValueError(
                f"x-workstation has {named(key)}, which is not known{nearest(key, known)}"
            )
    return own


def absolute(path: str, folder: str) -> str:
    return posixpath.normpath(posixpath.join(folder, path))


def has_gpu(keys: dict[str, Any]) -> bool:
    resources = (keys.get("deploy") or {}).get("resources") or {}
    reservations = (resources.get("reservations") or {}).get("devices") or []
    devices = [str(device) for device in keys.get("devices") or []]
    return bool(
        any("gpu" in (device.get("capabilities") or []) for device in reservations)
        or any(device.startswith("nvidia.com/gpu") for device in devices)
        or keys.get("gpus")
    )


def routed_host(labels: dict[str, Any] | list[str]) -> str:
    """Return the first host name of the first router in the labels of a service."""
    if isinstance(labels, list):
        labels = dict(label.partition("=")[::2] for label in labels)
    if str(labels.get("traefik.enable", "")).lower() != "true":
        return ""
    for label, value in labels.items():
        if re.fullmatch(r"traefik\.http\.routers\.[^.]+\.rule", label):
            match = re.search(r"Host\(`([^`]+)`\)", str(value))
            if match:
                return match[1]
    return ""
