"""Check disks (for images and for stacks), the entry in fstab, and the share."""

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

# Mount options set the owner and mode of all their files; chown is rejected or ignored.
_WITHOUT_OWNERS = ("vfat", "msdos", "exfat", "cifs", "smb3")
_SHOWN = 3


def data_folders(daemon_json: bytes | None) -> list[str]:
    """Return the folders where images may be stored: the Engine's, and containerd's, which a new
    Docker 29 uses.

    + daemon_json: the Engine's configuration, whose ``data-root`` moves its folder
    """
    configured = read_or_nothing(daemon_json).get("data-root")
    root = configured if isinstance(configured, str) and configured else DATA_ROOT
    return [root, "/var/lib/containerd"]


def size(services: Iterable[Service]) -> int:
    """Return the minimum size in bytes of the images of these services, ignoring those of unknown
    size."""
    sizes: dict[str, float] = {}
    for one in services:
        sizes[one.image] = max(one.image_gb, sizes.get(one.image, 0.0))
    return round(sum(sizes.values()) * _GB)


def disk_findings(
    disks: Mapping[str, Disk],
    images: Sequence[str],
    missing: Iterable[Service],
    stand_ins: bool,
) -> Iterator[Finding]:
    """Yield whether every disk that is used has enough free space.

    + disks: folder -> the disk it is on
    + images: the folders where images may be stored; the one with more free space counts
    + missing: services whose image will be pulled or built
    + stand_ins: whether images are stand-ins, whose sizes are unknown
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
            detail += "; the size of the stand-ins is unknown"
        yield Finding(
            f"disk {mountpoint}",
            stand_ins or free - takes >= _COMFORTABLE,
            detail,
            "free up space (`docker system df` shows what Docker uses), or use a larger disk: "
            "build caches and models soon fill 20 GB on top of the images",
            note=free >= takes,
            id="disk-too-small",
        )


def _free(disk: Disk) -> int:
    return disk.free


def place_findings(
    disks: Mapping[str, Disk], silent: Iterable[str], stores: Iterable[str], share: str
) -> Iterator[Finding]:
    """Yield the folders that cannot be used at their real location, with links resolved.

    + disks: folder -> the disk it is on
    + silent: folders that do not respond
    + stores: folders whose owner and group a run sets
    + share: where the share is mounted
    """
    for folder in silent:
        yield Finding(
            f"folder {folder}",
            False,
            "it does not answer: a file system mounted there or above waits for its server",
            f"see `findmnt --target {folder}` and `systemctl list-automounts`; `umount -l` "
            "detaches a mount whose server is gone",
            id="folder-not-answering",
        )
    for folder in stores:
        disk = disks.get(folder)
        if disk and (disk.kind in _WITHOUT_OWNERS or is_below(disk.mountpoint, share)):
            yield Finding(
                f"folder {folder}",
                False,
                f"it is on {disk.mountpoint} ({disk.kind}), where files have no owner and mode of "
                "their own",
                "use a folder on ext4, xfs, btrfs or zfs",
                id="files-without-owners",
            )


def link_findings(
    store: str, real: str, links: Sequence[tuple[str, str]], stacks: Iterable[Stack]
) -> Iterator[Finding]:
    """Yield the links in the model store that containers cannot follow, because they mount the
    store and other folders at different paths.

    + real: the store's real path
    + links: path below the store -> target, for links that are absolute or point outside the store
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
                "make them relative, so that they work wherever the store is mounted: "
                f"`ln -sfn {posixpath.relpath(leads, start)} {store}/{name}`"
            )
        else:
            fix = (
                "move the files into the store, or replace the link with a bind mount: add a line "
                f"such as `{leads} {store}/{name} none bind 0 0` to /etc/fstab, mount it, and "
                "restart the containers"
            )
        yield Finding(
            f"links in {store}",
            False,
            f"containers cannot follow {fstab.printable(shown)}{more}",
            fstab.printable(fix),
            note=True,
            id="model-links",
        )


def _follows(view: Iterable[Mount], said: str) -> bool:
    """Whether a link's absolute path names the same file in a container as on the host."""
    return any(mount.source == mount.target and is_below(said, mount.target) for mount in view)


def mount_findings(wanted: Iterable[str], mounted: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether a separate disk is mounted on each folder for which a stack requires one. A
    folder of that name on the system disk does not count.

    + mounted: folder -> source
    """
    for folder in wanted:
        source = mounted.get(folder, "")
        yield Finding(
            f"mount {folder}",
            source not in ("", "does not answer"),
            source or "nothing is mounted there",
            "mount the disk, with a line in /etc/fstab so that it survives a reboot; or, to use "
            f"the system disk, remove {folder} from `disks` in the stack's group_data",
            id="disk-not-mounted",
        )


def fstab_findings(
    text: str, source: str, mountpoint: str, linked: Collection[int] = ()
) -> Iterator[Finding]:
    """Yield what else ``/etc/fstab`` mounts where the share belongs.

    Our entry replaces an entry for a share, which is a note if it is another share. Any other entry
    is somebody's disk.

    + text: content of fstab
    + source: the share, ``//server/share``
    + linked: numbers of the lines that name the mountpoint through a link
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
            id="fstab-conflict",
        )
    if not others:
        yield Finding(
            "/etc/fstab", True, f"nothing else is mounted on {mountpoint}", id="fstab-conflict"
        )


def mountpoint_findings(found: MountState, mountpoint: str) -> Iterator[Finding]:
    """Yield what prevents mounting the share on its mountpoint, besides entries of fstab.

    + found: the state of the mountpoint
    """
    other = "or set SMB_MOUNT to another folder"
    if found.real:
        yield _mountpoint(
            f"{mountpoint} is a link or behind one: its real path is {found.real}, and systemd "
            "names mounts after real paths",
            f"set SMB_MOUNT={found.real}",
        )
        return
    automounters = [
        one for one in found.layers if one.kind == "autofs" and not found.automount.active
    ]
    map_ = found.above or "".join(one.source for one in automounters[:1])
    if map_:
        yield _mountpoint(
            f"an automounter manages {mountpoint} through its map {map_}",
            f"remove the folder from that map and reload autofs, {other}",
        )
    for unit in (found.mount, found.automount):
        if unit.masked:
            yield _mountpoint(
                f"{unit.name} is masked, so systemd never mounts anything there",
                f"run `systemctl unmask {unit.name}`, {other}",
            )
        elif unit.file:
            lasting = not unit.file.startswith("/run/systemd/transient")
            yield _mountpoint(
                f"{unit.file} defines what is mounted on {mountpoint}, so systemd ignores the "
                "entry in /etc/fstab",
                f"run `systemctl disable --now {unit.name}` and move the file away, {other}"
                if lasting
                else f"run `systemctl stop {unit.name}`, {other}",
            )
    for drop_in in found.mount.overrides:
        yield _mountpoint(
            f"{drop_in} changes what systemd mounts on {mountpoint} at boot",
            "move it away unless you want it; a run does not check its content",
            note=True,
        )
    foreign = [one for one in found.layers if one.kind not in ("cifs", "smb3", "autofs")]
    for layer in foreign:
        yield _mountpoint(
            f"{fstab.printable(layer.shown)} is mounted on {mountpoint}"
            + (", under the share" if found.share else ""),
            f"run `umount {mountpoint}`, {other}",
            note=bool(found.share),
        )
    if found.hidden and not found.share:
        entries = "1 file or folder" if found.hidden == 1 else f"{found.hidden} files or folders"
        lines = fstab.of(fstab.decode(found.fstab), mountpoint, found.linked)
        yield _mountpoint(
            f"{mountpoint} contains {entries}, hidden while the share is mounted there",
            f"move its content to the share, {other}",
            # A folder that was not made for the share is somebody's.
            note=found.immutable or any(entry.is_share for _, entry in lines),
        )
    if not found.flags:
        yield _mountpoint(
            f"the file system of {mountpoint} does not support immutable folders (chattr +i): "
            "while the share is not mounted, outputs are written to the local disk",
            "set SMB_MOUNT to a folder on ext4, xfs or btrfs",
            note=True,
        )


def _mountpoint(detail: str, fix: str, note: bool = False) -> Finding:
    return Finding("SMB_MOUNT", False, detail, fix, note=note, id="smb-mountpoint")


def share_finding(refusal: str | None, verdict: str, detail: str, source: str) -> Finding:
    """Return whether the file server accepts our login.

    + refusal: why it does not, with the fix after the last colon
    + verdict, detail: the server's answer (``ShareAnswer``)
    """
    if refusal:
        seen, _, fix = refusal.rstrip(".").rpartition(": ")
        return Finding("share", False, seen, fix, id="smb-login")
    if verdict != "accepted":
        return Finding(
            "share",
            False,
            f"the login to {source} could not be tried: {detail}",
            "nothing to do: the run shows the server's answer when it mounts the share",
            note=True,
            id="smb-not-tried",
        )
    return Finding("share", True, f"{source} accepts the user and password", id="smb-login")
