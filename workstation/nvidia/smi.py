"""Parse rows that nvidia-smi prints for a query (``--query-gpu``), by the form of their fields."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A field without a value: "[N/A]", "[Not Supported]", "[Unknown Error]", "ERR!".
_NO_VALUE = re.compile(r"\[[^\]]*\]|ERR!|N/A")
_HARMLESS = re.compile(r"\[?(N/A|Not Supported|Insufficient Permissions)\]?")
_FORMS = {
    "uuid": re.compile(r"(?:GPU|MIG)-[0-9A-Fa-f][0-9A-Fa-f-]*"),
    "driver": re.compile(r"\d{3,}\.\d+(?:\.\d+)*"),
    "compute": re.compile(r"\d{1,2}\.\d"),
    "memory": re.compile(r"\d+(?: MiB)?"),
}


@dataclass(frozen=True)
class Row:
    """A card; ``memory`` in MiB, which cards that share the system's memory do not report. Fields
    that were not queried, or have no value, are empty."""

    name: str
    compute: str = ""
    driver: str = ""
    memory: str = ""
    uuid: str = ""


def row(line: str) -> Row | None:
    """Return the card of a row; the number and order of fields depend on the query. Return None for
    any other line, or for a card with an error in place of a value."""
    parts = [part.strip() for part in line.split(",")]
    fields = len(parts)
    found: dict[str, str] = {}
    while len(parts) > 1:
        form = next((name for name, form in _FORMS.items() if form.fullmatch(parts[-1])), "")
        if form in found or not (form or _NO_VALUE.fullmatch(parts[-1])):
            break
        value = parts.pop()
        if form:
            found[form] = value.removesuffix(" MiB")
        elif not _HARMLESS.fullmatch(value):
            return None
    name = ", ".join(parts)
    if not found or fields - len(parts) < 2 or _NO_VALUE.fullmatch(name):
        return None
    return Row(name, **found)
