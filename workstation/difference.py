"""The difference between two versions of a file, with secrets masked. Pure."""

from __future__ import annotations

import difflib
import re

# A user's own line in a file that we merge into may contain a secret: a mount(8) option, a name and
# password in an address, a JSON key.
_SECRET = re.compile(
    r"""(?P<kept>pass(?:word)?2?\s*=\s*)[^,\s]+|(?P<user>\buser(?:name)?=[^,\s%]*%)[^,\s]+"""
    r"""|(?P<address>://)[^\s"'/@]+(?=@)"""
    r"""|(?P<key>"[^"]*(?:pass|secret|token)[^"]*"\s*:\s*)"(?:[^"\\]|\\.)*\"""",
    re.IGNORECASE,
)


def difference(path: str, old: bytes, new: bytes) -> tuple[str, ...]:
    """Return the lines of a unified diff of a file's content. Bytes that are not UTF-8, such as in
    an old comment, are shown as ``\\xfc``."""
    if b"\0" in old + new:
        return (f"{path}: binary content differs",)
    before, after = (text.decode(errors="backslashreplace").splitlines() for text in (old, new))
    lines = difflib.unified_diff(before, after, path, path, lineterm="", n=2)
    return tuple(_SECRET.sub(_masked, line) for line in lines)


def _masked(found: re.Match[str]) -> str:
    return f"{found[found.lastgroup or 0]}*MASKED*"
