"""Where paths really lead on a host, and whether root may follow the links on the way."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workstation.stack import is_below
from workstation.system_folders import holds_system, is_system

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.files import PathState


@dataclass(frozen=True)
class Destination:
    """Where a path leads, or will lead. ``planted``: the link, ``<owner> <path>``, on the way that
    root did not make and that may lead anywhere; ``system``: whether a link leads to a system
    folder."""

    real: str
    planted: str = ""
    system: bool = False


def above(path: str) -> list[str]:
    """Return the folders above a path, nearest first, without the root."""
    folder = posixpath.dirname(path)
    return [folder, *above(folder)] if len(folder) > 1 else []


def destination(path: str, folders: Iterable[str], states: Mapping[str, PathState]) -> Destination:
    """Return where ``path`` leads.

    + folders: those made in the same call; whoever shares one may make links within it
    + states: the fact ``Paths`` for ``path``, everything above it, and ``folders``
    """
    real, planted = _real(path, states)
    if real == path:
        return Destination(real)
    trusted = [
        _real(folder, states)[0]
        for folder in folders
        if folder != path and is_below(path, folder) and not _real(folder, states)[1]
    ]
    if is_below_any(real, trusted):
        planted = ""
    return Destination(real, planted, is_system(real) and not holds_system(path))


def is_below_any(path: str, folders: Iterable[str]) -> bool:
    """Return whether a path is one of the folders or below one."""
    return any(is_below(path, folder) for folder in folders)


def refusal(found: Destination) -> str:
    """Return why root must not change anything at a path, and the fix, or an empty string."""
    if found.system:
        return f"leads to {found.real}, a system folder: remove that link, then run again"
    if found.planted:
        # An owner's name may contain blanks, but no slash.
        owner, _, link = found.planted.partition(" /")
        return (
            f"leads to {found.real} through the link /{link}, which belongs to {owner}: whoever "
            "can change it could make a run, which is root, write anywhere. To fix it: `chown -h "
            f"root:root {shlex.quote(f'/{link}')}` if the link is intended, or remove it, then run "
            "again"
        )
    return ""


def _real(path: str, states: Mapping[str, PathState]) -> tuple[str, str]:
    """Return where a path leads or will lead, and the link on the way that root did not make."""
    nearest = next((one for one in (path, *above(path)) if one in states), "")
    if not nearest:
        return path, ""
    real = states[nearest].real or nearest
    return real + path.removeprefix(nearest), states[nearest].planted
