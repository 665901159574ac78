"""Text from a host in a form that only says what it seems to say. Pure.

Whoever may name files there, or write what a program prints, could otherwise forge a line of the
plan with a line break, disguise a name by changing its direction, or send codes to the terminal.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's general categories of what is not seen: control and format characters, halves of
characters, and separators of lines and paragraphs."""

_SHORT = {"\n": "\\n", "\r": "\\r"}


def visible(text: str, keep: str = "\t") -> str:
    """Return a text with each invisible character written as in Python: ``\\x1b``, ``\\u202e``.

    + keep: those that stay as they are
    """
    if text.isprintable():
        return text
    return "".join(
        _escaped(one) if unicodedata.category(one) in _HIDDEN and one not in keep else one
        for one in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (PEP 383)
        code -= 0xDC00
    width, form = (2, "x") if code < 0x100 else (4, "u") if code < 0x10000 else (8, "U")
    return _SHORT.get(character, f"\\{form}{code:0{width}x}")
