"""Debian packages: exact versions, held if an upgrade would break something.

pyinfra's ``apt.packages(update=True)`` always counts as a change, and ``apt.key`` does not check
the fingerprint. Here the package lists are only fetched to install something, a broken source
that is not ours is a note, and a repository's key is only accepted with the pinned fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand

from workstation import scripts
from workstation.apt.failures import broken_sources, failure, last_update
from workstation.apt.sources import same_suite, shown
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.files import Paths
from workstation.facts.packages import (
    Configured,
    Packages,
    PackageState,
    Repository,
    Simulated,
    Sources,
)
from workstation.facts.shell import script
from workstation.findings import Finding
from workstation.mirror import Mirror
from workstation.operations import files
from workstation.operations.base import fail, operation
from workstation.operations.live import command_output
from workstation.pins import AptRepository
from workstation.plan import Change, Changes, Group, together
from workstation.run import current

_ASIDE = "before-ai-workstation"


@operation
def installed(packages: list[str], hold: bool = False, removes: Sequence[str] = ()) -> Changes:
    """
    Ensure these packages are installed, each given as ``name`` or ``name=version``.

    + packages: names, with an exact version if one is pinned
    + hold: also keep ``apt upgrade`` from replacing them
    + removes: packages that may be removed for it, besides those that apt names beforehand; the
      plan shows the installed ones

    If apt would remove any other package, nothing is installed.
    """
    wanted = {package.partition("=")[0]: package.partition("=")[2] for package in packages}
    found = ask(host, Packages)
    missing = [
        f"{name}={version}" if version else name
        for name, version in wanted.items()
        if name not in found or (version and found[name].version != version)
    ]
    unheld = [name for name in wanted if hold and (name not in found or not found[name].held)]
    if not missing and not unheld:
        host.noop("packages are installed: " + ", ".join(packages))
        return
    replaced = [package.partition("=")[0] for package in missing]
    made = [_installation(missing, replaced, removes, found)] if missing else []
    # dpkg forgets the hold of a package that is replaced.
    lost = [*unheld, *(name for name in replaced if name in found and found[name].held)]
    again = [script('apt-mark hold -- "$@" >/dev/null', *lost)] if lost else []
    yield together([*made, *(Change("~", f"package {name} held") for name in unheld)], again)


def _installation(
    missing: list[str],
    names: list[str],
    removes: Sequence[str],
    found: Mapping[str, PackageState],
) -> Group:
    """Return the installation of packages, with everything else that apt does for it.

    + missing, names: packages as passed to apt, and without their versions
    + removes: see ``installed``
    + found: the installed packages; empty if the host cannot be queried yet
    """
    gone = [name for name in removes if name in found]
    beside: dict[str, tuple[str, str]] = {}
    if found:
        simulated = ask(host, Simulated, packages=missing)
        gone = list(dict.fromkeys([*gone, *simulated.removed]))
        beside = {
            name: versions
            for name, versions in simulated.installed.items()
            if versions[0] and name not in names
        }
    # Somebody's own hold on another package stays.
    held = any(name in found and found[name].held for name in names)
    options = ["--allow-change-held-packages"] if held else []
    command = script(
        scripts.text("packages/install.sh"), *options, *(f"-{name}" for name in gone), *missing
    )
    changes = [
        *(
            Change("~" if name in found else "+", f"package {package}")
            for package, name in zip(missing, names, strict=True)
        ),
        *(
            Change("~", f"package {name}", f"{old} -> {new}, required by {names[0]}")
            for name, (old, new) in beside.items()
        ),
        *(Change("-", f"package {name}", f"conflicts with {names[0]}") for name in gone),
    ]
    return together(changes, [through_apt(command, missing)])


def through_apt(command: StringCommand, packages: list[str]) -> FunctionCommand:
    """Return a command that installs packages, shows its output live, and then says in one
    sentence why it failed, or which of apt's sources are broken.

    + command: runs ``files/packages/install.sh``
    + packages: what it installs
    """
    return FunctionCommand(_install, (command, packages), {})


def _install(state: Any, host: Any, command: StringCommand, packages: list[str]) -> bool:
    status, output = command_output(host, command)
    lines = output.output_lines
    update = last_update(lines)
    broken = broken_sources(update, ())
    if broken:
        known = ask(host, Sources)
        broken = broken_sources(update, known.entries, known.proxies)
    if not status:
        told = f"apt on {host.name} {failure(packages, lines, broken)}"
        return fail(host, HostError(told, id="packages-not-installed"))
    found = current().findings
    for one in broken:
        note = Finding(f"apt source {one.source}", False, one.said, one.fix, note=True)
        others = [other for other in found.get(host.name, []) if other.name != note.name]
        found[host.name] = [*others, note]
        told = f"note: the apt source {one}. This run gets its packages from other sources."
        host.log_styled(f"{told} To fix it: {one.fix}.", fg="yellow")
    return True


@operation
def repository(
    name: str,
    key_url: str,
    fingerprint: str,
    uri: str,
    suite: str,
    components: str = "",
    gone: Sequence[str] = (),
) -> Changes:
    """
    Ensure an apt repository, signed by exactly the pinned key: as already configured, or in our own
    deb822 file.

    + name: of the ``.sources`` file and the keyring
    + key_url: where to download the key
    + fingerprint: 40 hexadecimal digits, of the only primary key in it
    + uri, suite, components: as in ``sources.list(5)``; suite ``/`` is a flat repository
    + gone: files of other repositories that this one replaces

    Replaced files are kept in the same folder under another name. apt rejects all of its sources if
    two entries of one repository name different keyrings, so there is never a second keyring.
    """
    question = asked_of({"name": name, "uri": uri, "fingerprint": fingerprint})
    keyring, path = question["keyring"], question["sources"]
    found = ask(host, Repository, **question)
    others = [
        one
        for one in found.configured
        if same_suite(one.entry.suite, suite) and not (found.ours and one.entry.file == path)
    ]
    trusted = [one for one in others if one.keys == (fingerprint,) and not one.entry.unchecked]
    wanted = tuple(components.split())
    used = next((one for one in trusted if one.entry.serves(found.architecture, wanted)), None)
    # An entry without the wanted components still decides which keyring the repository uses.
    elsewhere = next((one for one in trusted if one.entry.file != path), None)
    signed_by = elsewhere.entry.signed_by if elsewhere else keyring
    content = _content(uri, suite, components, signed_by).encode()
    entry = files.Absent(path) if used else files.File(path, content, backup=True)
    states = ask(host, Paths, **files.question([entry, *map(files.Absent, gone)]))
    aside = _giving_way(others, trusted, "" if used else path)
    aside += [file for file in gone if file in states and file not in aside]
    aside = [file for file in aside if file not in {one.entry.file for one in trusted}]
    fetch = not (used or elsewhere) and found.fingerprints != (fingerprint,)
    settles = not used or found.ours
    if used and not (settles or aside):
        host.noop(f"{uri} {suite} is already configured in {used.entry.place}")
    if used:
        cause = f"already configured in {used.entry.place} with the pinned key"
        yield Change("=", f"{uri} {suite}", cause)
    if fetch:
        yield Change(
            "~" if found.fingerprints else "+",
            keyring,
            f"key {fingerprint}",
            commands=[
                script(scripts.text("packages/fetch_key.sh"), key_url, fingerprint, keyring, name)
            ],
        )
    for file in aside:
        yield Change(
            "-",
            file,
            f"kept as {file}.{_ASIDE}",
            commands=[script('mv --backup=numbered -T -- "$1" "$1.$2"', file, _ASIDE)],
        )
    if settles:
        yield from files.settle([entry], states)


def _giving_way(
    others: Sequence[Configured], trusted: Sequence[Configured], rewritten: str
) -> list[str]:
    """Return the files of entries that are not signed by the pinned key.

    + rewritten: the file that our entry replaces

    Raises HostError for an entry that cannot be moved away because its file names other
    repositories too.
    """
    aside: dict[str, None] = {}
    for one in others:
        entry = one.entry
        if one in trusted or entry.file == rewritten:
            continue
        if one.alone:
            aside[entry.file] = None
        else:
            raise HostError(
                f"{entry.place} on {host.name} lists {shown(entry.uri)} {entry.suite} with "
                f"{_signature(one)}, next to other repositories, and apt rejects a second entry "
                "for it with the pinned key: remove that entry, then run again.",
                id="apt-source-conflict",
            )
    return list(aside)


def _signature(one: Configured) -> str:
    if one.entry.unchecked:
        return "no signature check"
    if one.keys:
        return f"the key {', '.join(one.keys)}"
    return f"the keyring {one.entry.signed_by}" if one.entry.keyrings else "no keyring"


def _content(uri: str, suite: str, components: str, signed_by: str) -> str:
    lines = [
        "# ai-workstation",
        "Types: deb",
        f"URIs: {uri}",
        f"Suites: {suite}",
        *([f"Components: {components}"] if components else []),
        f"Signed-By:{'' if signed_by[:1].isspace() else ' '}{signed_by}",
        "",
    ]
    return "\n".join(lines)


def asked_of(repository: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments of the fact ``Repository`` for those of :func:`repository`."""
    name = repository["name"]
    return {
        "keyring": f"/usr/share/keyrings/{name}.gpg",
        "sources": f"/etc/apt/sources.list.d/{name}.sources",
        "uri": repository["uri"],
        "fingerprint": repository["fingerprint"],
    }


def repository_of(name: str, pin: AptRepository, mirror: Mirror) -> dict[str, Any]:
    """Return the arguments of :func:`repository` for a pinned repository.

    + name: of the ``.sources`` file
    + pin: from ``pins.yml``
    + mirror: where to download from
    """
    return {
        "name": name,
        "key_url": mirror.url(pin.key_url),
        "fingerprint": pin.fingerprint,
        "uri": mirror.url(pin.uri),
        "suite": pin.suite,
        "components": pin.components,
    }
