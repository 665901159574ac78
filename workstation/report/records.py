"""Records of runs on the control machine: a folder per host with its reports and receipts."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from workstation.render import TEMPLATES

RECORDS = TEMPLATES.parent / ".ai-workstation"
"""Folder on the control machine with the records of each host."""


def folder(host_name: str, *below: str) -> Path:
    """Return a host's folder, which only its owner may enter, or one below it; it is created if it
    is missing.

    Raises OSError if it cannot be created.
    """
    path = RECORDS / re.sub(r"^\.+|[^\w.@:%-]", "_", host_name)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = path.joinpath(*below)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write(path: Path, text: str) -> None:
    """Write a file that only its owner may read, completely or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
