"""What stands at many paths of the host, asked in one round trip."""

from __future__ import annotations

import base64
import stat
from dataclasses import dataclass
from typing import Literal

from pyinfra.api import HiddenValue, StringCommand

from workstation.facts.shell import Fact, question

Kind = Literal["file", "directory", "link", "other"]

_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


@dataclass(frozen=True)
class PathState:
    """One existing path: its kind, permission bits (``"2775"``), owners and digest (hex)."""

    kind: Kind
    mode: str
    user: str
    group: str
    uid: int
    gid: int
    modified: float
    digest: str = ""


class Paths(Fact[dict[str, PathState]]):
    """
    Returns the state of every path that exists; absent ones have no entry.

    + paths: absolute paths
    + secret: those of them whose digest must tell nothing: it is keyed with ``key``
    + key: random value of this run, see ``workstation.operations.files``
    """

    @staticmethod
    def default() -> dict[str, PathState]:
        return {}

    def command(
        self,
        paths: list[str],
        secret: list[str] | None = None,
        key: HiddenValue | None = None,
    ) -> StringCommand:
        # %f is the raw mode in hexadecimal: type and permissions without words to translate.
        return question(
            """
            key=$1; count=$2; shift 2
            stat -c 'path %f %u %g %U %G %.6Y %n' -- "$@" 2>/dev/null
            while [ "$count" -gt 0 ]; do
              count=$((count - 1))
              [ ! -f "$1" ] || printf 'digest %s  %s\\n' \\
                "$( { printf %s "$key"; cat -- "$1"; } | sha256sum | cut -d' ' -f1)" "$1"
              shift
            done
            [ $# = 0 ] || sha256sum -- "$@" 2>/dev/null | sed 's/^/digest /'
            true
            """,
            key or "",
            len(secret or []),
            *(secret or []),
            *(path for path in paths if path not in (secret or [])),
        )

    def read(self, lines: list[str]) -> dict[str, PathState]:
        states: dict[str, PathState] = {}
        digests: dict[str, str] = {}
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "digest":
                digest, _, path = rest.partition("  ")
                digests[path] = digest
            elif word == "path":
                raw, uid, gid, user, group, modified, path = rest.split(" ", 6)
                mode = int(raw, 16)
                states[path] = PathState(
                    kind=_KINDS.get(stat.S_IFMT(mode), "other"),
                    mode=format(stat.S_IMODE(mode), "o"),
                    user=user,
                    group=group,
                    uid=int(uid),
                    gid=int(gid),
                    modified=float(modified),
                )
        return {
            path: PathState(**{**vars(state), "digest": digests.get(path, "")})
            for path, state in states.items()
        }


class Contents(Fact[dict[str, bytes]]):
    """
    Returns the content of every one of the paths that is a file, for diffs and merges.

    + paths: absolute paths of small files
    """

    @staticmethod
    def default() -> dict[str, bytes]:
        return {}

    def command(self, paths: list[str]) -> StringCommand:
        return question(
            """
            for path; do
              [ -f "$path" ] || continue
              printf '%s ' "$(base64 -w0 -- "$path")"; printf '%s\\n' "$path"
            done
            """,
            *paths,
        )

    def read(self, lines: list[str]) -> dict[str, bytes]:
        contents = {}
        for line in lines:
            encoded, _, path = line.partition(" ")
            contents[path] = base64.b64decode(encoded)
        return contents


class WrongEntries(Fact[list[str]]):
    """
    Returns the entries below ``path`` that a shared folder must not have: files and folders of
    another group, folders without setgid or group write, files that the group cannot read.
    One ``find`` on the host, however many entries there are; at most ``limit`` are named.

    + path: the folder
    + group: the group that shares it
    + limit: how many lines to return
    """

    @staticmethod
    def default() -> list[str]:
        return []

    def command(self, path: str, group: str, limit: int = 20) -> StringCommand:
        return question(
            """
            [ -d "$1" ] || exit 0
            getent group "$2" >/dev/null || {
              find "$1" -xdev ! -type l -print 2>/dev/null | head -n "$3"; exit 0; }
            find "$1" -xdev ! -type l \\( ! -group "$2" \\
              -o -type d ! -perm -2070 -o -type f ! -perm -040 \\) -print 2>/dev/null | head -n "$3"
            """,
            path,
            group,
            limit,
        )

    def read(self, lines: list[str]) -> list[str]:
        return lines
