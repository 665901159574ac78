#!/usr/bin/env python3
"""Copies a trainer's finished files to the share, and again when they change; deletes nothing.

    export-artefacts SOURCE TARGET &

Training needs a local disk: it keeps SQLite databases and rewrites large files, which a share does
badly. So a trainer writes to its volume and this copies what people want to have. A file counts as
finished when nothing has written to it for two minutes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

WANTED = {
    ".safetensors",
    *(".jpeg", ".jpg", ".png", ".webp", ".gif", ".mp4", ".flac", ".mp3", ".wav"),
    *(".json", ".md", ".sh", ".toml", ".txt", ".yaml", ".yml"),
}
AGE = 120.0  # seconds without a write
PAUSE = 60.0  # seconds between two looks
SLACK = 2.0  # seconds: how coarsely a server may store times


def finished(source: Path, now: float) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the wanted files, hidden ones and folders left out, that are old enough."""
    for folder, folders, files in os.walk(source):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in WANTED:
                continue
            status = path.stat()
            if now - status.st_mtime >= AGE:
                yield path, status


def is_copied(status: os.stat_result, target: Path) -> bool:
    """Tell whether the target is a copy of a file with this status."""
    try:
        copy = target.stat()
    except FileNotFoundError:
        return False
    return copy.st_size == status.st_size and abs(copy.st_mtime - status.st_mtime) <= SLACK


def copy(path: Path, status: os.stat_result, target: Path) -> None:
    """Copy under a temporary name, then rename: an incomplete file never has the final name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    shutil.copyfile(path, temporary)
    os.utime(temporary, (status.st_atime, status.st_mtime))
    os.replace(temporary, target)


def export(source: Path, target: Path, now: float) -> list[str]:
    """Copy what is finished and not copied yet; return a line for each file, copied or failed."""
    lines = []
    for path, status in finished(source, now):
        place = target / path.relative_to(source)
        try:
            if is_copied(status, place):
                continue
            copy(path, status, place)
            lines.append(f"export: {place}")
        except OSError as error:
            lines.append(f"export: {place} failed, will be tried again: {error}")
    return lines


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    told: list[str] = []
    while True:
        try:
            lines = export(source, target, time.time())
        except OSError as error:  # a file that went away while it was looked at
            lines = [f"export: {error}"]
        if lines != told:  # the same failure is told once
            print(*lines, sep="\n", flush=True)
        told = lines
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
