"""The host folders that containers mount, each with the code that creates it.

Docker would create missing folders itself, owned by root, and perhaps below a share that is not
mounted. ``tasks/storage.py`` creates those of the model store, ``tasks/smb.py`` those of the share,
``operations.compose.laid_down`` those that belong to a stack. Anything in the folder of the stacks
comes with the stack's files, and system folders are never created.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from workstation.settings import Settings
from workstation.stack import Service, Stack, is_below
from workstation.system_folders import is_system

Home = Literal["store", "share", "own"]


@dataclass(frozen=True)
class Place:
    """A folder, and where it belongs. On the share, the mount options determine the owner.
    ``known_by``: entries by which the folder of a setting is recognized; empty: it is not."""

    path: str
    home: Home
    user: str = "root"
    group: str = "root"
    mode: str = "755"
    known_by: tuple[str, ...] = ()


def of_host(settings: Settings, stacks: Iterable[Stack]) -> list[Place]:
    """Return all places of a host: those of the store that every host has, then the mounts of
    running services, each once."""
    store = settings.models_path
    common = [store, *(f"{store}/{folder}" for folder in settings.models_folders)]
    places = [_in_store(path, settings) for path in common]
    loaded: set[str] = set()
    for stack in stacks:
        places += of_stack(settings, stack)
        loaded |= {
            _first_below(model.path, store) for service in stack.running for model in service.models
        }
    entries = {place.path for place in places[1:] if place.home == "store"} | (loaded - {""})
    known_by = tuple(posixpath.basename(entry) for entry in sorted(entries))
    return list(dict.fromkeys([replace(places[0], known_by=known_by), *places[1:]]))


def of_stack(settings: Settings, stack: Stack) -> list[Place]:
    """Return the places that running services of one stack mount, each once, in their order. For
    the store and the share, it is the first folder below."""
    found = (place for service in stack.running for place in _of_service(settings, service))
    return list({place.path: place for place in found}.values())


def _of_service(settings: Settings, service: Service) -> Iterator[Place]:
    for source in [mount.source for mount in service.mounts if mount.kind == "bind"]:
        if folder := _first_below(source, settings.models_path):
            yield _in_store(folder, settings)
        elif folder := _first_below(source, settings.smb_mount):
            yield Place(folder, "share")
        elif not (is_system(source) or _is_made(source, settings)):
            owner, _, mode = service.owners.get(source, "root").partition(" ")
            user, _, group = owner.partition(":")
            yield Place(source, "own", user, group or user, mode or "755")


def _in_store(path: str, settings: Settings) -> Place:
    # Not sticky: members may replace each other's models (docs/hardening.md).
    return Place(path, "store", group=settings.store_group, mode="2775")


def _is_made(path: str, settings: Settings) -> bool:
    """Return whether it is the whole store or share, or comes with the files of a stack."""
    made = (settings.models_path, settings.smb_mount, settings.stacks_dir)
    return any(is_below(path, folder) for folder in made)


def _first_below(path: str, parent: str) -> str:
    """Return the first entry on the way from ``parent`` down to ``path``; empty if there is
    none."""
    if path == parent or not is_below(path, parent):
        return ""
    return f"{parent}/{path.removeprefix(f'{parent}/').partition('/')[0]}"
