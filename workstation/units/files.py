"""Combine a service's unit file and drop-ins (``systemd.unit(5)``, ``systemd.exec(5)``).

They are read from the files because a plan must know the result once ours are added; systemd only
knows the present files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath


@dataclass(frozen=True)
class UnitFile:
    """A unit file, a drop-in, or a file of environment variables: its path and text."""

    path: str
    text: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Value:
    """A value in effect, and the file that sets it."""

    text: str
    file: str


@dataclass(frozen=True)
class Service:
    """``start``: the commands of ``ExecStart=``; ``settings``: other keys of ``[Service]`` by name,
    where the last value counts; ``lists``: all keys of ``[Service]`` and ``[Unit]`` with all their
    values, where an empty one clears the list; ``conditions``: each ``Condition...=`` and
    ``Assert...=`` in effect, verbatim; ``environment``: variables by name, as the process gets
    them."""

    start: tuple[Value, ...] = ()
    settings: dict[str, Value] = field(default_factory=dict)
    environment: dict[str, Value] = field(default_factory=dict)
    lists: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    conditions: tuple[Value, ...] = ()


def drop_ins(files: Iterable[UnitFile]) -> list[UnitFile]:
    """Return the drop-ins that systemd reads, in its order.

    + files: in the order of ``systemd-analyze unit-paths``, each with the unit's own folder
      (``x.service.d``) before that of its type (``service.d``)

    Of files with the same name, the first counts, and the unit's own folders come before those of
    the type. An empty file, or a link to ``/dev/null``, masks that name.
    """
    first: dict[str, UnitFile] = {}
    own = [one for one in files if PurePosixPath(one.path).parent.name != "service.d"]
    for one in [*own, *(one for one in files if one not in own)]:
        if one.name.endswith(".conf") and not one.name.startswith("."):
            first.setdefault(one.name, one)
    return [first[name] for name in sorted(first)]


def with_file(files: Sequence[UnitFile], ours: UnitFile) -> list[UnitFile]:
    """Return the drop-ins with one added or replaced, in systemd's order."""
    others = [one for one in files if one.name != ours.name]
    return sorted([*others, ours], key=lambda one: one.name)


def service(files: Sequence[UnitFile], variables: Sequence[UnitFile] = ()) -> Service:
    """Return the combined service.

    + files: the unit file, then its drop-ins in order
    + variables: the files that ``EnvironmentFile=`` may name; others are treated as empty
    """
    settings: dict[str, Value] = {}
    lists: dict[str, tuple[Value, ...]] = {}
    conditions: list[Value] = []
    for file in files:
        unit = [(key, Value(text, file.path)) for key, text in _assignments(file.text, "Unit")]
        own = [(key, Value(text, file.path)) for key, text in _assignments(file.text)]
        for key, value in (*unit, *own):
            lists[key] = (*lists.get(key, ()), value) if value.text else ()
        settings.update((key, value) for key, value in own if key not in _LISTS)
        conditions = _conditions(conditions, unit)
    start, environment = lists.get("ExecStart", ()), _environment(lists, variables)
    return Service(start, settings, environment, lists, tuple(conditions))


_LISTS = ("ExecStart", "Environment", "EnvironmentFile", "UnsetEnvironment")
"""Keys of ``[Service]`` to which each file adds values."""


def _conditions(known: list[Value], unit: Iterable[tuple[str, Value]]) -> list[Value]:
    """Return the conditions in effect after one more file; an empty one clears all of its kind."""
    for key, value in unit:
        if match := re.match("Condition|Assert", key):
            others = [one for one in known if not one.text.startswith(match[0])]
            known = [*known, replace(value, text=f"{key}={value.text}")] if value.text else others
    return known


def _environment(
    lists: Mapping[str, Iterable[Value]], variables: Iterable[UnitFile]
) -> dict[str, Value]:
    """Return the variables of a service: its own, overridden by those from files."""
    found: dict[str, Value] = {}
    for value in lists.get("Environment", ()):
        for word in words(value.text):
            name, _, content = word.partition("=")
            found[name] = Value(content, value.file)
    for pattern in lists.get("EnvironmentFile", ()):
        named = pattern.text.removeprefix("-")
        for file in sorted(variables, key=lambda one: one.path):
            if PurePosixPath(file.path).match(named):
                found |= {name: Value(text, file.path) for name, text in _variables(file.text)}
    unset = {name for value in lists.get("UnsetEnvironment", ()) for name in words(value.text)}
    return {name: value for name, value in found.items() if name not in unset}


def _assignments(text: str, wanted: str = "Service") -> Iterable[tuple[str, str]]:
    """Yield the keys and values of a section; a line that ends in a backslash continues on the
    next, skipping comments (``systemd.syntax(7)``)."""
    section, begun = "", ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(("#", ";")):
            continue
        if stripped.endswith("\\"):
            begun += f"{stripped[:-1]} "
            continue
        whole, begun = (begun + stripped).strip(), ""
        if whole.startswith("["):
            section = whole.strip("[]")
        elif section == wanted and "=" in whole:
            key, _, value = whole.partition("=")
            yield key.strip(), value.strip()


def words(text: str) -> list[str]:
    """Return the words of a value: a word or parts of it may be quoted; a backslash escapes."""
    found = re.findall(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+""", text)
    return [_unquoted(word) for word in found]


_ESCAPES = {"n": "\n", "t": "\t", "s": " "}


def _unquoted(word: str) -> str:
    def part(match: re.Match[str]) -> str:
        if match[0][0] in "\"'":
            return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", escaped, match[0][1:-1])
        return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", escaped, match[0])

    def escaped(match: re.Match[str]) -> str:
        if len(match[1]) == 3:
            return chr(int(match[1][1:], 16))
        return _ESCAPES.get(match[1], match[1])

    whole = re.sub(
        r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\x[0-9a-fA-F]{2}|\\.|[^"'\\]+)""", part, word
    )
    return whole.replace("%%", "%")


def _variables(text: str) -> Iterable[tuple[str, str]]:
    """Yield the variables of an ``EnvironmentFile``, which has its own syntax."""
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith(("#", ";")):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            yield name.strip(), value


def command(line: str) -> list[str]:
    """Return the words of a command of ``ExecStart=``, without the special prefixes of its path."""
    found = words(line)
    return [found[0].lstrip("@-:+!|"), *found[1:]] if found else []
