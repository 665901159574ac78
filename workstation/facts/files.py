"""What stands at many paths of the host, asked in one round trip."""

from __future__ import annotations

import base64
import stat
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, Literal

from pyinfra.api import HiddenValue, StringCommand

from workstation.facts.shell import Fact, UnansweredError, question

Kind = Literal["file", "directory", "link", "other"]

_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


@dataclass(frozen=True)
class PathState:
    """One existing path: its kind, permission bits (``"2775"``), owners and digest (hex).

    ``real``: where it really lies, if links lead there; ``planted``: the first of those links that
    somebody else than root made, ``<owner> <path>``; ``leads``: to what a link leads.
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


# %f is the raw mode in hexadecimal: type and permissions without words to translate. Names of a
# directory service hold blanks and backslashes, such as `domain users`: they stand between tabs.
_LOOK = r"""
key=$1 count=$2; shift 2
form=$'%f %u %g %.6Y\t%U\t%G\t%n'
planted() {
  local rest=$1 at= name link steps=0
  while [ -n "$rest" ] && [ "$steps" -lt 40 ]; do
    name=${rest%%/*}; rest=${rest#"$name"}; rest=${rest#/}
    case $name in ''|.) continue ;; ..) at=${at%/*}; continue ;; esac
    at=$at/$name
    [ -L "$at" ] || continue
    steps=$((steps + 1))
    [ "$(stat -c %u -- "$at")" = 0 ] || { stat -c '%U %n' -- "$at"; return; }
    link=$(readlink -- "$at"); rest=$link/$rest
    case $link in /*) at= ;; *) at=${at%/*} ;; esac
  done
}
stat -c "path $form" -- "$@" 2>/dev/null
links=()
for path; do [ ! -L "$path" ] || links+=("$path"); done
[ "${#links[@]}" = 0 ] || stat -L -c "leads $form" -- "${links[@]}" 2>/dev/null
mapfile -t real < <(realpath -m -- "$@")
number=0
for path; do
  if [ "${real[number]}" != "$path" ]; then
    printf 'real %s	%s
' "${real[number]}" "$path"
    planted=$(planted "$path" 2>/dev/null)
    [ -z "$planted" ] || printf 'planted %s	%s
' "$planted" "$path"
  fi
  number=$((number + 1))
done
while [ "$count" -gt 0 ]; do
  count=$((count - 1))
  [ ! -f "$1" ] || printf 'digest %s  %s
'     "$( { printf %s "$key"; cat -- "$1"; } | sha256sum | cut -d' ' -f1)" "$1"
  shift
done
[ $# = 0 ] || sha256sum -- "$@" 2>/dev/null | sed 's/^/digest /'
true
"""


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
        return question(
            """
            look=$1; shift
            limited 60 bash -c "$look" bash "$@"
            [ $? = 124 ] || exit 0
            shift 2
            for word in '%i silent' '%U%G nameless'; do
              for path; do
                limited 5 stat -L -c "${word% *}" -- "$path" >/dev/null 2>&1
                [ $? != 124 ] || { echo "${word#* } $path"; exit 0; }
              done
            done
            echo "the paths do not answer" >&2; exit 1
            """,
            _LOOK,
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
                    f"{rest} does not answer: what is mounted there or above it waits for its "
                    "server or its disk"
                )
            elif word == "nameless":
                raise UnansweredError(
                    f"the names of the owner and group of {rest} cannot be looked up: a directory "
                    "service of the host (sssd, winbind, LDAP) does not answer"
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


# The folder itself may be a link, to another disk; no other is followed.
_WRONG = r"""
[ -d "$1" ] || exit 0
if [ -n "$4" ]; then
  find -H "$1" -xdev \( -type d \( ! -group "$2" -o ! -perm -2070 \) \
    -o -type f \( ! -group "$2" -o ! -perm -040 \) \) -print 2>/dev/null
else
  find -H "$1" -xdev \( -type d -o -type f \) -print 2>/dev/null
fi | head -n "$3"
"""


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
            known=$(answered getent group "$3")
            limited 240 sh -c "$1" sh "$2" "$3" "$4" "${known:+yes}"
            [ $? != 124 ] || echo "silent $2"
            """,
            _WRONG,
            path,
            group,
            limit,
        )

    def read(self, lines: list[str]) -> list[str]:
        for line in lines:
            if line.startswith("silent "):
                raise UnansweredError(
                    f"{line.removeprefix('silent ')} does not answer, or takes too long to be "
                    "searched"
                )
        return lines
