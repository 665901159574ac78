"""What a GLB file must have (glTF 2.0 specification, section 4.4 "Binary glTF Layout")."""

from __future__ import annotations

import json
import struct

_HEADER = struct.Struct("<4sII")
_CHUNK = struct.Struct("<I4s")


def wrong(data: bytes) -> str:
    """Return what is wrong with a GLB file; empty if header, version and all lengths are valid."""
    if len(data) < _HEADER.size or data[:4] != b"glTF":
        return f"its {len(data)} bytes do not begin with glTF"
    _, version, length = _HEADER.unpack_from(data)
    if version != 2:
        return f"its version is {version}, not 2"
    if length != len(data):
        return f"its header says {length} bytes, and it has {len(data)}"
    place, kinds = _HEADER.size, []
    while place < len(data):
        if place + _CHUNK.size > len(data):
            return f"it ends within the header of a chunk, at byte {place}"
        size, kind = _CHUNK.unpack_from(data, place)
        start = place + _CHUNK.size
        if size % 4 or start + size > len(data):
            return f"its chunk at byte {place} has a wrong length of {size} bytes"
        kinds.append(kind)
        if len(kinds) == 1 and (problem := _wrong_document(kind, data[start : start + size])):
            return problem
        place = start + size
    return "" if kinds else "it has no chunks"


def _wrong_document(kind: bytes, text: bytes) -> str:
    if kind != b"JSON":
        return f"its first chunk is {kind!r}, not JSON"
    try:
        document = json.loads(text)
    except ValueError:
        return "its first chunk is not JSON"
    if not isinstance(document, dict) or not document.get("meshes"):
        return "it has no meshes"
    return ""
