"""Debian packages, and apt's sources with the keys that vouch for them."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation.apt_sources import Entry, parse, same_repository
from workstation.facts.shell import Fact, question
from workstation.openpgp import fingerprints


@dataclass(frozen=True)
class PackageState:
    """An installed package's version and whether it is held back from upgrades."""

    version: str
    held: bool


class Packages(Fact[dict[str, PackageState]]):
    """Returns the installed packages. All of them: then one question serves every operation."""

    @staticmethod
    def default() -> dict[str, PackageState]:
        return {}

    def command(self) -> StringCommand:
        return question(
            "! command -v dpkg-query >/dev/null || answered dpkg-query -W -f "
            "'${Package} ${Version} ${db:Status-Want} ${db:Status-Status}\\n'"
        )

    def read(self, lines: list[str]) -> dict[str, PackageState]:
        packages = {}
        for line in lines:
            name, version, want, status = line.split(" ")
            if status == "installed":
                packages[name] = PackageState(version, want == "hold")
        return packages


# apt-config knows where they are; of sources.list.d apt reads what has one of two endings and a
# plain name (apt-pkg/contrib/fileutl.cc, GetListOfFilesInDir).
_FILES = r"""
eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d \
  architecture APT::Architecture 2>/dev/null)"
parts=${parts:-/etc/apt/sources.list.d/}
echo "architecture ${architecture:-$(dpkg --print-architecture 2>/dev/null)}"
each_file() {
  for file in "${list:-/etc/apt/sources.list}" "${parts%/}"/*.list "${parts%/}"/*.sources; do
    name=${file##*/}
    case $name in .*|*[!A-Za-z0-9._-]*) continue ;; esac
    [ ! -f "$file" ] || "$@"
  done
}
encoded() { printf %s "$1" | base64 -w0; }
"""


@dataclass(frozen=True)
class SourcesState:
    """``refused``: why apt reads none of its sources, in its own words; ``entries``: those in
    force; ``proxies``: address of a proxy that apt goes through -> the file that says so."""

    refused: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    proxies: dict[str, str] = field(default_factory=dict, hash=False)


class Sources(Fact[SourcesState]):
    """Returns the ``SourcesState`` of the host. No server is asked."""

    @staticmethod
    def default() -> SourcesState:
        return SourcesState()

    def command(self) -> StringCommand:
        return question(
            _FILES
            + r"""
            command -v apt-get >/dev/null || exit 0
            told() { echo "file $(encoded "$file") $(base64 -w0 "$file")"; }
            each_file told
            limited 60 apt-get -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
              indextargets --format x 2>&1 >/dev/null \
              | sed -n 's/^E: */refused /p'
            eval "$(apt-config shell etc Dir::Etc/d 2>/dev/null)"
            etc=${etc:-/etc/apt/}
            apt-config dump 2>/dev/null \
              | sed -n 's/^Acquire::[a-z:]*::[Pp]roxy\(::.*\)* "\([^"]*:.*\)";$/\2/p' | sort -u \
              | while IFS= read -r address; do
                # Not as an argument, which everybody may read: it may hold a password.
                file=$(grep -lsF -f <(printf '%s\n' "$address") -- \
                  "$etc"apt.conf "$etc"apt.conf.d/* | head -n 1)
                echo "proxy $address $file"
              done
            """
        )

    def read(self, lines: list[str]) -> SourcesState:
        pairs = [line.partition(" ")[::2] for line in lines]
        architecture = dict(pairs).get("architecture", "")
        return SourcesState(
            refused=tuple(rest for word, rest in pairs if word == "refused"),
            entries=tuple(
                entry
                for word, rest in pairs
                if word == "file"
                for entry in parse(*_file(rest), architecture)
            ),
            proxies=dict(rest.split(" ", 1) for word, rest in pairs if word == "proxy"),
        )


def _file(line: str) -> tuple[str, str]:
    path, _, content = line.partition(" ")
    return _decoded(path).decode(errors="replace"), _decoded(content).decode(errors="replace")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)


@dataclass(frozen=True)
class Configured:
    """An entry for a repository, wherever it stands: the fingerprints of the keys that may sign it,
    and whether its file names nothing else."""

    entry: Entry
    keys: tuple[str, ...] = ()
    alone: bool = True


@dataclass(frozen=True)
class RepositoryState:
    """``fingerprints`` of the primary keys in our keyring; ``configured``: the entries in force for
    this repository, whoever made them; ``ours``: whether the file that is ours was made by a run;
    ``trusted``: files in which ``apt-key add`` has put its key, which then vouches for every
    repository, not for its own alone."""

    fingerprints: tuple[str, ...] = ()
    configured: tuple[Configured, ...] = ()
    ours: bool = False
    trusted: tuple[str, ...] = ()
    architecture: str = "amd64"


class Repository(Fact[RepositoryState]):
    """
    Returns the ``RepositoryState`` of an apt repository.

    + keyring: path of its keyring
    + sources: path of its ``.sources`` file
    + uri: as in ``sources.list(5)``
    + fingerprint: of its key
    """

    @staticmethod
    def default() -> RepositoryState:
        return RepositoryState()

    def command(self, keyring: str, sources: str, uri: str, fingerprint: str) -> StringCommand:
        # gpg makes its home folder, whatever it is asked: not in root's, a fact leaves no trace.
        # Of the other sources only those are told that name this server, with their keyrings.
        return question(
            _FILES
            + r"""
            keyring=$1 sources=$2 key=$4
            server=${3#*://}; server=${server%%/*}
            if command -v gpg >/dev/null; then
              export GNUPGHOME=$(mktemp -d); trap 'rm -rf "$GNUPGHOME"' EXIT
              has_key() { gpg --batch --show-keys --with-colons -- "$@" 2>/dev/null \
                | grep -q "^fpr:.*:$key:"; }
              # gpg takes long to start: each file is looked at alone only where one has the key.
              ! has_key /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/* \
                || for file in /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/*; do
                  [ ! -f "$file" ] || ! has_key "$file" || echo "trusted $file"
                done
            fi
            ! grep -q ai-workstation -- "$sources" 2>/dev/null || echo ours
            echo "wanted $(encoded "$3")"
            echo "own $(encoded "$keyring")"
            told() {
              grep -qiF -e "${server:-/}" -- "$file" || return 0
              echo "file $(encoded "$file") $(base64 -w0 "$file")"
              awk 'tolower($0) ~ /signed-by/ {on = 1; print; next}
                on && /^[ \t]/ {print; next} {on = 0}' "$file" \
                | grep -oE '/[^],[:space:]]+' >>"$answers/keyrings"
            }
            eval "$(apt-config shell reader APT::Sandbox::User 2>/dev/null)"
            reader=${reader:-_apt}
            echo "$keyring" >"$answers/keyrings"
            each_file told
            sort -u "$answers/keyrings" | while IFS= read -r file; do
              [ -f "$file" ] || continue
              # apt checks signatures as a user of its own, from whom an umask may hide it.
              ! answered getent passwd "$reader" >/dev/null \
                || answered runuser -u "$reader" -- test -r "$file" || continue
              echo "keyring $(encoded "$file") $(head -c 200000 "$file" | base64 -w0)"
            done
            true
            """,
            keyring,
            sources,
            uri,
            fingerprint,
        )

    def read(self, lines: list[str]) -> RepositoryState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        keyrings = {
            _decoded(path).decode(errors="replace"): fingerprints(_decoded(content))
            for path, _, content in (
                rest.partition(" ") for word, rest in pairs if word == "keyring"
            )
        }
        uri, own = (_decoded(words.get(word, "")).decode() for word in ("wanted", "own"))
        configured: list[Configured] = []
        for word, rest in pairs:
            if word == "file":
                entries = parse(*_file(rest), words.get("architecture", ""))
                same = [one for one in entries if same_repository(one.uri, uri)]
                configured += [
                    Configured(one, _keys(one, keyrings), len(same) == len(entries)) for one in same
                ]
        return RepositoryState(
            fingerprints=keyrings.get(own, ()),
            configured=tuple(configured),
            ours="ours" in words,
            trusted=tuple(value for word, value in pairs if word == "trusted"),
            architecture=words.get("architecture", ""),
        )


def _keys(entry: Entry, keyrings: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the fingerprints of all keys that may sign an entry; none where any key may."""
    if entry.keyrings:
        return tuple(key for path in entry.keyrings for key in keyrings.get(path, ()))
    if "PGP PUBLIC KEY" in entry.signed_by:
        # In deb822 a line of a key that is empty is a dot (sources.list(5)).
        lines = [line.strip() for line in entry.signed_by.splitlines()]
        return fingerprints("\n".join("" if one == "." else one for one in lines).encode())
    return tuple(re.sub("[! ]", "", one).upper() for one in entry.signed_by.split(",") if one)
