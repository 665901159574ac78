"""Builds the tree that the lab's mirror serves under the upstreams' names.

Programs from package registries are real (Traefik, uv, Node.js, npm, pip, setuptools, Debian); the
rest are stand-ins, small programs in ``lab/standins`` that fail like the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from lab.upstream import apt, docker, git, images, npm, ollama, pypi
from lab.upstream.files import STANDINS, write

ADDRESS = "192.168.0.5"
"""The mirror's address in the lab's network."""

STAND_INS = [
    "NVIDIA driver and card: a program nvidia-smi that claims one RTX PRO 6000 Blackwell",
    "NAS: a Samba server beside the machine, with a share of the same name and user",
]
"""What is no part of the mirror: lab/guest/usr/bin/nvidia-smi and lab/nas.py."""

_REPOSITORY = Path(__file__).resolve().parent.parent.parent


def build(
    root: Path, cache: Path, *, address: str = ADDRESS, tell: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Create the tree below ``root`` and return the content of the mirror file.

    + root: the tree that ``lab.mirror`` serves; parts from the same inputs are kept
    + cache: downloads and image layers, kept between roots; on the same filesystem they are
      hard-linked, not copied
    + address: host[:port] at which the machine reaches the mirror
    + tell: called with one line before each part, for a progress display

    Needs mmdebstrap, zstd, git, gpg, apt and dpkg-deb, and Debian's and PyPI's servers for parts
    that are not cached. Also writes ``<root>/older.json``: pins of an older release, for upgrade
    tests.
    """
    say = tell or (lambda _: None)
    pins = _pins()
    sources = pins.get("sources", {})
    found = images.build(root, cache, pins.get("images", {}), say)
    say("npm and git repositories")
    commits, older_commits = git.build(root, sources, npm.build(root))
    say("Python packages")
    pypi.build(root, cache, _requirement_files())
    say("NVIDIA's apt repository and Ollama's releases")
    nvidia = apt.build(root, cache, pins.get("apt", {}).get("nvidia", {}))
    say("Docker's apt repository")
    newest = docker.build(root, cache)
    release, older = ollama.build(root, cache, pins.get("downloads", {}).get("ollama", {}))
    overlay = {
        "images": {key: {"digest": image["digest"]} for key, image in found.items()},
        "sources": commits,
        "downloads": {"ollama": {"sha256": release["sha256"]}},
        "apt": {
            "nvidia": {"fingerprint": nvidia["fingerprint"]},
            "docker": {"fingerprint": newest["fingerprint"]},
        },
    }
    older_images = images.build_older(root, cache, pins.get("images", {}))
    write(
        root / "older.json",
        json.dumps(
            {"images": older_images, "sources": older_commits, "downloads": {"ollama": older}},
            indent=1,
        ),
    )
    return {
        "http": f"http://{address}",
        "registry": address,
        "insecure": True,
        "trusted": True,
        "pypi": f"http://{address}/pypi/simple",
        "npm": f"http://{address}/npm",
        "pins": overlay,
        "stand_ins": stand_ins(),
    }


def stand_ins() -> list[str]:
    """Return a phrase for every part that is a stand-in."""
    parts = (images, git, pypi, npm, apt, docker, ollama)
    return [*STAND_INS, *(phrase for part in parts for phrase in part.STAND_INS)]


def _pins() -> dict[str, Any]:
    path = _REPOSITORY / "pins.yml"
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def _requirement_files() -> list[Path]:
    """Return every file that lists Python packages: those of the stacks and of the stand-ins."""
    stacks = sorted((_REPOSITORY / "templates" / "stacks").rglob("*"))
    names = ("requirements", "constraints", "Dockerfile")
    found = [
        path
        for path in stacks
        if path.is_file()
        and (path.suffix in (".lock", ".txt", ".in") or path.name.startswith(names))
    ]
    return [*found, *sorted((STANDINS / "repos").rglob("requirements*.txt"))]
