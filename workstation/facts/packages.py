"""Debian packages, what apt would do, and its sources with their signing keys."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.apt.openpgp import fingerprints
from workstation.apt.sources import Entry, parse, same_repository
from workstation.facts.shell import Fact, question

# Inst docker-buildx [0.13.1-3] (0.29.1-4 Debian:forky [amd64]) []
_INSTALL = re.compile(r"Inst (?P<name>\S+)(?: \[(?P<old>[^\]]+)\])? \((?P<new>\S+)")


@dataclass(frozen=True)
class PackageState:
    """An installed package's version, and whether it is held."""

    version: str
    held: bool


class Packages(Fact[dict[str, PackageState]]):
    """Returns all installed packages, so that one question serves every operation."""

    def command(self) -> StringCommand:
        return question(scripts.text("packages/packages.sh"))

    def read(self, lines: list[str]) -> dict[str, PackageState]:
        packages = {}
        for line in lines:
            name, version, want, status = line.split(" ")
            if status == "installed":
                packages[name] = PackageState(version, want == "hold")
        return packages


@dataclass(frozen=True)
class SimulatedState:
    """``known``: apt knows all of these packages; ``installed``: packages that it would install,
    name -> versions before (empty for none) and after; ``removed``: those that it would remove."""

    known: bool = False
    installed: dict[str, tuple[str, str]] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class Simulated(Fact[SimulatedState]):
    """
    Returns the ``SimulatedState`` of an installation, from the current package lists.

    + packages: names, with ``=version`` for an exact version
    """

    def command(self, packages: list[str]) -> StringCommand:
        return question(scripts.text("packages/simulated.sh"), *packages)

    def read(self, lines: list[str]) -> SimulatedState:
        found = [match for line in lines if (match := _INSTALL.match(line))]
        return SimulatedState(
            known="known" in lines,
            installed={one["name"]: (one["old"] or "", one["new"]) for one in found},
            removed=tuple(line.split()[1] for line in lines if line.startswith(("Remv ", "Purg "))),
        )


@dataclass(frozen=True)
class SourcesState:
    """``refused``: why apt reads none of its sources, in its own words; ``entries``: the active
    ones; ``proxies``: address of a proxy that apt uses -> the file that sets it."""

    refused: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    proxies: dict[str, str] = field(default_factory=dict, hash=False)


class Sources(Fact[SourcesState]):
    """Returns the ``SourcesState`` of the host, without contacting a server."""

    def command(self) -> StringCommand:
        return question(scripts.text("packages/sources.sh"))

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
    """An entry for a repository, in any file. ``keys``: fingerprints of the keys that may sign it;
    ``alone``: whether its file has no other entries."""

    entry: Entry
    keys: tuple[str, ...] = ()
    alone: bool = True


@dataclass(frozen=True)
class RepositoryState:
    """``fingerprints``: of the primary keys in our keyring; ``configured``: the active entries for
    this repository, whoever made them; ``ours``: whether a run created the file at our path;
    ``trusted``: files to which ``apt-key add`` added its key, which makes apt accept it for every
    repository, not only its own."""

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

    def command(self, keyring: str, sources: str, uri: str, fingerprint: str) -> StringCommand:
        return question(scripts.text("packages/repository.sh"), keyring, sources, uri, fingerprint)

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
    """Return the fingerprints of all keys that may sign an entry; none if any key may."""
    if entry.keyrings:
        return tuple(key for path in entry.keyrings for key in keyrings.get(path, ()))
    if "PGP PUBLIC KEY" in entry.signed_by:
        # In deb822, an empty line of a key is written as a dot (sources.list(5)).
        lines = [line.strip() for line in entry.signed_by.splitlines()]
        return fingerprints("\n".join("" if one == "." else one for one in lines).encode())
    return tuple(re.sub("[! ]", "", one).upper() for one in entry.signed_by.split(",") if one)
