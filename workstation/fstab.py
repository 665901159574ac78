"""Entries of ``/etc/fstab``, found and corrected by parsing (fstab(5))."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workstation.errors import UserError


class FstabError(UserError):
    """The file holds something that must not be overwritten; the message says what."""


@dataclass(frozen=True)
class Entry:
    """One line of fstab; spaces in source and target are kept as fstab writes them, ``\\040``."""

    source: str
    target: str
    kind: str
    options: str

    def line(self) -> str:
        return f"{self.source} {self.target} {self.kind} {self.options} 0 0"


def escape(text: str) -> str:
    """Return ``text`` as a field of fstab: blanks, tabs, newlines and backslashes in octal."""
    for character in "\\ \t\n":
        text = text.replace(character, f"\\{ord(character):03o}")
    return text


def unescape(text: str) -> str:
    """Return a field of fstab as it is meant: the opposite of :func:`escape`."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def parse(line: str) -> Entry | None:
    """Return the entry of a line, None for a comment, a blank or a malformed line."""
    fields = line.split()
    if len(fields) < 4 or fields[0].startswith("#"):
        return None
    return Entry(*fields[:4])


def with_entry(text: str, wanted: Entry) -> str:
    """Return the content of fstab with exactly one entry for ``wanted.target``.

    An entry of the same mountpoint is corrected in its place, a second one of it removed;
    every other line stays as it is, byte for byte: the same share mounted elsewhere is
    somebody's own mount.

    Raises FstabError if the mountpoint is used by a source of another kind, which is somebody
    else's mount.
    """
    lines = text.splitlines(keepends=True)
    result: list[str] = []
    placed = False
    for line in lines:
        entry = parse(line)
        if entry is None or entry.target.rstrip("/") != wanted.target:
            result.append(line)
            continue
        if entry.kind not in ("cifs", "smb3"):
            raise FstabError(
                f"/etc/fstab mounts {entry.source} ({entry.kind}) on {entry.target}, where the "
                "share belongs: remove that entry or set SMB_MOUNT to another folder"
            )
        if not placed:
            result.append(line if entry == wanted else wanted.line() + "\n")
            placed = True
    if not placed:
        if result and not result[-1].endswith("\n"):
            result[-1] += "\n"
        result.append(wanted.line() + "\n")
    return "".join(result)
