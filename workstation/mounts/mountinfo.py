"""What is mounted where, in layers: the kernel's list of mounts (proc_pid_mountinfo(5)), and
mount(8)'s own records (``/run/mount/utab``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workstation.mounts.fstab import unescape
from workstation.stack import is_below

SYSTEMD = "systemd-1"
"""Source of systemd's own automount points (autofs), which wait for the first access."""


@dataclass(frozen=True)
class Mount:
    """One mount. ``root``: the folder of the file system that it shows; ``target``: its mountpoint;
    ``options``: its own, and those of the file system."""

    id: int
    parent: int
    root: str
    target: str
    kind: str
    source: str
    options: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Source and type, for people."""
        part = "" if self.root == "/" else f"[{self.root}]"
        return f"{self.source}{part} ({self.kind})"


def parse(text: str) -> list[Mount]:
    """Return the mounts listed in ``/proc/self/mountinfo``; malformed lines are skipped."""
    return [mount for line in text.split("\n") if (mount := _mount(line))]


def _mount(line: str) -> Mount | None:
    first, dash, second = line.partition(" - ")
    fields, own = first.split(" "), second.split(" ")
    if not dash or len(fields) < 6 or len(own) < 2 or not fields[0].isdigit():
        return None
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        root=unescape(fields[3]),
        target=unescape(fields[4]),
        kind=own[0],
        source=unescape(own[1]),
        options=(*fields[5].split(","), *(own[2].split(",") if own[2:] else ())),
    )


def passed(mounts: Sequence[Mount], path: str) -> list[Mount]:
    """Return the mounts that the kernel passes on its way to ``path``, in order; the last one
    contains it. Mounts hidden below another are not included.

    + path: absolute, without links
    """
    ids = {mount.id for mount in mounts}
    roots = [one for one in mounts if one.target == "/" and one.parent not in ids - {one.id}]
    return list(_onward(mounts, roots[-1], path)) if roots else []


def _onward(mounts: Sequence[Mount], mount: Mount, path: str) -> Iterator[Mount]:
    yield mount
    there = [
        one
        for one in mounts
        if one.parent == mount.id != one.id
        and is_below(path, one.target)
        and is_below(one.target, mount.target)
    ]
    if there:
        yield from _onward(mounts, min(there, key=lambda one: len(one.target)), path)


def remembered(text: str, target: str) -> tuple[str, ...]:
    """Return the user-space options with which mount(8) last mounted on ``target``.

    + text: content of ``/run/mount/utab``
    """
    options: tuple[str, ...] = ()
    for line in text.split("\n"):
        words = dict(word.partition("=")[::2] for word in line.split(" "))
        if unescape(words.get("TARGET", "")) == target:
            options = tuple(unescape(words.get("OPTS", "")).split(","))
    return options
