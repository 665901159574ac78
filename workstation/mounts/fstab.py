"""Find and correct entries of ``/etc/fstab`` (fstab(5)).

At boot, systemd reads the file with getmntent(3); later, mount(8) reads it with libmount. They
agree on lines of three or more fields; tried with systemd 252 and 257, util-linux 2.38 and 2.41.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass

from workstation.errors import UserError
from workstation.mounts.cifs import same_source

_KINDS = ("cifs", "smb3")


class FstabError(UserError):
    """The file contains an entry that must not be overwritten; the message names it."""

    id = "fstab-conflict"


@dataclass(frozen=True)
class Entry:
    """One line of fstab; spaces in source and target stay escaped as ``\\040``."""

    source: str
    target: str
    kind: str
    options: str

    def line(self) -> str:
        return f"{self.source} {self.target} {self.kind} {self.options} 0 0"

    @property
    def is_share(self) -> bool:
        """Whether it mounts an SMB share; with the type auto, mount(8) recognizes one by its
        slashes."""
        guessed = self.kind == "auto" and unescape(self.source).startswith(("//", "\\\\"))
        return self.kind in _KINDS or guessed

    @property
    def where(self) -> str:
        """The mountpoint, without escapes and redundant slashes."""
        return posixpath.normpath(re.sub("/+", "/", unescape(self.target)))

    @property
    def shown(self) -> str:
        """Source and type for people, with invalid UTF-8 escaped. Options are omitted because they
        may contain a password."""
        return printable(f"{self.source} ({self.kind})")


def escape(text: str) -> str:
    """Return ``text`` as a field of fstab: spaces, tabs, newlines and backslashes in octal."""
    for character in "\\ \t\n":
        text = text.replace(character, f"\\{ord(character):03o}")
    return text


def unescape(text: str) -> str:
    """Return a field of fstab without escapes: the opposite of :func:`escape`."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def decode(content: bytes) -> str:
    """Return the text of a file. :func:`encode` restores the same bytes from it even if they are
    not UTF-8, as in an old comment."""
    return content.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Return the bytes of a text returned by :func:`decode`."""
    return text.encode("utf-8", "surrogateescape")


def printable(text: str) -> str:
    """Return a printable text, with invalid UTF-8 as ``\\xfc``."""
    return encode(text).decode("utf-8", "backslashreplace")


def parse(line: str) -> Entry | None:
    """Return the entry of a line, None for a comment, an empty or a malformed line. Only spaces and
    tabs separate fields. Options may be missing, and for systemd the type too."""
    fields = _fields(line)
    if len(fields) < 2 or fields[0].startswith("#"):
        return None
    return Entry(*fields[:4], *("", "", "auto", "defaults")[len(fields) :])


def _fields(line: str) -> list[str]:
    return re.findall(r"[^ \t]+", line.removesuffix("\n").removesuffix("\r"))


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def entries(text: str) -> list[tuple[int, Entry]]:
    """Return the entries of fstab with their line numbers, which begin with 1."""
    numbered = ((number, parse(line)) for number, line in enumerate(_lines(text), 1))
    return [(number, entry) for number, entry in numbered if entry]


def of(text: str, target: str, linked: Collection[int] = ()) -> list[tuple[int, Entry]]:
    """Return the entries of one mountpoint, with their line numbers.

    + linked: numbers of the lines that name it through a link
    """
    return [
        (number, entry)
        for number, entry in entries(text)
        if entry.where == target or number in linked
    ]


def with_entry(text: str, wanted: Entry, linked: Collection[int] = ()) -> str:
    """Return the content of fstab with exactly one entry for ``wanted.target``.

    An existing entry of that mountpoint is corrected in place, and further ones are removed. Every
    other line stays the same, byte for byte; the same share mounted elsewhere is somebody's own
    mount.

    + linked: numbers of the lines that name the mountpoint through a link

    Raises FstabError if something other than a share is mounted there, which is somebody's own
    mount.
    """
    mine = dict(of(text, wanted.where, linked))
    for entry in mine.values():
        if not entry.is_share:
            raise FstabError(
                f"/etc/fstab mounts {entry.shown} on {printable(entry.target)}, where the share "
                "belongs: remove that entry, or set SMB_MOUNT to another folder"
            )
    result: list[str] = []
    placed = False
    for number, line in enumerate(_lines(text), 1):
        if number not in mine:
            result.append(line)
        elif not placed:
            result.append(line if _is(line, mine[number], wanted) else wanted.line() + "\n")
            placed = True
    if not placed:
        if result and not result[-1].endswith("\n"):
            result[-1] += "\n"
        result.append(wanted.line() + "\n")
    return "".join(result)


def _is(line: str, entry: Entry, wanted: Entry) -> bool:
    """Whether a line is the wanted entry, possibly in another form that both readers accept."""
    rest = _fields(line)[4:6]
    return (
        same_source(unescape(entry.source), unescape(wanted.source))
        and entry.where == wanted.where
        and entry.kind == wanted.kind
        and entry.options == wanted.options
        and all(field.isdigit() for field in rest)
    )
