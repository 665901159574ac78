"""Debian packages: exact versions, held where an upgrade would break something.

pyinfra's ``apt.packages(update=True)`` always counts as a change, ``apt.key`` does not look at
the fingerprint. Here the package lists are fetched only when something is to be installed, a
source of somebody else's that is broken is a note, and a repository's key is only accepted if its
fingerprint is the pinned one.
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
from workstation.operations.base import operation
from workstation.operations.live import command_output
from workstation.pins import AptRepository
from workstation.plan import Change, Changes, Group, together
from workstation.run import current

_ASIDE = "before-ai-workstation"


@operation
def installed(packages: list[str], hold: bool = False, removes: Sequence[str] = ()) -> Changes:
    """
    Have these packages installed, each as ``name`` or ``name=version``.

    + packages: names, with an exact version where one is pinned
    + hold: also keep ``apt upgrade`` from replacing them
    + removes: packages that may go for it, beside those that apt itself names beforehand; the plan
      shows those of them that are installed

    Where apt would remove another one nothing is installed.
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
    # dpkg forgets the hold of what is replaced.
    lost = [*unheld, *(name for name in replaced if name in found and found[name].held)]
    again = [script('apt-mark hold -- "$@" >/dev/null', *lost)] if lost else []
    yield together([*made, *(Change("~", f"package {name} held") for name in unheld)], again)


def _installation(
    missing: list[str],
    names: list[str],
    removes: Sequence[str],
    found: Mapping[str, PackageState],
) -> Group:
    """Return the installation of packages, with all that apt does for it.

    + missing, names: packages as apt is given them, and without their versions
    + removes: see ``installed``
    + found: the packages that the host has; none where it cannot be asked yet
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
            Change("~", f"package {name}", f"{old} -> {new}, as {names[0]} needs it")
            for name, (old, new) in beside.items()
        ),
        *(Change("-", f"package {name}", f"in the way of {names[0]}") for name in gone),
    ]
    return together(changes, [through_apt(command, missing)])


def through_apt(command: StringCommand, packages: list[str]) -> FunctionCommand:
    """Return a command that installs, shows its output as it comes, and then says in a sentence why
    it failed, or which sources of apt are broken.

    + command: that runs ``files/packages/install.sh``
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
        host.log_styled(told, fg="red")
        current().reasons[host.name] = told
        return False
    found = current().findings
    for one in broken:
        note = Finding(f"apt source {one.source}", False, one.said, one.fix, note=True)
        others = [other for other in found.get(host.name, []) if other.name != note.name]
        found[host.name] = [*others, note]
        told = f"note: the apt source {one}. What this run needs comes from others."
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
    Have an apt repository, signed by exactly the pinned key: as somebody has configured it, or in a
    deb822 file of ours.

    + name: of the ``.sources`` file and the keyring
    + key_url: where the key is fetched from
    + fingerprint: 40 hexadecimal digits, of the only primary key in it
    + uri, suite, components: as in ``sources.list(5)``; suite ``/`` is a flat repository
    + gone: files of other repositories that give way to this one

    What gives way is kept beside its place. apt refuses all of its sources where two entries of one
    repository name different keyrings, so that there is never a second keyring for it.
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
    # One that does not serve what is wanted still decides how the repository is signed.
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
        host.noop(f"{uri} {suite} is used as it stands in {used.entry.place}")
    if used:
        cause = f"as it stands in {used.entry.place}, with the pinned key"
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
    """Return the files of entries that the pinned key does not vouch for.

    + rewritten: the file that an entry of ours replaces

    Raises HostError for one that cannot go, since its file names other repositories too.
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
                f"{entry.place} on {host.name} names {shown(entry.uri)} {entry.suite} with "
                f"{_signature(one)}, beside other repositories, and apt refuses a second entry "
                "for it with the pinned key: remove that one, then run again."
            )
    return list(aside)


def _signature(one: Configured) -> str:
    if one.entry.unchecked:
        return "no check of its signature"
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
    """Return the arguments of the fact ``Repository``, from those of :func:`repository`."""
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
    + mirror: where upstreams are
    """
    return {
        "name": name,
        "key_url": mirror.url(pin.key_url),
        "fingerprint": pin.fingerprint,
        "uri": mirror.url(pin.uri),
        "suite": pin.suite,
        "components": pin.components,
    }
