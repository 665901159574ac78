"""Versions as numbers, by which they are compared."""

from __future__ import annotations

import re

Version = tuple[int, ...]
"""``(12, 0)``; an empty one is not known."""


def version(text: str) -> Version:
    """Return the leading numbers of a version: of ``v2.26.1-4``, ``580.95.05``, or a branch of a
    driver (``580-open``)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
