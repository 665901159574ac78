#!/usr/bin/env python3
"""Shows the files of a read-only folder of the model store inside a writable one, as links.

    link-models SOURCE TARGET

For programs that know one folder only and also download to it. Links whose file has gone are
removed, files of the target are never touched.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def link(source: Path, target: Path) -> None:
    """Make the target's links those of the source's files, subfolders included."""
    target.mkdir(parents=True, exist_ok=True)
    for path in target.rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
    for folder, _, files in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for name in files:
            if not os.path.lexists(place / name):
                (place / name).symlink_to(Path(folder, name))


if __name__ == "__main__":
    link(Path(sys.argv[1]), Path(sys.argv[2]))
