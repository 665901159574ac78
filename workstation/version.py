"""Versions as numbers that can be compared."""

from __future__ import annotations

import re

Version = tuple[int, ...]
"""``(12, 0)``; empty if unknown."""


def version(text: str) -> Version:
    """Return the leading numbers of a version such as ``v2.26.1-4``, ``580.95.05``, or of a driver
    branch (``580-open``)."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
