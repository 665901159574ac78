"""Merging settings into somebody's ``/etc/docker/daemon.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workstation.errors import UserError


class DaemonJsonError(UserError):
    """The file on the host cannot be merged into; the message says why."""


def merge(
    current: bytes | None, wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> bytes:
    """Return the content of ``daemon.json`` with ``wanted`` merged in, key by key.

    Objects are merged recursively, lists gain the entries they lack, other values are set.
    Keys that are not in ``wanted`` stay as they are. The very same bytes come back if nothing
    is to change, so that a second run finds nothing to do.

    + defaults: keys and values for which what is there already wins; a logging driver's
      ``log-opts`` only go with that driver

    Raises DaemonJsonError if ``current`` is not a JSON object.
    """
    existing = _parse(current)
    extra = dict(defaults or {})
    if existing.get("log-driver", extra.get("log-driver")) != extra.get("log-driver"):
        extra.pop("log-opts", None)
    merged = _merge(_merge(extra, existing), wanted)
    if current is not None and merged == existing:
        return current
    return (json.dumps(merged, indent=2) + "\n").encode()


def _parse(current: bytes | None) -> dict[str, Any]:
    if current is None or not current.strip():
        return {}
    try:
        parsed = json.loads(current)
    except ValueError as error:
        raise DaemonJsonError(f"it is not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise DaemonJsonError("it is not a JSON object")
    return parsed


def _merge(existing: Any, wanted: Any) -> Any:
    if isinstance(existing, dict) and isinstance(wanted, Mapping):
        return {**existing} | {
            key: _merge(existing.get(key), value) for key, value in wanted.items()
        }
    if isinstance(existing, list) and isinstance(wanted, list):
        return existing + [entry for entry in wanted if entry not in existing]
    return wanted
