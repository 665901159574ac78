"""Parse the output of ``systemctl show``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime


def blocks(lines: Iterable[str]) -> list[dict[str, str]]:
    """Return the properties of each unit, in the order of the command line. Units are separated by
    an empty line."""
    found: list[dict[str, str]] = []
    between = True
    for line in lines:
        if line and between:
            found.append({})
        between = not line
        if line:
            key, _, value = line.partition("=")
            found[-1][key] = value
    return found


def unix_time(text: str) -> float:
    """Return the Unix time of ``@1795161600`` (``--timestamp=unix``) or ``Sat 2026-11-21
    00:11:20.123456 UTC`` (``--timestamp=us+utc``); 0 for ``n/a`` and an empty text."""
    if re.fullmatch(r"@[0-9.]+", text):
        return float(text[1:])
    if not text or text == "n/a":
        return 0.0
    moment = datetime.strptime(" ".join(text.split()[1:3]), "%Y-%m-%d %H:%M:%S.%f")
    return moment.replace(tzinfo=UTC).timestamp()
