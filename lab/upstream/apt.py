"""NVIDIA's apt repository with a key of the lab's own: stand-in packages, a real signature.

The layout is upstream's: a flat repository at
``nvidia.github.io/libnvidia-container/stable/deb/amd64/`` and the key at
``nvidia.github.io/libnvidia-container/gpgkey``.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.upstream.files import EPOCH, STANDINS, cached, key_of, place, tree_hash, write

STAND_INS = [
    "NVIDIA Container Toolkit 1.20: packages with small programs for nvidia-ctk, the runtime, "
    "the hook and the CDI refresh units, in a repository signed with the lab's own key",
]

VERSIONS = ("1.20.0-1", "1.20.1-1")
"""Two, so that only a pin gives the older one."""

_BASE = Path("nvidia.github.io/libnvidia-container")
_USER = "Lab upstream <lab@localhost>"
_KEY = ("rsa3072", "sign", "never")


@dataclass(frozen=True)
class Package:
    """One binary package: file name below /usr/bin -> stand-in file, and its relations."""

    name: str
    depends: str = ""
    programs: tuple[str, ...] = ()
    units: bool = False
    files: dict[str, str] = field(default_factory=dict)


_PACKAGES = (
    Package(
        "libnvidia-container1",
        files={"usr/lib/x86_64-linux-gnu/libnvidia-container.so.1": "lab stand-in\n"},
    ),
    Package(
        "libnvidia-container-tools",
        "libnvidia-container1 (>= {version})",
        ("nvidia-container-cli",),
    ),
    Package(
        "nvidia-container-toolkit-base",
        "python3",
        ("nvidia-ctk", "nvidia-container-runtime"),
        units=True,
    ),
    Package(
        "nvidia-container-toolkit",
        "nvidia-container-toolkit-base (= {version}), libnvidia-container-tools (>= {version})",
        ("nvidia-container-runtime-hook",),
    ),
)


def build(root: Path, cache: Path, pins: dict[str, Any]) -> dict[str, str]:
    """Write the repository below ``<root>/http``; return the overlay ``{fingerprint}``.

    ``pins`` is the project's ``apt.nvidia`` section; a version it names is added to VERSIONS.
    """
    versions = sorted({*VERSIONS, *([str(pins["version"])] if pins.get("version") else [])})
    key = key_of(tree_hash(STANDINS / "nvidia"), Path(__file__).read_text(), versions)
    secret, public, fingerprint = signing_key(cache)
    stage = cache / "apt" / key_of(key, fingerprint)
    if not stage.exists():
        cached(stage, lambda target: _repository(target, versions, secret))
    folder = root / "http" / _BASE / "stable/deb/amd64"
    if folder.is_dir():
        for old in set(os.listdir(folder)) - set(os.listdir(stage)):
            (folder / old).unlink()
    for path in sorted(stage.iterdir()):
        place(path, folder / path.name)
    write(root / "http" / _BASE / "gpgkey", public)
    return {"fingerprint": fingerprint, "version": str(pins.get("version") or VERSIONS[0])}


def _repository(folder: Path, versions: Sequence[str], secret: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for version in versions:
        for package in _PACKAGES:
            _deb(package, version, folder)
    index(folder, sorted(folder.glob("*.deb")), secret)


def index(
    folder: Path, packages: Sequence[Path], secret: str, below: str = ".", **fields: str
) -> None:
    """Write the index of a repository and sign it.

    + folder: the folder of Release; package files are named relative to it, or to the folder two
      levels above if ``below`` is a component's folder, as apt requires
    + secret: armored key
    + below: folder of the list of packages
    + fields: additional fields of Release
    """
    base = folder if below == "." else folder.parent.parent
    listed = "\n".join(_stanza(path, base) for path in packages).encode()
    lists = {"Packages": listed, "Packages.gz": gzip.compress(listed, mtime=0)}
    for name, data in lists.items():
        write(folder / below / name, data)
    release = _release(
        {f"{below}/{name}".removeprefix("./"): data for name, data in lists.items()}, fields
    )
    write(folder / "Release", release)
    signed = str(folder / "Release")
    with _keyring(secret) as home:
        _gpg(home, "--armor", "--detach-sign", "--output", f"{signed}.gpg", signed)
        _gpg(home, "--clearsign", "--output", str(folder / "InRelease"), signed)


def _deb(package: Package, version: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        os.chmod(tree, 0o755)
        source = STANDINS / "nvidia"
        for program in package.programs:
            text = (source / program).read_text().replace("@VERSION@", version.split("-")[0])
            write(tree / "usr/bin" / program, text, 0o755)
        for name, text in package.files.items():
            write(tree / name, text)
        if package.units:
            for unit in ("nvidia-cdi-refresh.service", "nvidia-cdi-refresh.path"):
                write(tree / "etc/systemd/system" / unit, (source / unit).read_text())
            write(tree / "DEBIAN/postinst", (source / "base.postinst").read_text(), 0o755)
        depends = package.depends.format(version=version)
        write(
            tree / "DEBIAN/control",
            (
                f"Package: {package.name}\nVersion: {version}\nArchitecture: amd64\n"
                f"Maintainer: {_USER}\n{f'Depends: {depends}' + chr(10) if depends else ''}"
                "Section: utils\nPriority: optional\nDescription: lab stand-in, not NVIDIA's\n"
            ),
        )
        for path in tree.rglob("*"):
            if path.is_dir():
                os.chmod(path, 0o755)
        target = folder / f"{package.name}_{version}_amd64.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(target)],
            check=True,
            capture_output=True,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)},
        )


def _stanza(path: Path, base: Path) -> str:
    control = subprocess.run(
        ["dpkg-deb", "--field", str(path)], check=True, capture_output=True, text=True
    ).stdout.strip()
    data = path.read_bytes()
    return (
        f"{control}\nFilename: ./{path.relative_to(base)}\nSize: {len(data)}\n"
        f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
    )


def _release(lists: Mapping[str, bytes], fields: Mapping[str, str]) -> str:
    sums = [
        f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}" for name, data in lists.items()
    ]
    date = formatdate(EPOCH, usegmt=True).replace("GMT", "UTC")
    known = {"Origin": "lab", "Label": "lab", "Architectures": "amd64", "Date": date, **fields}
    head = [f"{name}: {value}" for name, value in known.items()]
    return "\n".join([*head, "SHA256:", *sums]) + "\n"


def signing_key(cache: Path) -> tuple[str, str, str]:
    """Return secret key, public key (both armored) and fingerprint; made once per cache."""
    folder = cache / "apt-key"
    if not (folder / "fingerprint").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _keyring() as home:
            _gpg(home, "--passphrase", "", "--quick-generate-key", _USER, *_KEY)
            listing = _gpg(home, "--with-colons", "--list-keys")
            fingerprint = next(
                line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:")
            )
            write(folder / "secret.asc", _gpg(home, "--armor", "--export-secret-keys"), 0o600)
            write(folder / "public.asc", _gpg(home, "--armor", "--export"))
            write(folder / "fingerprint", fingerprint)
    return (
        (folder / "secret.asc").read_text(),
        (folder / "public.asc").read_text(),
        (folder / "fingerprint").read_text(),
    )


@contextmanager
def _keyring(secret: str = "") -> Iterator[str]:
    # In /tmp and not in the cache: the agent's socket path may have 108 characters at most.
    home = tempfile.mkdtemp(prefix="lab-gpg.", dir="/tmp")
    try:
        if secret:
            _gpg(home, "--import", text=secret)
        yield home
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def _gpg(home: str, *arguments: str, text: str = "") -> str:
    command = ["gpg", "--homedir", home, "--batch", "--quiet", "--yes", "--no-tty", *arguments]
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"gpg {arguments[0]} failed: {result.stderr.strip()}")
    return result.stdout
