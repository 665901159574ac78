"""``./provision lock``: resolves the Python packages of the images built here.

``files/locks.yml`` lists the inputs; each image's ``requirements.lock`` is the result. Needs PyPI
and files of the upstream repositories (or the mirror in the setting MIRROR).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import requests
import yaml
from pydantic import BaseModel, ConfigDict, Field

from lab.errors import LabError
from lab.paths import REPOSITORY, cache
from lab.progress import console
from lab.upstream.wheels import fetch, unpack
from workstation import mirror as mirrors
from workstation import pins as pin_files
from workstation.errors import UserError
from workstation.mirror import Mirror
from workstation.pins import Pins

INPUTS = REPOSITORY / "files" / "locks.yml"
STACKS = REPOSITORY / "templates" / "stacks"
PLATFORM = ("--python-platform", "x86_64-manylinux_2_28")
LOCK = "requirements.lock"
HEADER = "# Made by ./provision lock from files/locks.yml; changes here are lost.\n"

# Packages that a wheel of PyTorch brings along or depends on.
_PYTORCH = ("torch", "triton", "nvidia-")

Texts = Annotated[list[str], Field(default_factory=list)]


class Inputs(BaseModel):
    """One image's entry of ``files/locks.yml``, which describes the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str = "3.11"
    upstream: dict[str, list[str]] = Field(default_factory=dict)
    without: Texts
    packages: Texts
    overrides: Texts
    on_base: bool = False


def requirements(inputs: Inputs, upstream: Sequence[str]) -> str:
    """Return the requirements to resolve: upstream's, without those to leave out, and ours."""
    lines = [
        line.strip()
        for text in upstream
        for line in text.splitlines()
        if line.strip() and not line.startswith("#")
    ]
    kept = [line for line in lines if not line.startswith(tuple(inputs.without) or ("\0",))]
    return "\n".join([*kept, *inputs.packages]) + "\n"


def image_folder(name: str) -> Path:
    """Return the folder of the image ``name``, in any stack. Raises LabError if there is none."""
    found = next(STACKS.glob(f"*/{name}/{LOCK}"), None)
    if found is None:
        raise LabError(f"no folder {name} in templates/stacks/ has a {LOCK}: create an empty one.")
    return found.parent


def of_pytorch(lock: str) -> str:
    """Return the versions of PyTorch and CUDA in a lock, one a line, without their hashes."""
    pinned = [line for line in lock.splitlines() if line.startswith(_PYTORCH)]
    return "".join(line.removesuffix(" \\") + "\n" for line in pinned)


def raw_url(source: pin_files.Source, path: str, mirror: Mirror) -> str:
    """Return the URL of one file of a GitHub repository at the pinned commit."""
    repository = source.url.removesuffix(".git").replace(
        "https://github.com/", "https://raw.githubusercontent.com/"
    )
    return mirror.url(f"{repository}/{source.commit}/{path}")


def resolve(name: str, inputs: Inputs, pins: Pins, mirror: Mirror) -> str:
    """Return the lock of one image. Raises LabError with the message of uv or the server."""
    texts = [
        _text(raw_url(pins.sources[source], path, mirror))
        for source, paths in inputs.upstream.items()
        for path in paths
    ]
    base = image_folder("base")
    files = {
        "requirements.in": requirements(inputs, texts),
        "constraints.txt": of_pytorch((base / LOCK).read_text()) if inputs.on_base else "",
        "build.txt": (base / "build-constraints.txt").read_text(),
        "overrides.txt": "\n".join(inputs.overrides) + "\n",
    }
    with tempfile.TemporaryDirectory() as folder:
        for file, text in files.items():
            (Path(folder) / file).write_text(text)
        command = [
            *(str(_uv(pins)), "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
            "--generate-hashes",
            *("--constraints", "constraints.txt", "--overrides", "overrides.txt"),
            *("--build-constraints", "build.txt", "--python-version", inputs.python),
            *(*PLATFORM, "requirements.in"),
        ]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"{name} cannot be resolved:\n{result.stderr.strip()}")
    return HEADER + result.stdout


def _text(url: str) -> str:
    try:
        answer = requests.get(url, timeout=30)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise LabError(f"{url} cannot be read: {error}") from error
    return answer.text


def _uv(pins: Pins) -> Path:
    """Return the path of uv, in the version that the images use."""
    version = pins.images["uv"].tag
    store = cache() / "upstream"
    program = store / "programs" / f"uv-{version}"
    unpack(fetch("uv", version, store), f"uv-{version}.data/scripts/uv", program)
    program.chmod(0o755)
    return program


def main(arguments: Sequence[str] | None = None) -> int:
    """Resolve all locks, or those named, and return the exit code."""
    known: Mapping[str, Inputs] = {
        name: Inputs.model_validate(value)
        for name, value in yaml.safe_load(INPUTS.read_text()).items()
    }
    parser = argparse.ArgumentParser(prog="./provision lock", description=__doc__)
    parser.add_argument("image", nargs="*", help=f"one of {', '.join(known)}; all without one")
    names = parser.parse_args(arguments).image or list(known)
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"files/locks.yml has no {', '.join(unknown)}")
    try:
        mirror = mirrors.load(os.environ.get("MIRROR", ""))
        pins = pin_files.load(REPOSITORY / "pins.yml", mirror.pins)
        for name in names:
            path = image_folder(name) / LOCK
            before, after = path.read_text(), resolve(name, known[name], pins, mirror)
            path.write_text(after)
            changed = len(set(after.splitlines()) ^ set(before.splitlines()))
            console.print(f"{name}: {after.count('==')} packages, {changed} lines differ")
    except (LabError, UserError) as error:
        console.print(f"lock: {error}", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
