"""Reads systemd's unit files like systemd does (systemd.syntax(7), systemd.service(5))."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_YES = ("1", "yes", "true", "on")


@dataclass(frozen=True)
class Unit:
    """Section and key -> its values in order; an empty value resets the previous ones."""

    values: dict[tuple[str, str], list[str]]

    def all(self, section: str, key: str) -> list[str]:
        return self.values.get((section, key), [])

    def one(self, section: str, key: str, default: str = "") -> str:
        """Return the effective value: the last one."""
        return (self.all(section, key) or [default])[-1]

    def words(self, section: str, key: str) -> list[str]:
        """Return the words of all values of a list such as ``After=``."""
        return [word for value in self.all(section, key) for word in value.split()]

    def yes(self, section: str, key: str, default: bool = False) -> bool:
        value = self.one(section, key)
        return value.lower() in _YES if value else default

    def environment(self) -> dict[str, str]:
        """Return the variables that ``Environment=`` sets for a service: quotes and C escapes are
        processed, and a single percent sign begins a specifier (systemd.exec(5),
        systemd.unit(5))."""
        found = {}
        for value in self.all("Service", "Environment"):
            for word in shlex.split(value):
                assert not re.search(r"(?<!%)(%%)*%(?!%)", word), f"a specifier: {word}"
                name, _, text = word.replace("%%", "%").partition("=")
                found[name] = text
        return found


def unit(*texts: str) -> Unit:
    """Return a unit: its file, and its drop-ins in order."""
    values: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        section = ""
        for line in _lines(text):
            if match := re.fullmatch(r"\[(.+)\]", line):
                section = match[1]
                continue
            key, sign, value = line.partition("=")
            assert sign, f"systemd ignores this line: {line}"
            assert section, f"systemd ignores this line, which is in no section: {line}"
            found = values.setdefault((section, key.strip()), [])
            if value.strip():
                found.append(value.strip())
            else:
                found.clear()
    return Unit(values)


def _lines(text: str) -> list[str]:
    """Return lines without comments, and join those that end in a backslash with the next one."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(kept))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def commands(found: Unit, key: str) -> list[list[str]]:
    """Return the commands of a service, such as its ``ExecStart``, as lists of words."""
    return [
        [word.replace("$$", "$").replace("%%", "%") for word in shlex.split(value)]
        for value in found.all("Service", key)
    ]
