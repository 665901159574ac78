"""Merge settings into an existing ``daemon.json``."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from typing import Any

from workstation.errors import UserError

PATH = "/etc/docker/daemon.json"
"""Its path, unless the Engine's command line names another."""

DATA_ROOT = "/var/lib/docker"
"""Where Docker stores images and containers by default."""


class DaemonJsonError(UserError):
    """Our settings cannot be merged into the host's file; the message says why."""

    id = "daemon-json-invalid"


def merge(
    current: bytes | None, wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> bytes:
    """Return the content of ``daemon.json`` with ``wanted`` merged in, key by key.

    Objects are merged recursively, missing entries are added to lists, other values are set. Keys
    that are not in ``wanted`` stay as they are, and so do existing runtimes with one of our names.
    If nothing changes, the same bytes are returned, so that a second run has nothing to do.

    + defaults: keys and values that existing ones override; ``log-opts`` are added only for their
      own logging driver

    Raises DaemonJsonError if ``current`` is not a JSON object, or if Docker would read it
    differently.
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
    """Return the parsed ``daemon.json``, in UTF-8 or, with a byte order mark, UTF-16, as Docker
    reads it (moby: daemon/config, getConflictFreeConfiguration).

    Raises DaemonJsonError if it is not a JSON object in these encodings, or contains a key twice:
    Docker uses the last of two values but merges two objects.
    """
    try:
        parsed = json.loads(_text(content or b"") or "{}", object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise DaemonJsonError(f"its byte {error.start + 1} is not valid UTF-8") from error
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
    """Return the same as ``read``, or an empty dict if the file cannot be read."""
    try:
        return read(content)
    except DaemonJsonError:
        return {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DaemonJsonError(f"it contains the key {key} twice")
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
