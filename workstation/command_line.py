"""What a person gives pyinfra on its command line, checked before pyinfra reads it: it passes over
what is not there, and shows a traceback for what it cannot take apart."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from workstation import given_file, group_data
from workstation.errors import UserError, named


class CommandLineError(UserError):
    """An option or a file on the command line that cannot be used."""


def check(options: Mapping[str, Any]) -> None:
    """Raise CommandLineError for what cannot be used.

    + options: click's parameters of ``pyinfra``
    """
    _check_data(options.get("data") or ())
    for folder in options.get("group_data") or ():
        if not Path(folder).exists():
            raise CommandLineError(
                f"--group-data names {named(folder)}, which is not there: correct it."
            )
        for file in sorted(Path(folder).glob("*.py")) or [Path(folder)]:
            if file.suffix == ".py":
                group_data.check_file(file)
    config = options.get("config_filename") or "config.py"
    if not given_file.is_file(Path(config)):
        raise CommandLineError(
            f"--config names {named(config)}, where no file is: leave it out, and run in the "
            "folder of this project."
        )
    tasks = _tasks(options)
    inventory = str(options.get("inventory") or "")
    if tasks and not _is_inventory(inventory):
        raise CommandLineError(
            "The inventory has no hosts: name a file that exists, such as inventory.py."
        )
    for name, what, instead in (
        (inventory, "inventory", "inventory.py"),
        *((name, "file of tasks", "deploy.py or one of tasks/") for name in tasks),
    ):
        path = Path(name)
        wrong = given_file.is_there(path) and not (
            path.suffix == ".py" and given_file.is_file(path)
        )
        if wrong or (what == "inventory" and name in (*tasks, "deploy.py")):
            raise CommandLineError(f"{named(name)} is no {what}: name {instead}.")


def matching(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """Whether one of the patterns of ``--limit`` or ``--exclude`` names one of a host's names.

    + names: the host's own and those of its groups
    """
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def _check_data(entries: Sequence[str]) -> None:
    """Each is ``key=value``, and sets another key."""
    seen: set[str] = set()
    for entry in entries:
        key, separator, _ = entry.partition("=")
        if not separator or not key:
            # Not shown: it may be a secret.
            raise CommandLineError(
                "--data is not followed by key=value: write --data gpu=none, with the name of a "
                "setting."
            )
        if key in seen:
            raise CommandLineError(f"--data sets {named(key)} twice: keep one of the two.")
        seen.add(key)


def _is_inventory(name: str) -> bool:
    """Whether pyinfra makes hosts of it: it does nothing, and exits with 0, where it cannot."""
    if given_file.is_there(Path(name)) or "@" in name or "," in name:
        return True
    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError):
        return False
    return True


def _tasks(options: Mapping[str, Any]) -> list[str]:
    operations = [str(name) for name in options.get("operations") or ()]
    return operations if all(name.endswith(".py") for name in operations) else []
