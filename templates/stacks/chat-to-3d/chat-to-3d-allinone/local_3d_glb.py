"""Writes a colored surface as a GLB file (glTF 2.0, https://registry.khronos.org/glTF/specs/2.0).

trimesh could write one, but without a material, which means one of metal, so that most programs
show it nearly black, and with colors as in pictures, where glTF expects linear ones.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLOAT, _UNSIGNED_SHORT, _UNSIGNED_INT = 5126, 5123, 5125
_VERTICES, _INDICES = 34962, 34963
_JSON, _BINARY = 0x4E4F534A, 0x004E4942

Array = NDArray[Any]


def written(points: Array, normals: Array, colors: Array, triangles: Array) -> bytes:
    """Return the file.

    + points, normals: x, y, z per vertex; in meters, +Y up and +Z front
    + colors: red, green, blue (sRGB, 0 to 1) per vertex
    + triangles: three vertices each, counterclockwise seen from outside
    """
    points = points.astype("<f4")
    parts = [
        (points, _FLOAT, "VEC3", _VERTICES),
        (normals.astype("<f4"), _FLOAT, "VEC3", _VERTICES),
        (_linear(colors), _UNSIGNED_SHORT, "VEC4", _VERTICES),
        (triangles.astype("<u4").reshape(-1), _UNSIGNED_INT, "SCALAR", _INDICES),
    ]
    # All of them are multiples of four bytes long, as glTF demands.
    binary = b"".join(part.tobytes() for part, *_ in parts)
    views, accessors, start = [], [], 0
    for index, (part, number, shape, target) in enumerate(parts):
        view = {"buffer": 0, "byteOffset": start, "byteLength": part.nbytes, "target": target}
        views.append(view)
        accessors.append(
            {"bufferView": index, "componentType": number, "count": len(part), "type": shape}
        )
        start += part.nbytes
    accessors[0] |= {"min": points.min(0).tolist(), "max": points.max(0).tolist()}
    accessors[2]["normalized"] = True
    attributes = {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}
    document = {
        "asset": {"version": "2.0", "generator": "chat-to-3d, TripoSR"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}}],
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    chunks = b"".join(
        struct.pack("<II", len(chunk), kind) + chunk
        for chunk, kind in ((text, _JSON), (binary, _BINARY))
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _linear(colors: Array) -> Array:
    """Return sRGB colors as opaque linear ones in 16 bits: with 8, dark ones would show steps."""
    values = np.clip(colors, 0, 1)
    low = values <= 0.04045
    linear = np.where(low, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    opaque = np.ones((len(values), 1))
    return (np.concatenate([linear, opaque], axis=1) * 65535).round().astype("<u2")
