"""Small git repositories in place of the real ones, at the paths of their production URLs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.errors import LabError
from lab.upstream.files import EPOCH, STANDINS, key_of, tree_hash, write

STAND_INS = [
    "Fooocus, Forge, FluxGym and sd-scripts, AI-Toolkit: repositories with programs of the same "
    "entry points, flags, files and web answers, without models or image generation",
]

URLS = {
    "fooocus": "https://github.com/lllyasviel/Fooocus.git",
    "forge": "https://github.com/lllyasviel/stable-diffusion-webui-forge.git",
    "forge_assets": "https://github.com/AUTOMATIC1111/stable-diffusion-webui-assets.git",
    "forge_huggingface_guess": "https://github.com/lllyasviel/huggingface_guess.git",
    "forge_blip": "https://github.com/salesforce/BLIP.git",
    "clip": "https://github.com/openai/CLIP.git",
    "open_clip": "https://github.com/mlfoundations/open_clip.git",
    "fluxgym": "https://github.com/cocktailpeanut/fluxgym.git",
    "sd_scripts": "https://github.com/kohya-ss/sd-scripts.git",
    "ai_toolkit": "https://github.com/ostris/ai-toolkit.git",
}
"""Where each repository is upstream, when the pins do not say otherwise."""

_PROGRAMS = {"fooocus", "forge", "fluxgym"}
"""Repositories whose programs need standin.py beside them."""


def build(
    root: Path, pins: Mapping[str, Any], packages: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Make the repositories below ``<root>/git`` and their archives below ``<root>/http``.

    ``pins`` is the project's ``sources`` section, ``packages`` the result of npm.build. Returns two
    overlays ``{key: {commit}}``: one of the newest commits, and one of the commits before, which
    have the same content except for a file ``CHANGES``.
    """
    newest, older = {}, {}
    for key in sorted({*URLS, *pins}):
        url = str(pins.get(key, {}).get("url") or URLS.get(key, ""))
        path = urlsplit(url).netloc + urlsplit(url).path.removesuffix(".git")
        first, second = repository(key, root / "git" / f"{path}.git", packages)
        _archives(root / "git" / f"{path}.git", root / "http" / path / "archive", second)
        if key in pins or not pins:
            newest[key], older[key] = {"commit": second}, {"commit": first}
    return newest, older


def repository(
    key: str, target: Path, packages: Mapping[str, Mapping[str, str]]
) -> tuple[str, str]:
    """Create one bare repository from ``lab/standins/repos/<key>``; return its two commits, the
    newer last."""
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        _content(key, tree, packages)
        stamp = key_of(tree_hash(tree), Path(__file__).read_text())
        note = target / "lab.json"
        if note.exists() and (found := json.loads(note.read_text()))["stamp"] == stamp:
            return found["first"], found["second"]
        new = Path(temporary) / "new.git"
        _git(new, tree, "init", "--quiet", "--bare", "--initial-branch=main", str(new))
        first = _commit(new, tree, "Stand-in", EPOCH)
        write(tree / "CHANGES", "One commit after the first.\n")
        second = _commit(new, tree, "Second commit", EPOCH + 3600)
        write(new / "lab.json", json.dumps({"stamp": stamp, "first": first, "second": second}))
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(new, target)
    return first, second


def _content(key: str, tree: Path, packages: Mapping[str, Mapping[str, str]]) -> None:
    source = STANDINS / "repos" / key
    if source.is_dir():
        shutil.copytree(source, tree, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        # A source that is new in the pins becomes an installable package of that name.
        write(
            tree / "setup.py", f'from setuptools import setup\n\nsetup(name="{key}", version="1")\n'
        )
    if key in _PROGRAMS:
        shutil.copy(STANDINS / "standin.py", tree)
    write(tree / "README.md", f"Stand-in of the lab for {key}; not the real program.\n")
    if key == "ai_toolkit":
        write(tree / "ui" / "package-lock.json", _lock(tree / "ui" / "package.json", packages))


def _lock(manifest: Path, packages: Mapping[str, Mapping[str, str]]) -> str:
    """Return a package-lock.json that names npm's own registry, as upstream's does."""
    content = json.loads(manifest.read_text())
    entries: dict[str, Any] = {
        "": {
            "name": content["name"],
            "version": content["version"],
            "dependencies": content["dependencies"],
        }
    }
    for name, package in packages.items():
        entries[f"node_modules/{name}"] = {
            "version": package["version"],
            "integrity": package["integrity"],
            "resolved": f"https://registry.npmjs.org/{name}/-/{package['file']}",
            "bin": json.loads(package["bin"]),
        }
    lock = {
        "name": content["name"],
        "version": content["version"],
        "lockfileVersion": 3,
        "requires": True,
        "packages": entries,
    }
    return json.dumps(lock, indent=2) + "\n"


def _commit(repository: Path, tree: Path, message: str, when: int) -> str:
    """Commit the whole tree with a fixed author and time; return the commit's id."""
    _git(repository, tree, "add", "--all", "--force", ".")
    _git(repository, tree, "commit", "--quiet", "--message", message, when=when)
    return _git(repository, tree, "rev-parse", "HEAD").strip()


def _archives(repository: Path, folder: Path, commit: str) -> None:
    """Write GitHub's archive files of one commit: <commit>.zip and <commit>.tar.gz."""
    for suffix in ("zip", "tar.gz"):
        target = folder / f"{commit}.{suffix}"
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            name = repository.name.removesuffix(".git")
            _git(
                repository,
                repository,
                "archive",
                f"--format={suffix}",
                f"--prefix={name}-{commit}/",
                f"--output={target}",
                commit,
            )


def _git(repository: Path, tree: Path, *arguments: str, when: int = EPOCH) -> str:
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DIR": str(repository),
        "GIT_WORK_TREE": str(tree),
        "GIT_AUTHOR_NAME": "lab",
        "GIT_AUTHOR_EMAIL": "lab@localhost",
        "GIT_COMMITTER_NAME": "lab",
        "GIT_COMMITTER_EMAIL": "lab@localhost",
        "GIT_AUTHOR_DATE": f"{when} +0000",
        "GIT_COMMITTER_DATE": f"{when} +0000",
    }
    if arguments[0] in ("init", "archive"):
        del environment["GIT_WORK_TREE"]
    result = subprocess.run(
        ["git", *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise LabError(f"git {arguments[0]} failed: {result.stderr.strip()}")
    return result.stdout
