"""Small file helpers of the mirror's builders: hashes, atomic writes, deterministic tar."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

STANDINS = Path(__file__).resolve().parent.parent / "standins"
"""Folder of the stand-in programs and package contents."""

EPOCH = 1767225600
"""Every file time in what is built: 2026-01-01 UTC, so that the same inputs give the same bytes."""


def key_of(*parts: object) -> str:
    """Hash the parts (str() of each) to a short name for a cache entry (16 hex digits)."""
    text = "\0".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tree_hash(folder: Path) -> str:
    """Return a hash of every file below ``folder``: name, execute bit, content."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = "x" if os.access(path, os.X_OK) else "-"
            total.update(f"{path.relative_to(folder)} {mode} {sha256_file(path)}\n".encode())
    return total.hexdigest()


def write(path: Path, data: bytes | str, mode: int = 0o644) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old or the new content, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = data.encode() if isinstance(data, str) else data
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        stream.write(content)
    os.chmod(stream.name, mode)
    os.replace(stream.name, path)


def place(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a hard link, or a copy across filesystems."""
    if target.exists() and target.stat().st_ino == source.stat().st_ino:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(target.name + ".new")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copy2(source, temporary)
    os.replace(temporary, target)


def cached(path: Path, make: Callable[[Path], None]) -> Path:
    """Return ``path``; when absent, let ``make`` write it under a temporary name first."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            make(temporary)
            os.replace(temporary, path)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)
    return path


class Tar:
    """A tar whose bytes depend on its content alone: fixed times, sorted names, root as owner."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[tarfile.TarInfo, bytes | Path]] = {}

    def file(self, name: str, data: bytes | str | Path, mode: int = 0o644, uid: int = 0) -> None:
        """Add a regular file ``name`` (no leading slash) from bytes, text or a file."""
        self._parents(name)
        info = tarfile.TarInfo(name)
        content = data.encode() if isinstance(data, str) else data
        info.size = content.stat().st_size if isinstance(content, Path) else len(content)
        info.mode, info.mtime, info.uid, info.gid = mode, EPOCH, uid, uid
        self._members[name] = (info, content)

    def directory(self, name: str, mode: int = 0o755, uid: int = 0) -> None:
        """Add a directory."""
        self._parents(name)
        info = tarfile.TarInfo(name.rstrip("/"))
        info.type, info.mode, info.mtime, info.uid, info.gid = (
            tarfile.DIRTYPE,
            mode,
            EPOCH,
            uid,
            uid,
        )
        self._members[info.name] = (info, b"")

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._parents(name)
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mtime = tarfile.SYMTYPE, target, EPOCH
        self._members[name] = (info, b"")

    def tree(self, name: str, folder: Path, modes: Mapping[str, int] | None = None) -> None:
        """Add every file below ``folder`` under ``name``; ``modes`` overrides by relative path."""
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder).as_posix()
            if path.is_file() and "__pycache__" not in path.parts:
                default = 0o755 if os.access(path, os.X_OK) else 0o644
                mode = (modes or {}).get(relative, default)
                self.file(f"{name}/{relative}" if name else relative, path, mode)

    def write(self, target: Path) -> None:
        """Write the uncompressed tar to ``target``."""
        with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(self._members):
                info, content = self._members[name]
                if isinstance(content, Path):
                    with content.open("rb") as stream:
                        tar.addfile(info, stream)
                else:
                    tar.addfile(info, io.BytesIO(content) if info.isreg() else None)

    def gzipped(self) -> bytes:
        """Return the tar, gzip-compressed without a time stamp."""
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / "t.tar"
            self.write(plain)
            return gzip.compress(plain.read_bytes(), 6, mtime=0)

    def _parents(self, name: str) -> None:
        for parent in reversed(Path(name).parents):
            text = parent.as_posix()
            if text != "." and text not in self._members:
                info = tarfile.TarInfo(text)
                info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, EPOCH
                self._members[text] = (info, b"")
