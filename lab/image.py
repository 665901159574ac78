"""The bare machine's disk: Debian 13 made by mmdebstrap, in the cache under its inputs' hash.

Sources: mmdebstrap(1); mke2fs(8) for `-d`; Debian's archive layout for the suites.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import keys, progress
from lab.errors import LabError
from lab.paths import GUEST, cache

SUITE = "trixie"
SIZE = "40G"  # sparse: it takes 1 GB
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = [
    *("systemd", "systemd-sysv", "udev", "dbus", "systemd-timesyncd", "linux-image-amd64"),
    *("openssh-server", "sudo", "ca-certificates", "iproute2", "iputils-ping", "netbase"),
    *("kmod", "less", "procps", "python3", "gpg", "curl", "e2fsprogs", "locales"),
]
KEPT_SECONDS = 30 * 24 * 3600
HELPERS = ("trust.py", "customize.sh")  # of lab/guest/: run during the build, not part of the image


@dataclass(frozen=True)
class Image:
    """A built image: a folder of the cache."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The raw root file system, read-only by convention: overlays are based on it."""
        return self.folder / "root.raw"

    @property
    def kernel(self) -> Path:
        """The guest's kernel, which QEMU loads."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The guest's initial RAM disk."""
        return self.folder / "initrd"


def ensure() -> Image:
    """Return the image; build it first if the cache lacks it (about a minute, needs root or
    sudo)."""
    files = guest_files()
    mirror = debian_mirror()
    image = Image(cache() / "images" / input_hash(files, mirror))
    if not image.folder.exists():
        with _locked():
            if not image.folder.exists():
                _forget_old_images()
                _build(image, files, mirror)
    os.utime(image.folder)
    return image


def guest_files() -> dict[str, tuple[int, bytes]]:
    """Return the files added to Debian: path in the guest -> (mode, content)."""
    files = {
        str(path.relative_to(GUEST)): (path.stat().st_mode & 0o755, path.read_bytes())
        for path in sorted(GUEST.rglob("*"))
        if path.is_file() and path.name not in HELPERS and "__pycache__" not in path.parts
    }
    files["etc/sudoers.d/operator"] = (0o440, files["etc/sudoers.d/operator"][1])
    host = keys.host_key()
    files["etc/ssh/ssh_host_ed25519_key"] = (0o600, host.private.read_bytes())
    files["etc/ssh/ssh_host_ed25519_key.pub"] = (0o644, host.public.encode() + b"\n")
    files["usr/local/share/lab.pub"] = (0o644, keys.user_key().public.encode() + b"\n")
    files["usr/local/share/outer-ca.pem"] = (0o644, outer_bundle().read_bytes())
    files["usr/local/share/trust.py"] = (0o644, (GUEST / "trust.py").read_bytes())
    return files


def outer_bundle() -> Path:
    """Return the CA bundle that this machine trusts."""
    for name in (os.environ.get("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"):
        if name and Path(name).is_file():
            return Path(name)
    raise LabError("no CA bundle found: install ca-certificates, or set SSL_CERT_FILE to one")


def input_hash(files: Mapping[str, tuple[int, bytes]], mirror: str) -> str:
    """Return 16 hex digits that change with every input of the image."""
    listing = [[name, mode, _sha256(data)] for name, (mode, data) in sorted(files.items())]
    script = _sha256((GUEST / "customize.sh").read_bytes())
    recipe = [SUITE, SIZE, sorted(PACKAGES), mirror, script, listing]
    return _sha256(json.dumps(recipe).encode())[:16]


def debian_mirror() -> str:
    """Return the URL of Debian's packages; DEBIAN_MIRROR overrides it."""
    return (os.environ.get("DEBIAN_MIRROR") or "http://deb.debian.org/debian").rstrip("/")


def sources(mirror: str) -> list[str]:
    """Return the guest's apt sources, one-line style. Security updates are next to the mirror."""
    return [
        f"deb {mirror} {SUITE} main",
        f"deb {mirror} {SUITE}-updates main",
        f"deb {mirror}-security {SUITE}-security main",
    ]


def overlay_tar(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return a tar archive of the files, all owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (mode, data) in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mode, member.size = mode, len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _build(image: Image, files: Mapping[str, tuple[int, bytes]], mirror: str) -> None:
    work = image.folder.with_name(f"{image.folder.name}.new")
    root = work / "root"
    as_root(["rm", "-rf", str(work)], "image: removing an unfinished image")
    work.mkdir(parents=True)
    (work / "overlay.tar").write_bytes(overlay_tar(files))
    as_root(
        [
            *("mmdebstrap", "--mode=root", "--variant=minbase", f"--keyring={KEYRING}"),
            *("--aptopt=Acquire::Languages none", f"--include={','.join(PACKAGES)}"),
            f"--customize-hook=rm -f $1/etc/ssh/ssh_host_*; tar -C $1 -xf '{work}/overlay.tar'",
            f"--customize-hook='{GUEST}/customize.sh' $1",
            *(SUITE, str(root), *sources(mirror)),
        ],
        f"image: Debian {SUITE}, {len(PACKAGES)} packages and what they need",
    )
    disk = str(work / "root.raw")
    # Otherwise the kernel zeroes the inode tables in the background; a sparse file is already zero.
    mkfs = ["mkfs.ext4", "-q", "-L", "root", "-E", "assume_storage_prezeroed=1"]
    as_root([*mkfs, "-d", str(root), disk, SIZE], f"image: ext4 file system of {SIZE}")
    for name, source in (("vmlinuz", "vmlinuz"), ("initrd", "initrd.img")):
        as_root(["cp", "-L", str(root / source), str(work / name)], f"image: the guest's {source}")
    as_root(["rm", "-rf", str(root), str(work / "overlay.tar")], "image: cleaning up")
    as_root(["chown", "-R", f"{os.getuid()}:{os.getgid()}", str(work)], "image: owner of the image")
    (work / "initrd").chmod(0o644)
    work.rename(image.folder)


def _forget_old_images() -> None:
    """Remove images that no lab has started from in a month."""
    for folder in (cache() / "images").glob("*"):
        if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def as_root(command: list[str], title: str) -> None:
    """Run a command as root, with sudo if needed, as a step.

    Raises LabError if it is missing or fails.
    """
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    if not shutil.which(command[0], path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
        raise LabError(f"{command[0]} is missing; `./provision lab` installs what the lab needs")
    with progress.step(title) as running:
        progress.run([*sudo, *command], running)


@contextmanager
def _locked() -> Iterator[None]:
    """Let only one process build at a time."""
    with (cache() / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
