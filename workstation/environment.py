"""Reads the host, its stacks and settings from ``.env`` and the environment.

A key is a setting's name in upper case, or the stack's name followed by that of an entry in
``group_data/<stack>.py``: KNOWLEDGE_CENTER_N_CTX. The environment takes precedence over ``.env``.
Nothing read here is put into the environment of this process, where every child would inherit it.
"""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from workstation import env_file, given_file, group_data
from workstation.env_file import EnvironmentFileError
from workstation.errors import named, nearest, shown
from workstation.group_data import stack_data
from workstation.settings import SECRETS, Settings, takes_text
from workstation.stack import data_key
from workstation.stack_settings import checked, completed, declared
from workstation.values import CONTROL, LONGEST, host_name

LOCAL = "@local"
CONNECTION = {
    "WORKSTATION_HOST": f"The machine to work on: {LOCAL} for this one (the default), or the name "
    "or address at which SSH reaches it.",
    "SSH_USER": "SSH: the user to log in as, root or one who may use sudo (default: your own "
    "name).",
    "SSH_PORT": "SSH: port of the machine's SSH server (default: 22).",
    "SSH_KEY": "SSH: the private key to log in with (default: your agent's keys and those in "
    "~/.ssh).",
    "SSH_KNOWN_HOSTS": "SSH: the file that remembers host keys (default: ~/.ssh/known_hosts). The "
    "key of a new host is added; a changed key is refused.",
    "STACKS": "The stacks that the machine runs, separated by commas: names of folders in "
    "templates/stacks (default: the one that inventory.py names).",
}
"""The keys for the machine, the way to it and the stacks that it runs, with their meaning."""
CONNECTION_KEYS = tuple(CONNECTION)
SETTING_KEYS = {name.upper(): name for name in Settings.model_fields}


class Secret(SecretStr):
    """A secret in a host's data, masked wherever pyinfra prints that data."""

    def to_json(self) -> str:
        """Return the mask: ``pyinfra ... debug-inventory`` prints data as JSON and calls this."""
        return str(self)


@dataclass(frozen=True)
class Entry:
    """An entry of a stack's data that a key in ``.env`` may replace: text or a number."""

    stack: str
    name: str
    default: bool | int | float | str

    def value(self, key: str, text: str) -> bool | int | float | str:
        """Return ``text`` as the entry's type. Raises EnvironmentFileError."""
        try:
            if isinstance(self.default, bool):
                return {"true": True, "false": False}[text.lower()]
            if isinstance(self.default, str):
                return text
            # Python would also accept digits of other scripts, and underscores between digits.
            if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]+)?", text):
                raise ValueError
            return type(self.default)(text)
        except (KeyError, ValueError):
            raise EnvironmentFileError(
                f"{key} is {shown(text)}: expected {_KINDS[type(self.default)]}, like {self.name} "
                f"in group_data/{self.stack}.py.",
                id="setting-invalid",
            ) from None


_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Environment:
    """The host to work on, how to reach it, the stacks it runs, and the given settings.

    ``data``: for each stack with a changed entry, all of its data; ``note``: what a person should
    know about the file, or an empty string.
    """

    host: str
    stacks: tuple[str, ...]
    connection: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    data: dict[str, dict[str, object]] = field(default_factory=dict)
    note: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine."""
        return self.host == LOCAL

    def host_data(self) -> dict[str, object]:
        """Return the host's data for pyinfra: connection, settings, and data of stacks."""
        return {**self.connection, **self.settings, **self.data}


def known_stacks(folder: Path) -> list[str]:
    """Return the names that STACKS may contain: those of the stacks in ``folder``, sorted.

    A stack that shares its name with a setting (``proxy``) is controlled by that setting.
    """
    names = {path.parent.name for path in folder.glob("templates/stacks/*/compose.yaml.j2")}
    return sorted(names - set(Settings.model_fields))


def read(
    variables: Mapping[str, str], folder: Path, stacks: Iterable[str], default: str = ""
) -> Environment:
    """Return what the environment file of a folder and the environment say.

    + variables: the environment of the process; its ``ENV_FILE`` names a file other than ``.env``
    + folder: where ``.env`` and ``.env.example`` are
    + stacks: the names of the stacks that exist
    + default: the value of STACKS if it is not set; empty: all stacks that exist

    Raises EnvironmentFileError for a missing file, a malformed line, an unknown key or an invalid
    value, and UserError for an invalid file in ``group_data/``.
    """
    stacks = sorted(stacks)
    _check_names(stacks)
    group_data.check(folder / "group_data", stacks, SECRETS)
    data = data_of(folder, stacks)
    entries = stack_keys(data)
    path = _file(variables, folder)
    given = read_file(path, entries, _several(data)) if path else {}
    for key in (*CONNECTION_KEYS, *SETTING_KEYS, *entries):
        if key in variables:
            given[key] = _variable(key, variables[key])
    host = _host(given.get("WORKSTATION_HOST", LOCAL))
    chosen = _stacks(given.get("STACKS", default or ",".join(stacks)), stacks, folder)
    _refuse_different(folder, chosen, given)
    replaced = _replaced(
        data, {key: entry for key, entry in entries.items() if key in given}, given
    )
    for stack in chosen:
        checked(stack, replaced.get(data_key(stack), data[stack]), folder / "templates/stacks")
    return Environment(
        host=host,
        stacks=chosen,
        connection={} if host == LOCAL else _connection(given),
        settings={
            name: Secret(given[key]) if name in SECRETS else given[key]
            for key, name in SETTING_KEYS.items()
            if key in given
        },
        data=replaced,
        note=_exposed(path) if path else "",
    )


def data_of(folder: Path, stacks: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return the data of each stack without the changes from ``.env``: its defaults, and what
    ``group_data/`` in ``folder`` sets. Raises UserError."""
    templates = folder / "templates/stacks"
    return {
        stack: completed(declared(stack, templates), stack_data(folder, stack)) for stack in stacks
    }


def _variable(key: str, value: str) -> str:
    """Return the checked value of an environment variable; Python keeps bytes that are not text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise EnvironmentFileError(
            f"{key} in the environment is not UTF-8: set it again.", id="setting-invalid"
        ) from None
    if CONTROL.search(value) or len(value) > LONGEST:
        raise EnvironmentFileError(
            f"{key} in the environment contains a line break or control character, or is longer "
            f"than {LONGEST} characters: set it to a single line.",
            id="setting-invalid",
        )
    return value


def stack_keys(data: Mapping[str, Mapping[str, object]]) -> dict[str, Entry]:
    """Return the keys that replace entries of the stacks' ``data``: those of text and numbers.

    Raises EnvironmentFileError for a key that already means something else.
    """
    taken = {
        **dict.fromkeys((*CONNECTION_KEYS, "ENV_FILE"), "the connection"),
        **{key: f"the setting {name}" for key, name in SETTING_KEYS.items()},
    }
    found: dict[str, Entry] = {}
    for stack, entries in data.items():
        for name, value in entries.items():
            key = f"{data_key(stack)}_{name}".upper()
            if key in taken:
                raise EnvironmentFileError(
                    f"{named(name)} in templates/stacks/{stack}/_data.yml would have the key "
                    f"{named(key)} in .env, which belongs to {taken[key]}: rename one of the two.",
                    id="declaration-invalid",
                )
            taken[key] = f"{name} of the stack {stack}"
            if isinstance(value, bool | int | float | str):
                found[key] = Entry(stack, name, value)
    return found


def _several(data: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return the keys that people may try for entries with several values, each with the place
    where to set it instead."""
    return {
        f"{data_key(stack)}_{name}".upper(): f"set {name} in group_data/{stack}.py"
        for stack, entries in data.items()
        for name, value in entries.items()
        if isinstance(value, dict | list)
    }


def _replaced(
    data: Mapping[str, Mapping[str, object]], entries: Mapping[str, Entry], given: Mapping[str, str]
) -> dict[str, dict[str, object]]:
    """Return all data of each stack with a given entry: pyinfra replaces data, it does not merge
    them."""
    found: dict[str, dict[str, object]] = {}
    for key, entry in entries.items():
        stack = found.setdefault(data_key(entry.stack), dict(data[entry.stack]))
        stack[entry.name] = entry.value(key, given[key])
    return found


def read_file(
    path: Path, further: Collection[str] = (), several: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the values of an environment file. Raises EnvironmentFileError.

    + further: allowed keys besides those of connection and settings
    + several: keys that are not allowed because they have several values, and what to do instead
    """
    return env_file.read(path, lambda key, place: _check_key(key, place, further, several or {}))


def _check_key(key: str, place: str, further: Collection[str], several: Mapping[str, str]) -> None:
    if key in CONNECTION_KEYS or key in further:
        return
    if key in several:
        raise EnvironmentFileError(
            f"{place}: {key} has several values, so it cannot be set here: {several[key]} instead.",
            id="setting-not-text",
        )
    if key not in SETTING_KEYS:
        hint = nearest(key, (*CONNECTION_KEYS, *SETTING_KEYS, *further))
        # Text that does not look like a key may be a secret that was pasted in the wrong place.
        like_a_key = re.fullmatch(r"[A-Z][A-Z0-9_]*", key) and (hint or "_" in key)
        what = named(key) if like_a_key else "the text before ="
        raise EnvironmentFileError(
            f"{place}: {what} is not a known key{hint}: docs/settings.md lists all keys.",
            id="setting-unknown",
        )
    if not takes_text(SETTING_KEYS[key]):
        raise EnvironmentFileError(
            f"{place}: {key} has several values, so it cannot be set here: set {key.lower()} in "
            "group_data/all.py instead.",
            id="setting-not-text",
        )


def _exposed(path: Path) -> str:
    """Return the sentence for a file that other users can read or change; empty if none can."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return ""
    return (
        f"{path} is for passwords, but other users of this machine can read or change it (mode "
        f"{mode:o}): run `chmod 600 {shlex.quote(str(path))}`."
    )


def _file(variables: Mapping[str, str], folder: Path) -> Path | None:
    """Return the environment file; None if it does not exist and the environment names the host."""
    elsewhere = variables.get("ENV_FILE")
    path = given_file.path_of(elsewhere) if elsewhere else folder / ".env"
    if given_file.is_there(path):
        return path
    if elsewhere:
        raise EnvironmentFileError(
            f"ENV_FILE points to {path}, which does not exist: correct or unset it.",
            id="env-file-missing",
        )
    if "WORKSTATION_HOST" not in variables:
        raise EnvironmentFileError(
            f"{path} does not exist: run `cp .env.example .env` and fill it in, or set "
            "WORKSTATION_HOST and the other settings in the environment.",
            id="env-file-missing",
        )
    return None


def _host(value: str) -> str:
    """Return the name of the one host, in the form that pyinfra expects."""
    if value == LOCAL:
        return value
    try:
        return host_name(value)
    except ValueError:
        raise EnvironmentFileError(
            f"WORKSTATION_HOST is {shown(value)}: expected one host name or address, or {LOCAL} "
            "for this machine (user and port go in SSH_USER and SSH_PORT).",
            id="setting-invalid",
        ) from None


# Names of groups that pyinfra makes by itself: of all hosts, and of those in inventory.py.
_PYINFRA_GROUPS = ("all", "inventory")


def _check_names(stacks: Iterable[str]) -> None:
    """Raise EnvironmentFileError for a stack whose hosts or data pyinfra would confuse with
    others."""
    taken = {**dict.fromkeys(_PYINFRA_GROUPS, "pyinfra"), **dict.fromkeys(SETTING_KEYS.values())}
    for stack in stacks:
        key = data_key(stack)
        owner = taken.get(key, "pyinfra" if key.startswith("ssh_") else stack)
        if owner != stack:
            raise EnvironmentFileError(
                f"The stack templates/stacks/{stack} needs the name {key}, which belongs to "
                f"{owner or 'a setting'}: rename its folder.",
                id="stack-name",
            )
        taken[key] = f"the stack {stack}"


def _refuse_different(folder: Path, stacks: Iterable[str], given: Collection[str]) -> None:
    """Raise EnvironmentFileError for a setting that two stacks of the host set differently, unless
    it is given: pyinfra would use one of the two."""
    found: dict[str, tuple[str, object]] = {}
    for stack in stacks:
        for name, value in group_data.settings_of(folder, stack).items():
            other, before = found.setdefault(name, (stack, value))
            if value != before and name.upper() not in given:
                raise EnvironmentFileError(
                    f"{name} differs between group_data/{other}.py and group_data/{stack}.py, and "
                    f"the host runs both stacks: set the same value in both, or {name.upper()} in "
                    ".env.",
                    id="settings-conflict",
                )


def _stacks(value: str, known: list[str], folder: Path) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise EnvironmentFileError(
            f"STACKS names no stack: choose from {', '.join(known)}.", id="stack-unknown"
        )
    for name in names:
        # docs.docker.com/compose/how-tos/project-name
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
            raise EnvironmentFileError(
                f"STACKS names {shown(name)}: a stack is named like its folder in "
                "templates/stacks, in lowercase letters, digits, dashes and underscores.",
                id="stack-unknown",
            )
        if name not in known:
            what = (
                f"which is not in templates/stacks{nearest(name, known)}: choose from "
                f"{', '.join(known)}"
            )
            if (folder / "templates/stacks" / name).is_dir() and name not in Settings.model_fields:
                what = "but its folder in templates/stacks has no compose.yaml.j2: add it"
            raise EnvironmentFileError(f"STACKS names {shown(name)}, {what}.", id="stack-unknown")
    return names


def _connection(given: Mapping[str, str]) -> dict[str, object]:
    """Return pyinfra's own ``ssh_*`` data; pyinfra and ``~/.ssh/config`` decide what is not
    given."""
    data: dict[str, object] = {}
    if user := given.get("SSH_USER"):
        if not re.fullmatch(r"(?!-)\S{1,255}", user) or not user.isprintable():
            raise EnvironmentFileError(
                f"SSH_USER is {shown(user)}: expected one user name, without spaces.",
                id="setting-invalid",
            )
        data["ssh_user"] = user
    if port := given.get("SSH_PORT"):
        if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
            raise EnvironmentFileError(
                f"SSH_PORT is {shown(port)}: expected a number from 1 to 65535.",
                id="setting-invalid",
            )
        data["ssh_port"] = int(port)
    if key := given.get("SSH_KEY"):
        path = given_file.path_of(key)
        if not given_file.is_file(path):
            raise EnvironmentFileError(
                f"SSH_KEY points to {shown(key)}, but there is no such file: set it to a private "
                "key file.",
                id="ssh-key-missing",
            )
        data["ssh_key"] = str(path)
    if known_hosts := given.get("SSH_KNOWN_HOSTS"):
        data["ssh_known_hosts_file"] = str(given_file.path_of(known_hosts))
    return data
