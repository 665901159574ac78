"""Ollama's release archives with a stand-in binary, two versions of them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.upstream.files import STANDINS, Tar, cached, key_of, place, sha256_file, write

STAND_INS = ["Ollama: a small program that serves its version and an empty model list"]

VERSION, OLDER = "0.32.15", "0.32.14"
_RELEASES = Path("github.com/ollama/ollama/releases/download")
_ASSET = "ollama-linux-amd64.tar.zst"


def build(
    root: Path, cache: Path, pins: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Write the archives below ``<root>/http``; return ``{version, sha256}`` of both.

    ``pins`` is the project's ``downloads.ollama``: its version is the newer one.
    """
    newest = _release(root, cache, str(pins.get("version") or VERSION))
    return newest, _release(root, cache, OLDER)


def _release(root: Path, cache: Path, version: str) -> dict[str, str]:
    program = (STANDINS / "ollama.py").read_text().replace("@VERSION@", version)
    archive = cached(
        cache / "ollama" / f"{key_of(program, version)}.tar.zst",
        lambda target: _archive(program, target),
    )
    folder = root / "http" / _RELEASES / f"v{version}"
    place(archive, folder / _ASSET)
    digest = sha256_file(archive)
    write(folder / "sha256sum.txt", f"{digest}  ./{_ASSET}\n")
    return {"version": version, "sha256": digest}


def _archive(program: str, target: Path) -> None:
    tar = Tar()
    tar.file("bin/ollama", program, 0o755)
    for name in ("cuda_v12", "cuda_v13"):
        tar.file(f"lib/ollama/{name}/libggml-cuda.so", f"lab stand-in {name}\n", 0o755)
    tar.file("lib/ollama/libggml-base.so", "lab stand-in\n", 0o755)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "t.tar"
        tar.write(plain)
        subprocess.run(["zstd", "-q", "-f", "-10", str(plain), "-o", str(target)], check=True)
