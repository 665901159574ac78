"""Debian packages and the keys of their repositories."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import FactBase, StringCommand

from workstation.facts.shell import script


@dataclass(frozen=True)
class PackageState:
    """An installed package's version and whether it is held back from upgrades."""

    version: str
    held: bool


class Packages(FactBase[dict[str, PackageState]]):
    """
    Returns those of the named packages that are installed.

    + names: package names
    """

    @staticmethod
    def default() -> dict[str, PackageState]:
        return {}

    def command(self, names: list[str]) -> StringCommand:
        return script(
            "dpkg-query -W -f '${Package} ${Version} ${db:Status-Want} ${db:Status-Status}\\n'"
            ' -- "$@" 2>/dev/null; true',
            *names,
        )

    def process(self, output: list[str]) -> dict[str, PackageState]:
        packages = {}
        for line in output:
            name, version, want, status = line.split(" ")
            if status == "installed":
                packages[name] = PackageState(version, want == "hold")
        return packages


class KeyringFingerprints(FactBase[dict[str, list[str]]]):
    """
    Returns the primary keys' fingerprints in each keyring file that exists.

    + paths: keyring files
    """

    @staticmethod
    def default() -> dict[str, list[str]]:
        return {}

    def command(self, paths: list[str]) -> StringCommand:
        return script(
            """
            command -v gpg >/dev/null || exit 0
            for path; do
              [ -f "$path" ] || continue
              echo "keyring $path"
              gpg --batch --show-keys --with-colons "$path" 2>/dev/null \\
                | awk -F: '$1 == "pub" {p = 1} $1 == "fpr" && p {print $10; p = 0}'
            done
            """,
            *paths,
        )

    def process(self, output: list[str]) -> dict[str, list[str]]:
        keyrings: dict[str, list[str]] = {}
        path = ""
        for line in output:
            if line.startswith("keyring "):
                path = line.removeprefix("keyring ")
                keyrings[path] = []
            else:
                keyrings[path].append(line)
        return keyrings
