"""Image layers without a container engine: Debian's from mmdebstrap, others from files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.image import debian_mirror
from lab.upstream.files import EPOCH, Tar, cached, key_of, sha256_file

MINIMAL = ("python3", "python3-yaml", "ca-certificates", "usr-is-merged")
"""Packages of the layer below every image (beside Debian's essential ones)."""

PYTHON = (
    *MINIMAL,
    "python3-pip",
    "python3-venv",
    "git",
    "libglib2.0-0",
    "libgomp1",
    "tini",
    "gosu",
)
"""Packages of the Python base image."""

REDIS = (*MINIMAL, "redis-server")
"""Packages of the Redis image."""

PLACEHOLDERS = (
    "libgl1",
    "ffmpeg",
    "build-essential",
    "gcc",
    "g++",
    "make",
    "cmake",
    "pkg-config",
    "python3-dev",
    "python3.11-dev",
    "libgoogle-perftools4",
    "libtcmalloc-minimal4",
    "libsm6",
    "libxext6",
    "libxrender1",
    "libsndfile1",
    "python3-opencv",
    "rsync",
    "unzip",
    "tmux",
    "htop",
    "nvtop",
    "wget",
    "openssl",
    "openssh-client",
    "libopenblas-dev",
    "libopenblas0-pthread",
)
"""Packages that the Python base image claims to have (dpkg's database alone): what the real
programs need of them is not exercised here, and together they would be 500 MB to unpack."""

_DROPPED = (
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/locale/",
    "usr/share/info/",
    "usr/share/perl/",
    "usr/lib/x86_64-linux-gnu/perl/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/share/i18n/",
    "usr/share/zoneinfo/",
    "usr/lib/python3.11/pydoc_data/",
    "usr/lib/python3.11/lib2to3/",
    "usr/share/lintian/",
    "usr/share/bash-completion/",
    "var/cache/",
    "var/log/",
    "dev/",
    "usr/share/perl5/",
    "usr/share/gitweb/",
    "usr/share/bug/",
    "var/lib/apt/lists/",
    "etc/apt/sources.list",
)
_RECIPE = 2
"""Increase this number to download Debian again."""

_KEPT = ("var/cache/apt/archives/partial", "var/cache/debconf", "var/lib/apt/lists/partial")


@dataclass(frozen=True)
class Layer:
    """One layer: the compressed file with its digests (``sha256:...``) and size in bytes."""

    path: Path
    digest: str
    diff_id: str
    size: int


def from_tar(name: str, cache: Path, make: Callable[[Path], None]) -> Layer:
    """Return the layer ``name`` from the cache; if it is missing, compress the tar that ``make``
    writes.

    The name must contain a hash of everything that goes into the layer.
    """
    folder = cache / "layers"
    packed = folder / f"{name}.tar.zst"
    note = folder / f"{name}.json"

    def compress(target: Path) -> None:
        plain = target.with_suffix(".plain")
        try:
            make(plain)
            # An emulated machine unpacks zstd in 60 % of gzip's time.
            subprocess.run(["zstd", "-q", "-f", "-10", str(plain), "-o", str(target)], check=True)
            note.write_text(json.dumps({"digest": sha256_file(target), "diff": sha256_file(plain)}))
        finally:
            plain.unlink(missing_ok=True)

    cached(packed, compress)
    digests = json.loads(note.read_text())
    return Layer(
        packed, f"sha256:{digests['digest']}", f"sha256:{digests['diff']}", packed.stat().st_size
    )


def from_files(name: str, cache: Path, tar: Tar) -> Layer:
    """Return the layer of a ``Tar``."""
    return from_tar(name, cache, tar.write)


def bootstrap(packages: Sequence[str], cache: Path, name: str) -> Path:
    """Return an uncompressed tar of Debian bookworm with ``packages``, made by mmdebstrap.

    The environment's DEBIAN_MIRROR selects the server. Raises LabError.
    """
    wanted = f"{name}-{key_of(*packages, _RECIPE)}"

    def make(target: Path) -> None:
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            "--components=main",
            "--format=tar",
            f"--include={','.join(packages)}",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "bookworm",
            str(target),
            debian_mirror(),
        ]
        if shutil.which("mmdebstrap") is None:
            raise LabError("mmdebstrap is missing: apt install mmdebstrap")
        # SOURCE_DATE_EPOCH must not be set: it changes the times of sources, which invalidates
        # their compiled .pyc, and an emulated machine needs seconds to compile the standard library
        # at each start.
        clean = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
        result = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
        if result.returncode:
            raise LabError(f"mmdebstrap failed:\n{result.stderr[-2000:]}")

    return cached(cache / "debian" / f"{wanted}.tar", make)


def trimmed(source: Path, target: Path, changes: Callable[[tarfile.TarFile], None]) -> None:
    """Copy a Debian tar without documentation and caches, then call ``changes`` to add members."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            _copy(old, new, member)
        changes(new)


def difference(
    lower: Path,
    upper: Path,
    target: Path,
    changes: Callable[[tarfile.TarFile], None],
    edit: Callable[[str, bytes], bytes],
) -> None:
    """Write the files of the Debian tar ``upper`` that ``lower`` lacks; ``edit`` may change a
    file."""
    with tarfile.open(lower) as old:
        known = {m.name: _identity(old, m) for m in old}
    with tarfile.open(upper) as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for member in source:
            if known.get(member.name) != _identity(source, member):
                _copy(source, new, member, edit)
        changes(new)


def add(
    tar: tarfile.TarFile, name: str, data: str = "", *, link: str = "", mode: int = 0o644
) -> None:
    """Add a small file or a symbolic link to an open tar."""
    info = tarfile.TarInfo(name)
    info.mtime, info.mode = EPOCH, mode
    if link:
        info.type, info.linkname = tarfile.SYMTYPE, link
        tar.addfile(info)
    else:
        info.size = len(data.encode())
        tar.addfile(info, io.BytesIO(data.encode()))


def _copy(
    old: tarfile.TarFile,
    new: tarfile.TarFile,
    member: tarfile.TarInfo,
    edit: Callable[[str, bytes], bytes] | None = None,
) -> None:
    name = member.name.removeprefix("./")
    if not name or name == "." or member.isdev() or not _kept(name):
        return
    content = old.extractfile(member) if member.isreg() else None
    if content is not None and edit is not None:
        data = edit(name, content.read())
        content, member.size = io.BytesIO(data), len(data)
    member.name, member.mtime = name, int(member.mtime)
    if member.islnk():
        member.linkname = member.linkname.removeprefix("./")
    member.uname = member.gname = ""
    member.pax_headers = {}
    new.addfile(member, content)


def _kept(name: str) -> bool:
    if name.startswith(_KEPT) or (name + "/") in _DROPPED:
        return True
    # The marker makes pip refuse a system-wide install; the official Python image has none.
    return not name.startswith(_DROPPED) and not name.endswith("EXTERNALLY-MANAGED")


def _identity(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[object, ...]:
    content = tar.extractfile(member) if member.isreg() else None
    digest = hashlib.sha256(content.read()).hexdigest() if content else ""
    return (member.type, member.mode, member.uid, member.gid, member.linkname, digest)
