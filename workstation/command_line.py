"""Checks of pyinfra's command line, made before pyinfra reads it: pyinfra ignores what does not
exist, and shows a traceback for what it cannot parse."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from workstation import environment, given_file, group_data
from workstation.errors import UserError, named
from workstation.settings import SECRETS

_ROOT = Path(__file__).parent.parent


class CommandLineError(UserError):
    """An invalid option or file on the command line."""

    id = "command-line-file"


def check(options: Mapping[str, Any]) -> None:
    """Raise CommandLineError for the first invalid option.

    + options: click's parameters of ``pyinfra``
    """
    _check_data(options.get("data") or ())
    for name in options.get("group_data") or ():
        path = Path(name)
        if not path.is_dir() and not (path.suffix == ".py" and given_file.is_file(path)):
            raise CommandLineError(
                f"--group-data names {named(name)}, which is not a folder or a .py file: correct "
                "the path."
            )
        group_data.check(path, environment.known_stacks(_ROOT), SECRETS)
    if (options.get("parallel") or 1) < 1:
        raise CommandLineError(
            "--parallel needs a number from 1: leave the option out.", id="option-invalid"
        )
    config = options.get("config_filename") or "config.py"
    if not given_file.is_file(Path(config)):
        raise CommandLineError(
            f"--config names {named(config)}, but there is no such file: leave the option out and "
            "run from the folder of this project."
        )
    tasks = _tasks(options)
    inventory = str(options.get("inventory") or "")
    if tasks and not _is_inventory(inventory):
        raise CommandLineError(
            "The inventory has no hosts: use a file that exists, such as inventory.py.",
            id="inventory-empty",
        )
    for name, what, instead in (
        (inventory, "an inventory", "inventory.py"),
        *((name, "a task file", "deploy.py or a file in tasks/") for name in tasks),
    ):
        path = Path(name)
        wrong = given_file.is_there(path) and not (
            path.suffix == ".py" and given_file.is_file(path)
        )
        if wrong or (what == "an inventory" and name in (*tasks, "deploy.py")):
            raise CommandLineError(f"{named(name)} is not {what}: use {instead}.")


def matching(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """Return whether a pattern of ``--limit`` or ``--exclude`` matches one of a host's names.

    + names: the host's own and those of its groups
    """
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)


def _check_data(entries: Sequence[str]) -> None:
    """Raise CommandLineError unless each is ``key=value`` with a key of its own."""
    seen: set[str] = set()
    for entry in entries:
        key, separator, value = entry.partition("=")
        if not separator or not key:
            # Not shown: it may be a secret.
            raise CommandLineError(
                "--data needs key=value, where the key is the name of a setting: for example, "
                "--data gpu=none.",
                id="data-option-syntax",
            )
        if key.upper() in environment.CONNECTION_KEYS:
            raise CommandLineError(
                f"--data sets {key.upper()}, which only .env and the environment can: write "
                f"{key.upper()}=... before the command.",
                id="setting-unknown",
            )
        if _is_changed(value):
            raise CommandLineError(
                f"--data sets {named(key)} to a number with leading zeros, a sign, blanks or "
                "underscores, which pyinfra drops: leave them out, or put the value in double "
                f"quotes: --data '{named(key)}=\"...\"'.",
                id="data-option-syntax",
            )
        if key in seen:
            raise CommandLineError(
                f"--data sets {named(key)} twice: keep one of the two.", id="key-duplicate"
            )
        seen.add(key)


def _is_changed(value: str) -> bool:
    """Return whether pyinfra, which turns what looks like a whole number into one, changes it."""
    try:
        return str(int(value)) != value
    except ValueError:
        return False


def _is_inventory(name: str) -> bool:
    """Return whether pyinfra finds hosts in it. If it finds none, it does nothing and exits with
    status 0."""
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
