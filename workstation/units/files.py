"""What a service's unit file and drop-ins say together (``systemd.unit(5)``, ``systemd.exec(5)``).

Read from the files, since a plan asks what will hold once ours are among them: systemd itself only
knows what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath


@dataclass(frozen=True)
class UnitFile:
    """A unit file or drop-in, or a file of environment variables: where it is, and its text."""

    path: str
    text: str = ""

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Value:
    """A value that is in force, and the file that says so."""

    text: str
    file: str


@dataclass(frozen=True)
class Service:
    """``start``: the commands of ``ExecStart=``; ``settings``: other keys of ``[Service]`` of which
    the last counts, by name; ``lists``: all keys of ``[Service]`` and ``[Unit]`` as those that add
    up, where an empty one begins again; ``conditions``: each ``Condition...=`` and ``Assert...=``
    in force, as it stands; ``environment``: variables by name, as the process gets them."""

    start: tuple[Value, ...] = ()
    settings: dict[str, Value] = field(default_factory=dict)
    environment: dict[str, Value] = field(default_factory=dict)
    lists: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    conditions: tuple[Value, ...] = ()


def drop_ins(files: Iterable[UnitFile]) -> list[UnitFile]:
    """Return the drop-ins that systemd reads, in its order.

    + files: in the order of the folders of ``systemd-analyze unit-paths``, of each the unit's own
      folder (``x.service.d``) before that of its type (``service.d``)

    Of one name the first counts, in the unit's own folders before those of the type; an empty one,
    or a link to ``/dev/null``, is none.
    """
    first: dict[str, UnitFile] = {}
    own = [one for one in files if PurePosixPath(one.path).parent.name != "service.d"]
    for one in [*own, *(one for one in files if one not in own)]:
        if one.name.endswith(".conf") and not one.name.startswith("."):
            first.setdefault(one.name, one)
    return [first[name] for name in sorted(first)]


def with_file(files: Sequence[UnitFile], ours: UnitFile) -> list[UnitFile]:
    """Return the drop-ins with one more, or with other text in it, in systemd's order."""
    others = [one for one in files if one.name != ours.name]
    return sorted([*others, ours], key=lambda one: one.name)


def service(files: Sequence[UnitFile], variables: Sequence[UnitFile] = ()) -> Service:
    """Return what holds.

    + files: the unit file, then its drop-ins in order
    + variables: what ``EnvironmentFile=`` may name, with their lines; one that is not among them
      says nothing
    """
    start: list[Value] = []
    settings: dict[str, Value] = {}
    environment: dict[str, Value] = {}
    read: list[str] = []
    unset: list[str] = []
    lists: dict[str, tuple[Value, ...]] = {}
    conditions: list[Value] = []
    for file in files:
        for key, text in (*_assignments(file.text, "Unit"), *_assignments(file.text)):
            lists[key] = (*lists.get(key, ()), Value(text, file.path)) if text else ()
        for key, text in _assignments(file.text, "Unit"):
            if match := re.match("Condition|Assert", key):
                if not text:
                    conditions = [one for one in conditions if not one.text.startswith(match[0])]
                else:
                    conditions.append(Value(f"{key}={text}", file.path))
        for key, text in _assignments(file.text):
            if key == "ExecStart":
                start = [*start, Value(text, file.path)] if text else []
            elif key == "Environment":
                if not text:
                    environment.clear()
                for word in words(text):
                    name, _, content = word.partition("=")
                    environment[name] = Value(content, file.path)
            elif key == "EnvironmentFile":
                read = [*read, text.removeprefix("-")] if text else []
            elif key == "UnsetEnvironment":
                unset = [*unset, *words(text)] if text else []
            else:
                settings[key] = Value(text, file.path)
    known = {one.path: one for one in variables}
    for pattern in read:
        for path in sorted(path for path in known if PurePosixPath(path).match(pattern)):
            for name, content in _variables(known[path].text):
                environment[name] = Value(content, path)
    for name in unset:
        environment.pop(name, None)
    return Service(tuple(start), settings, environment, lists, tuple(conditions))


def _assignments(text: str, wanted: str = "Service") -> Iterable[tuple[str, str]]:
    """Yield key and value of a section; a line that ends in a backslash goes on, over comments
    too (``systemd.syntax(7)``)."""
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
    """Return the words of a value: quotes may stand around one, or around its parts; a backslash
    escapes."""
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
    """Yield the variables of an ``EnvironmentFile``, which has a syntax of its own."""
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith(("#", ";")):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            yield name.strip(), value


def command(line: str) -> list[str]:
    """Return the words of a command of ``ExecStart=``, without the characters before its path that
    tell systemd how to run it."""
    found = words(line)
    return [found[0].lstrip("@-:+!|"), *found[1:]] if found else []
