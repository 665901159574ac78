"""Disks, for what will be pulled and built and for stacks; the entry in fstab, and the share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from workstation import fstab
from workstation.findings import Finding
from workstation.stack import Service

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.surroundings import Disk

_GB = 10**9

# What each image adds at least, in GB, uncompressed: docs/images.md, "Tried with the true sources"
# (size less the base's). The two that are pulled hold the same PyTorch and CUDA as the base, and
# more. What is not here is small, or not known.
_SIZES = {
    "base": 7.94,
    "fooocus": 1.24,
    "forge": 2.16,
    "fluxgym": 1.32,
    "ai-toolkit": 5.96,
    "yanwk/comfyui-boot": 7.9,
    "invoke-ai/invokeai": 7.9,
}
_COMFORTABLE = 20 * _GB


def data_folders(daemon_json: bytes | None) -> list[str]:
    """Return the folders in which images may lie: the Engine's, and containerd's, where a fresh
    Docker 29 keeps them.

    + daemon_json: the Engine's configuration, whose ``data-root`` moves it
    """
    try:
        configured = json.loads(daemon_json or b"{}").get("data-root")
    except (ValueError, AttributeError):
        configured = None
    root = configured if isinstance(configured, str) and configured else "/var/lib/docker"
    return [root, "/var/lib/containerd"]


def size(images: Iterable[str]) -> int:
    """Return how many bytes these images take at least, those of unknown size left out."""
    total = 0.0
    for image in set(images):
        path = image.partition("@")[0]
        head, slash, last = path.rpartition("/")
        name = f"{head}{slash}{last.partition(':')[0]}"
        total += next((gb for key, gb in _SIZES.items() if f"/{name}".endswith(f"/{key}")), 0)
    return round(total * _GB)


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
    need = 0 if stand_ins else size(service.image for service in missing)
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


def mount_findings(wanted: Iterable[str], mounted: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether a disk of its own is mounted on each folder on which a stack wants one. A
    folder of that name on the disk of the system is none.

    + mounted: folder -> source
    """
    for folder in wanted:
        source = mounted.get(folder, "")
        yield Finding(
            f"mount {folder}",
            bool(source),
            source or "nothing is mounted there",
            f"mount the disk, with a line in /etc/fstab so that it is there after a reboot, or, if "
            f"the disk of the system is to be used, take {folder} out of `disks` in the stack's "
            "group_data",
        )


def fstab_findings(text: str, source: str, mountpoint: str) -> Iterator[Finding]:
    """Yield what else ``/etc/fstab`` mounts where the share belongs.

    An entry of the same kind gives way to ours, which is worth knowing if it is another share; any
    other is somebody's disk.

    + text: content of fstab
    + source: of the share, ``//server/share``
    """
    others = [
        (number, entry)
        for number, line in enumerate(text.splitlines(), 1)
        if (entry := fstab.parse(line))
        and fstab.unescape(entry.target).rstrip("/") == mountpoint
        and (entry.kind not in ("cifs", "smb3") or fstab.unescape(entry.source) != source)
    ]
    for number, entry in others:
        share = entry.kind in ("cifs", "smb3")
        yield Finding(
            "/etc/fstab",
            False,
            f"line {number} mounts {entry.source} ({entry.kind}) on {mountpoint}, where {source} "
            "belongs" + (", and will be replaced" if share else ""),
            "remove that line, or set SMB_MOUNT to another folder",
            note=share,
        )
    if not others:
        yield Finding("/etc/fstab", True, f"nothing else is mounted on {mountpoint}")


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
