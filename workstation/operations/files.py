"""Our files and folders on the host: compared by digest, written atomically.

pyinfra's own ``files.*`` query each path separately, upload through a predictable file in ``/tmp``
and print all content they change. These query all paths at once, write to a temporary name next to
the destination, flush and rename it, and never show content marked secret.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import secrets
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from pyinfra import host, state
from pyinfra.api import HiddenValue, StringCommand

from workstation import scripts
from workstation.difference import difference
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.files import Contents, Filled, Paths, PathState, WrongEntries
from workstation.facts.shell import script
from workstation.links import Destination, above, destination, refusal
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together

# Key for the digests of secret files, so that a printed fact reveals nothing about a weak password.
DIGEST_KEY = HiddenValue(secrets.token_hex(16))  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class File:
    """A file that must exist at ``path`` with exactly this content, mode and owner.

    An empty ``mode`` keeps the mode and owner of an existing file, for files that we merge into.
    ``secret`` keeps its content out of all output. ``backup`` is for a path that may hold somebody
    else's file: one without our mark, the word ``ai-workstation``, is first copied to
    ``<path>.before-ai-workstation``.
    """

    path: str
    content: bytes = field(repr=False)
    mode: str = "644"
    user: str = "root"
    group: str = "root"
    secret: bool = False
    backup: bool = False


@dataclass(frozen=True)
class Directory:
    """A folder that must exist at ``path`` with this mode and owner (a name or a number). It may be
    a link to a folder, such as one on a larger disk, which then has this mode and owner.

    ``known_by`` is for a folder that a setting names: entries by which an existing one is
    recognized. Without any of them, only an empty folder is given this mode and owner.
    """

    path: str
    mode: str = "755"
    user: str = "root"
    group: str = "root"
    known_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Absent:
    """A path that must not exist: a file or link, or an empty folder."""

    path: str


Entry = File | Directory | Absent

_A = {"file": "a file", "directory": "a directory", "link": "a link", "other": "a special file"}


def _settled(entry: File, found: PathState | None) -> File:
    """Return the entry, its mode and owner filled in from the existing file if they are kept."""
    if entry.mode:
        return entry
    if found is None:
        return replace(entry, mode="644")
    # Use the number if it has no name: chown does not understand stat's UNKNOWN.
    user = found.user if found.user != "UNKNOWN" else str(found.uid)
    group = found.group if found.group != "UNKNOWN" else str(found.gid)
    return replace(entry, mode=found.mode, user=user, group=group)


def _same_owner(state_: PathState, entry: File | Directory) -> bool:
    return entry.user in (state_.user, str(state_.uid)) and entry.group in (
        state_.group,
        str(state_.gid),
    )


def _digest(entry: File) -> str:
    key = str(DIGEST_KEY.unmask()).encode() if entry.secret else b""
    return hashlib.sha256(key + entry.content).hexdigest()


def _described(entry: File | Directory, found: PathState | None) -> str:
    if isinstance(entry, File):
        entry = _settled(entry, found)
    if found is None:
        return f"{entry.mode} {entry.user}:{entry.group}"
    notes = []
    if isinstance(entry, File) and found.digest != _digest(entry):
        notes.append("content")
    if found.mode != entry.mode:
        notes.append(f"mode {found.mode} -> {entry.mode}")
    if not _same_owner(found, entry):
        notes.append(f"owner {found.user}:{found.group} -> {entry.user}:{entry.group}")
    return ", ".join(notes)


def commands_for(entry: File | Absent, found: PathState | None) -> Iterator[StringCommand]:
    """Yield the commands that make ``entry`` true; none if it already is. Its path is a real one:
    no folder on the way may be a link."""
    if isinstance(entry, Absent):
        if found is not None:
            remove = "rmdir" if found.kind == "directory" else "rm -f"
            yield script(f'{remove} -- "$1"', entry.path)
        return
    entry = _settled(entry, found)
    owner = f"{entry.user}:{entry.group}"
    if found is None or found.digest != _digest(entry):
        content = base64.b64encode(entry.content).decode()
        backup = "backup" if entry.backup else ""
        yield script(
            scripts.text("files/write.sh"), entry.path, entry.mode, owner, backup, stdin=content
        )
    elif found.mode != entry.mode or not _same_owner(found, entry):
        yield script(scripts.text("files/own.sh"), entry.path, entry.mode, owner)


def _is_wrong(entry: Entry, found: PathState | None) -> bool:
    if isinstance(entry, Directory):
        return found is None or found.mode != entry.mode or not _same_owner(found, entry)
    return any(True for _ in commands_for(entry, found))


@operation
def present(entries: list[Entry]) -> Changes:
    """
    Make every entry true, changing only those that are not.

    + entries: files, folders and paths to remove, in order

    **Example:**

    .. code:: python

        files.present(name="Units of Ollama", entries=[files.File(path, content)])
    """
    return settle(entries, ask(host, Paths, **question(entries)))


def question(entries: list[Entry]) -> dict[str, Any]:
    """Return the arguments of the fact ``Paths`` for these entries; with a key if any is secret."""
    secret = [entry.path for entry in entries if isinstance(entry, File) and entry.secret]
    marks = [mark for entry in entries for mark in _marks(entry)]
    paths = dict.fromkeys([*(entry.path for entry in entries), *marks])
    # The folders above too: a path that does not exist yet lies where they lead.
    higher = dict.fromkeys(folder for path in paths for folder in above(path))
    return {
        "paths": [*paths, *(folder for folder in higher if folder not in paths)],
        "secret": secret,
        "key": DIGEST_KEY if secret else None,
    }


def other_content(entries: list[Entry]) -> set[str]:
    """Return the paths of the files that are missing on the host or have other content."""
    if not entries:
        return set()
    states = ask(host, Paths, **question(entries))
    return {
        entry.path
        for entry in entries
        if isinstance(entry, File)
        if entry.path not in states or states[entry.path].digest != _digest(entry)
    }


def settle(entries: list[Entry], states: dict[str, PathState]) -> Changes:
    """Yield the changes that make the entries true; consecutive folders share one command.

    + states: what the fact ``Paths`` reports about them
    """
    folders = [entry.path for entry in entries if isinstance(entry, Directory)]
    destinations = {
        entry.path: destination(entry.path, folders, states)
        for entry in entries
        if not isinstance(entry, Absent)
    }
    states = {**states, **{path: _followed(states[path]) for path in folders if path in states}}
    _refuse_wrong_kinds(entries, states)
    wrong = [entry for entry in entries if _is_wrong(entry, states.get(entry.path))]
    for entry in wrong:
        _refuse_somebody_elses(entry, states)
    for path, found in destinations.items():
        # Nothing is changed through another user's link, but a path that is right may be used.
        if found.system or (found.planted and path in [entry.path for entry in wrong]):
            raise HostError(f"{path} on {host.name} {refusal(found)}.", id="link-untrusted")
    if not wrong:
        host.noop(f"up to date: {len(entries)} path{'' if len(entries) == 1 else 's'}")
        return
    diffs = _differences(wrong, states)
    for _, group in groupby(wrong, lambda entry: isinstance(entry, Directory)):
        row = list(group)
        changes = [_change(entry, states.get(entry.path), destinations, diffs) for entry in row]
        if directories := [entry for entry in row if isinstance(entry, Directory)]:
            yield together(changes, [_made(directories, destinations)])
        else:
            yield from changes


def _change(
    entry: Entry,
    found: PathState | None,
    destinations: Mapping[str, Destination],
    diffs: Mapping[str, tuple[str, ...]],
) -> Change:
    """Return the change of an entry that is wrong; a folder's command is shared with others."""
    if isinstance(entry, Absent):
        return Change("-", entry.path, commands=tuple(commands_for(entry, found)))
    real = destinations[entry.path].real
    commands = (
        tuple(commands_for(replace(entry, path=real), found)) if isinstance(entry, File) else ()
    )
    leads = f", real path {real}" if real != entry.path else ""
    cause, diff = _described(entry, found) + leads, diffs.get(entry.path, ())
    writes = ""
    if isinstance(entry, File) and (
        found is None or found.digest != _digest(_settled(entry, found))
    ):
        writes = entry.path
    return Change("~" if found else "+", entry.path, cause, diff, commands, writes)


def _made(directories: list[Directory], destinations: Mapping[str, Destination]) -> StringCommand:
    values = [
        value
        for one in directories
        for value in (destinations[one.path].real, one.mode, f"{one.user}:{one.group}")
    ]
    return script(scripts.text("files/directories.sh"), *values)


def _followed(found: PathState) -> PathState:
    """Return the state of the folder that a link leads to instead of the link's."""
    return found.leads if found.leads and found.leads.kind == "directory" else found


def _refuse_wrong_kinds(entries: list[Entry], states: dict[str, PathState]) -> None:
    """Raise HostError before anything is changed if a path has the wrong kind."""
    for entry in entries:
        found = states.get(entry.path)
        if found is None or isinstance(entry, Absent):
            continue
        wanted = "file" if isinstance(entry, File) else "directory"
        if found.kind != wanted:
            if found.kind == "link" and found.leads is None and wanted == "directory":
                raise HostError(
                    f"{entry.path} on {host.name} is a link to {found.real or 'nothing'}, which "
                    "does not exist: mount its disk, or remove the link, then run again.",
                    id="link-broken",
                )
            raise HostError(
                f"{entry.path} on {host.name} is {_A[found.kind]}, but {_A[wanted]} belongs there: "
                "move it away, then run again.",
                id="path-wrong-kind",
            )


def _marks(entry: Entry) -> list[str]:
    """Return the paths that show what a folder is for."""
    names = entry.known_by if isinstance(entry, Directory) else ()
    return [f"{entry.path}/{name}" for name in names]


def _refuse_somebody_elses(entry: Entry, states: dict[str, PathState]) -> None:
    """Raise HostError before a folder is changed that a person named but that looks like another,
    as after a typing error."""
    marks = _marks(entry)
    if not marks or entry.path not in states or any(mark in states for mark in marks):
        return
    if ask(host, Filled, path=entry.path):
        raise HostError(
            f"{entry.path} on {host.name} is not empty, and nothing in it shows that it holds "
            f"models (such as a folder {posixpath.basename(marks[0])}), so a run does not take it "
            "over: correct the setting that names it, or, if it is the right folder, run "
            f"`mkdir {shlex.quote(marks[0])}`.",
            id="folder-not-ours",
        )


def _differences(changed: list[Entry], states: dict[str, PathState]) -> dict[str, tuple[str, ...]]:
    """Return the diff of each file without secrets, if the run shows diffs."""
    if not state.config.DIFF:
        return {}
    plain = [entry for entry in changed if isinstance(entry, File) and not entry.secret]
    existing = [entry.path for entry in plain if entry.path in states]
    old = ask(host, Contents, paths=existing) if existing else {}
    return {
        entry.path: difference(entry.path, old.get(entry.path, b""), entry.content)
        for entry in plain
    }


@operation
def shared_tree(path: str, group: str, settled: Collection[str] = ()) -> Changes:
    """
    Give everything below ``path`` to ``group``, with setgid folders, so that people and services
    can share it. Only wrong entries are changed, and owners never are.

    + path: the folder
    + group: the group
    + settled: folders whose group and mode another operation sets, ``path`` first

    Raises HostError if the folder is behind a link that may lead anywhere.
    """
    found = ask(host, WrongEntries, path=path, group=group)
    wrong = [entry for entry in found if entry not in settled]
    if not wrong:
        host.noop(f"everything below {path} is shared with {group}")
        return
    # The folders in the same order as for `present`: its question is answered from memory.
    folders: list[Entry] = [Directory(one) for one in dict.fromkeys([*settled, path])]
    states: dict[str, PathState] = ask(host, Paths, **question(folders))
    leads = destination(path, [], states)
    if leads.system or leads.planted:
        raise HostError(f"{path} on {host.name} {refusal(leads)}.", id="link-untrusted")
    changes = [Change("~", entry, f"group {group}, group access") for entry in wrong[:5]]
    if len(wrong) > 5:
        changes.append(Change("~", f"at least {len(wrong) - 5} more below {path}"))
    yield together(changes, [script(scripts.text("files/shared.sh"), leads.real, group)])
