"""Names of objects and exports as parts of file names. Pure."""

from __future__ import annotations

import re

_LONGEST = 80
"""Bytes; seed and times come on top, and Linux takes 255 at most."""


def clean(name: str, default: str = "object") -> str:
    """Return a name that is one part of a path: without slashes, control characters and the marks
    that LLMs put around words, and not too long."""
    text = re.sub(r"[\x00-\x1f\x7f/\\]+", " ", name).replace("*", "").replace("`", "")
    text = re.sub(r"\s+", " ", text).strip(" .")
    while len(text.encode()) > _LONGEST:
        text = text[:-1]
    return text.strip(" .") or default


def listed(names: list[str], most: int) -> list[str]:
    """Return an LLM's object names, cleaned, each once, as many as are wanted."""
    return list(dict.fromkeys(clean(name) for name in names))[:most]
