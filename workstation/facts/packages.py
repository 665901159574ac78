"""Debian packages and the keys of their repositories."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question


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
            "! command -v dpkg-query >/dev/null || dpkg-query -W -f "
            "'${Package} ${Version} ${db:Status-Want} ${db:Status-Status}\\n'"
        )

    def read(self, lines: list[str]) -> dict[str, PackageState]:
        packages = {}
        for line in lines:
            name, version, want, status = line.split(" ")
            if status == "installed":
                packages[name] = PackageState(version, want == "hold")
        return packages


@dataclass(frozen=True)
class RepositoryState:
    """``fingerprints`` of the primary keys in the keyring; ``others``: further files in
    ``sources.list.d`` that name this repository alone; ``mixed``: those that name it beside
    another; ``trusted``: files in which ``apt-key add`` has put its key, which then vouches for
    every repository, not for its own alone."""

    fingerprints: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()


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
        # NVIDIA's own guide writes $(ARCH) where we name the architecture.
        return question(
            """
            if command -v gpg >/dev/null; then
              export GNUPGHOME=$(mktemp -d); trap 'rm -rf "$GNUPGHOME"' EXIT
              [ ! -f "$1" ] || gpg --batch --show-keys --with-colons "$1" 2>/dev/null \\
                | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print "key", $10; p = 0}'
              has_key() { gpg --batch --show-keys --with-colons -- "$@" 2>/dev/null \\
                | grep -q "^fpr:.*:$key:"; }
              key=$4
              # gpg takes long to start: each file is looked at alone only where one has the key.
              ! has_key /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/* \\
                || for file in /etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/*; do
                  [ ! -f "$file" ] || ! has_key "$file" || echo "trusted $file"
                done
            fi
            for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
              [ -f "$file" ] && [ "$file" != "$2" ] || continue
              active=$(grep -E '^(deb |deb-src |URIs:)' "$file")
              same=$(printf '%s\\n' "$active" | grep -cF -e "$3" -e "${3%/*}/\\$(ARCH)")
              [ "$same" != 0 ] || continue
              [ "$same" = "$(printf '%s\\n' "$active" | wc -l)" ] \\
                && echo "other $file" || echo "mixed $file"
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
        return RepositoryState(
            fingerprints=tuple(value for word, value in pairs if word == "key"),
            others=tuple(value for word, value in pairs if word == "other"),
            mixed=tuple(value for word, value in pairs if word == "mixed"),
            trusted=tuple(value for word, value in pairs if word == "trusted"),
        )
