"""Disks, for what will be pulled and built and for stacks; the entry in fstab, and the share."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from workstation.docker.daemon_json import DATA_ROOT, read_or_nothing
from workstation.findings import Finding
from workstation.mounts import fstab
from workstation.mounts.cifs import same_source
from workstation.stack import Mount, Service, Stack, is_below

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.smb import MountState
    from workstation.facts.surroundings import Disk

_GB = 10**9

_COMFORTABLE = 20 * _GB

# Their files have the owner and mode that mount options say, and chown is refused or ignored.
_WITHOUT_OWNERS = ("vfat", "msdos", "exfat", "cifs", "smb3")
_SHOWN = 3


def data_folders(daemon_json: bytes | None) -> list[str]:
    """Return the folders in which images may lie: the Engine's, and containerd's, where a fresh
    Docker 29 keeps them.

    + daemon_json: the Engine's configuration, whose ``data-root`` moves it
    """
    configured = read_or_nothing(daemon_json).get("data-root")
    root = configured if isinstance(configured, str) and configured else DATA_ROOT
    return [root, "/var/lib/containerd"]


def size(services: Iterable[Service]) -> int:
    """Return how many bytes the images of these services take at least, those of unknown size left
    out."""
    return round(sum({one.image: one.image_gb for one in services}.values()) * _GB)


def disk_findings(
    disks: Mapping[str, Disk],
    images: Sequence[str],
    missing: Iterable[Service],
    stand_ins: bool,
) -> Iterator[Finding]:
    """Yield whether there is room on every disk concerned.

    + disks: folder -> the disk in which it lies
    + images: those of the folders in which images may lie; the roomier one counts
    + missing: services whose image will be pulled or built
    + stand_ins: whether images are not the real ones, whose sizes are known
    """
    roomiest = max((disks[one] for one in images if one in disks), key=_free, default=None)
    need = 0 if stand_ins else size(missing)
    for mountpoint in sorted({disk.mountpoint for disk in disks.values()}):
        folders = [folder for folder, disk in disks.items() if disk.mountpoint == mountpoint]
        free = disks[folders[0]].free
        takes = need if roomiest and roomiest.mountpoint == mountpoint else 0
        detail = f"{free / _GB:.0f} GB are free for {', '.join(folders)}"
        if takes:
            detail += f"; images to be pulled and built take at least {takes / _GB:.0f} GB"
        if stand_ins:
            detail += "; what stand-ins take is not known"
        yield Finding(
            f"disk {mountpoint}",
            stand_ins or free - takes >= _COMFORTABLE,
            detail,
            "make room (`docker system df` shows what Docker takes), or put a larger disk there: "
            "20 GB beyond the images are soon filled by builds' caches and models",
            note=free >= takes,
        )


def _free(disk: Disk) -> int:
    return disk.free


def place_findings(
    disks: Mapping[str, Disk], silent: Iterable[str], stores: Iterable[str], share: str
) -> Iterator[Finding]:
    """Yield the folders that cannot be used where they lie, links followed.

    + disks: folder -> the disk in which it lies
    + silent: folders that do not answer
    + stores: those that a run gives to an owner and a group
    + share: where the share is mounted
    """
    for folder in silent:
        yield Finding(
            f"folder {folder}",
            False,
            "it does not answer: what is mounted there or above it waits for its server",
            f"see `findmnt --target {folder}` and `systemctl list-automounts`; `umount -l` ends a "
            "mount whose server is gone",
        )
    for folder in stores:
        disk = disks.get(folder)
        if disk and (disk.kind in _WITHOUT_OWNERS or is_below(disk.mountpoint, share)):
            yield Finding(
                f"folder {folder}",
                False,
                f"it lies in {disk.mountpoint} ({disk.kind}), where files have no owners and modes "
                "of their own",
                "use a folder on ext4, xfs, btrfs or zfs",
            )


def link_findings(
    store: str, real: str, links: Sequence[tuple[str, str]], stacks: Iterable[Stack]
) -> Iterator[Finding]:
    """Yield which links of the model store lead where containers cannot follow: they see the store,
    and what else they mount, under names of their own.

    + real: where the store really lies
    + links: path below the store -> what the link says, of those that are absolute or lead out
    """
    views = [
        [mount for mount in service.mounts if mount.kind == "bind"]
        for stack in stacks
        for service in stack.running
        if any(mount.source == store for mount in service.mounts)
    ]
    lost = [
        (name, said, posixpath.normpath(posixpath.join(real, posixpath.dirname(name), said)))
        for name, said in links
        if any(not _follows(view, said) for view in views)
    ]
    inside = [one for one in lost if is_below(one[2], store) or is_below(one[2], real)]
    outside = [one for one in lost if one not in inside]
    for group in (inside, outside):
        if not group:
            continue
        shown = ", ".join(f"{name} -> {said}" for name, said, _ in group[:_SHOWN])
        more = f" and {len(group) - _SHOWN} more" if len(group) > _SHOWN else ""
        name, _, leads = group[0]
        if group is inside:
            start = posixpath.dirname(f"{store if is_below(leads, store) else real}/{name}")
            fix = (
                "make them relative, so that they hold wherever the store is mounted: "
                f"`ln -sfn {posixpath.relpath(leads, start)} {store}/{name}`"
            )
        else:
            fix = (
                "move the files into the store, or bind a folder instead of the link, by a line in "
                f"/etc/fstab such as `{leads} {store}/{name} none bind 0 0`, mount it and start "
                "the containers anew"
            )
        yield Finding(
            f"links in {store}",
            False,
            f"containers cannot follow {fstab.printable(shown)}{more}",
            fstab.printable(fix),
            note=True,
        )


def _follows(view: Iterable[Mount], said: str) -> bool:
    """Whether a link's absolute path is the same file in a container as on the host."""
    return any(mount.source == mount.target and is_below(said, mount.target) for mount in view)


def mount_findings(wanted: Iterable[str], mounted: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether a disk of its own is mounted on each folder on which a stack wants one. A
    folder of that name on the disk of the system is none.

    + mounted: folder -> source
    """
    for folder in wanted:
        source = mounted.get(folder, "")
        yield Finding(
            f"mount {folder}",
            source not in ("", "does not answer"),
            source or "nothing is mounted there",
            f"mount the disk, with a line in /etc/fstab so that it is there after a reboot, or, if "
            f"the disk of the system is to be used, take {folder} out of `disks` in the stack's "
            "group_data",
        )


def fstab_findings(
    text: str, source: str, mountpoint: str, linked: Collection[int] = ()
) -> Iterator[Finding]:
    """Yield what else ``/etc/fstab`` mounts where the share belongs.

    An entry of the same kind gives way to ours, which is worth knowing if it is another share; any
    other is somebody's disk.

    + text: content of fstab
    + source: of the share, ``//server/share``
    + linked: numbers of the lines that name the mountpoint by a link
    """
    others = [
        (number, entry)
        for number, entry in fstab.of(text, mountpoint, linked)
        if not (entry.is_share and same_source(fstab.unescape(entry.source), source))
    ]
    for number, entry in others:
        yield Finding(
            "/etc/fstab",
            False,
            f"line {number} mounts {entry.shown} on {mountpoint}, where {source} "
            "belongs" + (", and will be replaced" if entry.is_share else ""),
            "remove that line, or set SMB_MOUNT to another folder",
            note=entry.is_share,
        )
    if not others:
        yield Finding("/etc/fstab", True, f"nothing else is mounted on {mountpoint}")


def mountpoint_findings(found: MountState, mountpoint: str) -> Iterator[Finding]:
    """Yield what is in the way of the share on its mountpoint, besides an entry of fstab.

    + found: what is on the mountpoint
    """
    other = "or set SMB_MOUNT to another folder"
    if found.real:
        yield _mountpoint(
            f"{mountpoint} is really {found.real}, to which a link leads, and systemd names mounts "
            "by where they are",
            f"set SMB_MOUNT={found.real}",
        )
        return
    automounters = [
        one for one in found.layers if one.kind == "autofs" and not found.automount.active
    ]
    map_ = found.above or "".join(one.source for one in automounters[:1])
    if map_:
        yield _mountpoint(
            f"an automounter has {mountpoint} by its map {map_}",
            f"take the folder out of that map and reload autofs, {other}",
        )
    for unit in (found.mount, found.automount):
        if unit.masked:
            yield _mountpoint(
                f"{unit.name} is masked, so that systemd never mounts there",
                f"`systemctl unmask {unit.name}`, {other}",
            )
        elif unit.file:
            lasting = not unit.file.startswith("/run/systemd/transient")
            yield _mountpoint(
                f"{unit.file} says what is mounted on {mountpoint}, and systemd does not look into "
                "/etc/fstab for it",
                f"`systemctl disable --now {unit.name}` and move the file away, {other}"
                if lasting
                else f"`systemctl stop {unit.name}`, {other}",
            )
    for drop_in in found.mount.overrides:
        yield _mountpoint(
            f"{drop_in} changes what systemd mounts on {mountpoint} at boot",
            "move it away unless it is meant: a run does not look into it",
            note=True,
        )
    foreign = [one for one in found.layers if one.kind not in ("cifs", "smb3", "autofs")]
    for layer in foreign:
        yield _mountpoint(
            f"{fstab.printable(layer.shown)} is mounted on {mountpoint}"
            + (", under the share" if found.share else ""),
            f"`umount {mountpoint}`, {other}",
            note=bool(found.share),
        )
    if found.hidden and not found.share:
        yield _mountpoint(
            f"{found.hidden} files or folders lie in {mountpoint}, and are hidden while the share "
            "is mounted there",
            f"move them to the share, {other}",
            note=True,
        )
    if not found.flags:
        yield _mountpoint(
            f"the file system of {mountpoint} knows no immutable folders (chattr +i): while the "
            "share is away, outputs are written to the disk in its place",
            "set SMB_MOUNT to a folder on ext4, xfs or btrfs",
            note=True,
        )


def _mountpoint(detail: str, fix: str, note: bool = False) -> Finding:
    return Finding("SMB_MOUNT", False, detail, fix, note=note)


def share_finding(refusal: str | None, verdict: str, detail: str, source: str) -> Finding:
    """Return whether the file server lets us in.

    + refusal: why it does not, with the way out behind the last colon
    + verdict, detail: the server's answer (``ShareAnswer``)
    """
    if refusal:
        seen, _, fix = refusal.rstrip(".").rpartition(": ")
        return Finding("share", False, seen, fix)
    if verdict != "accepted":
        return Finding(
            "share",
            False,
            f"whether {source} lets us in is not known: {detail}",
            "go on: the run tells what the server answers where it mounts the share",
            note=True,
        )
    return Finding("share", True, f"{source} accepts user and password")
