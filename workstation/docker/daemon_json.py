"""Merging settings into somebody's ``daemon.json``."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from typing import Any

from workstation.errors import UserError

PATH = "/etc/docker/daemon.json"
"""Where it is, unless the Engine's command line names another."""

DATA_ROOT = "/var/lib/docker"
"""Where images and containers are, unless it says otherwise."""


class DaemonJsonError(UserError):
    """The file on the host cannot be merged into; the message says why."""


def merge(
    current: bytes | None, wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> bytes:
    """Return the content of ``daemon.json`` with ``wanted`` merged in, key by key.

    Objects are merged recursively, lists gain the entries they lack, other values are set.
    Keys that are not in ``wanted`` stay as they are, and so do runtimes that have a name of ours.
    The very same bytes come back if nothing is to change, so that a second run finds nothing to do.

    + defaults: keys and values for which what is there already wins; a logging driver's
      ``log-opts`` only go with that driver

    Raises DaemonJsonError if ``current`` is not a JSON object, or Docker would read it otherwise.
    """
    existing = read(current)
    extra = dict(defaults or {})
    if existing.get("log-driver", extra.get("log-driver")) != extra.get("log-driver"):
        extra.pop("log-opts", None)
    merged = _merge(_merge(extra, existing), wanted)
    if isinstance(existing.get("runtimes"), dict) and "runtimes" in wanted:
        merged["runtimes"] = {**wanted["runtimes"], **existing["runtimes"]}
    if current is not None and merged == existing:
        return current
    merged = {key: merged[key] for key in [*existing, *merged]}
    return (json.dumps(merged, indent=2, ensure_ascii=False) + "\n").encode()


def read(content: bytes | None) -> dict[str, Any]:
    """Return what a ``daemon.json`` says, in UTF-8 or, behind a byte order mark, UTF-16, as Docker
    reads it (moby: daemon/config, getConflictFreeConfiguration).

    Raises DaemonJsonError if it is not a JSON object in these, or names a key twice: Docker takes
    the last of two values, but both of two objects.
    """
    try:
        parsed = json.loads(_text(content or b"") or "{}", object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise DaemonJsonError(f"its byte {error.start + 1} is no UTF-8") from error
    except ValueError as error:
        raise DaemonJsonError(f"it is not JSON ({error})") from error
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise DaemonJsonError("it is not a JSON object")
    return parsed


def _text(content: bytes) -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig").strip()


def read_or_nothing(content: bytes | None) -> dict[str, Any]:
    """Return the same, and nothing where it cannot be read."""
    try:
        return read(content)
    except DaemonJsonError:
        return {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DaemonJsonError(f"it names {key} twice")
        found[key] = value
    return found


def _merge(existing: Any, wanted: Any) -> Any:
    if isinstance(existing, dict) and isinstance(wanted, Mapping):
        return {**existing} | {
            key: _merge(existing.get(key), value) for key, value in wanted.items()
        }
    if isinstance(existing, list) and isinstance(wanted, list):
        return existing + [entry for entry in wanted if entry not in existing]
    return wanted
