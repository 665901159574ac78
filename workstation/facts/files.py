"""The state of many paths on the host, read in one round trip."""

from __future__ import annotations

import base64
import stat
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, Literal

from pyinfra.api import HiddenValue, StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, UnansweredError, question

Kind = Literal["file", "directory", "link", "other"]

_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


@dataclass(frozen=True)
class PathState:
    """One existing path: its kind, permission bits (``"2775"``), owners and digest (hex).

    ``real``: its real path, if there are links on the way; ``planted``: the first of those links
    that was not made by root, ``<owner> <path>``; ``leads``: the state of a link's target.
    """

    kind: Kind
    mode: str
    user: str
    group: str
    uid: int
    gid: int
    modified: float
    digest: str = ""
    real: str = ""
    planted: str = ""
    leads: PathState | None = None


class Paths(Fact[dict[str, PathState]]):
    """
    Returns the state of every path that exists; absent ones have no entry.

    + paths: absolute paths
    + secret: those whose digest must reveal nothing: it is keyed with ``key``
    + key: random value of this run, see ``workstation.operations.files``
    """

    def command(
        self,
        paths: list[str],
        secret: list[str] | None = None,
        key: HiddenValue | None = None,
    ) -> StringCommand:
        return question(
            scripts.text("files/paths.sh"),
            scripts.text("files/look.sh"),
            key or "",
            len(secret or []),
            *(secret or []),
            *(path for path in paths if path not in (secret or [])),
        )

    def read(self, lines: list[str]) -> dict[str, PathState]:
        states: dict[str, PathState] = {}
        more: dict[str, dict[str, Any]] = defaultdict(dict)
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "digest":
                digest, _, path = rest.partition("  ")
                more[path]["digest"] = digest
            elif word in ("real", "planted"):
                told, _, path = rest.partition("\t")
                more[path][word] = told
            elif word == "path":
                path, state = _state(rest)
                states[path] = state
            elif word == "leads":
                path, more[path]["leads"] = _state(rest)
            elif word == "silent":
                raise UnansweredError(
                    f"{rest} does not respond: a file system mounted there or above is waiting for "
                    "its server or disk",
                    id="folder-not-answering",
                )
            elif word == "nameless":
                raise UnansweredError(
                    f"the owner and group of {rest} cannot be looked up: a directory service of "
                    "the host (sssd, winbind, LDAP) does not answer",
                    id="directory-service",
                )
        return {path: replace(state, **more[path]) for path, state in states.items()}


def _state(text: str) -> tuple[str, PathState]:
    numbers, user, group, path = text.split("\t", 3)
    raw, uid, gid, modified = numbers.split(" ")
    mode = int(raw, 16)
    return path, PathState(
        kind=_KINDS.get(stat.S_IFMT(mode), "other"),
        mode=format(stat.S_IMODE(mode), "o"),
        user=user,
        group=group,
        uid=int(uid),
        gid=int(gid),
        modified=float(modified),
    )


class Contents(Fact[dict[str, bytes]]):
    """
    Returns the content of every path that is a file, for diffs and merges.

    + paths: absolute paths of small files
    """

    def command(self, paths: list[str]) -> StringCommand:
        return question(scripts.text("files/contents.sh"), *paths)

    def read(self, lines: list[str]) -> dict[str, bytes]:
        contents = {}
        for line in lines:
            encoded, _, path = line.partition(" ")
            contents[path] = base64.b64decode(encoded)
        return contents


class Filled(Fact[bool]):
    """
    Returns whether a folder, or the folder that a link leads to, has anything in it.

    + path: of an existing folder
    """

    def command(self, path: str) -> StringCommand:
        return question(scripts.text("files/filled.sh"), path)

    def read(self, lines: list[str]) -> bool:
        return bool(lines)


class WrongEntries(Fact[list[str]]):
    """
    Returns the entries below ``path`` that are wrong in a shared folder: files and folders of
    another group, folders without setgid or group write, files that the group cannot read.
    This is a single ``find`` on the host, however many entries there are.

    + path: the folder
    + group: the group that shares it
    + limit: maximum number of entries to return
    """

    def command(self, path: str, group: str, limit: int = 20) -> StringCommand:
        return question(
            scripts.text("files/wrong_entries.sh"),
            scripts.text("files/wrong.sh"),
            path,
            group,
            limit,
        )

    def read(self, lines: list[str]) -> list[str]:
        for line in lines:
            if line.startswith("silent "):
                raise UnansweredError(
                    f"{line.removeprefix('silent ')} does not respond, or takes too long to search",
                    id="folder-not-answering",
                )
        return lines
