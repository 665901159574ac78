"""Stand-in for the TRELLIS NIM: its key, start and paths, and a cube in place of an object.

It makes a valid GLB file in the average color of the picture. ``lab.json`` in the NIM's cache
changes what it does, for tests:

+ load: seconds until it is ready (at its start)
+ seconds: how long one object takes
+ reason: the finishReason of every object, such as CONTENT_FILTERED
+ status: an HTTP status with which every picture is refused
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
import threading
import time
from pathlib import Path
from typing import Any

from standin import Request, die, need_gpu, need_writable, serve

CACHE = Path(os.environ.get("NIM_CACHE_PATH") or "/opt/nim/.cache")
_LOAD = 3.0
_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,(.+)", re.DOTALL)

# A cube's corners, and its twelve triangles, counterclockwise from outside.
_CORNERS = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
_SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
_TRIANGLES = [index for a, b, c, d in _SIDES for index in (a, b, c, a, c, d)]


def glb(color: tuple[float, float, float]) -> bytes:
    """Return a cube of one color (each part from 0 to 1) as a GLB file.

    The form is that of the glTF 2.0 specification, section "GLB File Format Specification".
    """
    points = b"".join(struct.pack("<3f", *corner) for corner in _CORNERS)
    data = points + struct.pack(f"<{len(_TRIANGLES)}H", *_TRIANGLES)
    # 5126 is float, 5123 unsigned short; 34962 is for vertices, 34963 for indices.
    content = {
        "asset": {"version": "2.0", "generator": "lab"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [*color, 1.0]}}],
        "buffers": [{"byteLength": len(data)}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points), "target": 34962},
            {
                "buffer": 0,
                "byteOffset": len(points),
                "byteLength": len(data) - len(points),
                "target": 34963,
            },
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": 5126,
                "count": len(_CORNERS),
                "type": "VEC3",
                "min": [-0.5] * 3,
                "max": [0.5] * 3,
            },
            {
                "bufferView": 1,
                "componentType": 5123,
                "count": len(_TRIANGLES),
                "type": "SCALAR",
            },
        ],
    }
    text = json.dumps(content).encode()
    parts = ((b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\0", data + bytes(-len(data) % 4)))
    body = b"".join(struct.pack("<I4s", len(part), kind) + part for kind, part in parts)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def average(contents: bytes) -> tuple[float, float, float]:
    """Return the average color of a picture's file. Raises OSError if it is none."""
    # Here because the lab's own tests, which have no Pillow, import the rest.
    from PIL import Image

    with Image.open(io.BytesIO(contents)) as image:
        red, green, blue = (
            image.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        )
    return red / 255, green / 255, blue / 255


def wanted() -> dict[str, Any]:
    """Return what a test asks for."""
    try:
        found: dict[str, Any] = json.loads((CACHE / "lab.json").read_text())
    except FileNotFoundError:
        return {}
    return found


class Nim:
    """Is ready some seconds after its start; makes one object after the other."""

    def __init__(self) -> None:
        self._ready_at = time.monotonic() + float(wanted().get("load", _LOAD))
        self._one = threading.Lock()

    def ready(self, _: Request) -> tuple[int, Any]:
        """Answer whether the model is loaded."""
        if time.monotonic() < self._ready_at:
            return 503, {"status": "not ready"}
        return 200, {"status": "ready"}

    def infer(self, request: Request) -> tuple[int, Any]:
        """Make an object of a picture."""
        if time.monotonic() < self._ready_at:
            return 503, {"detail": "The model is not ready."}
        try:
            asked = json.loads(request.body)
            found = _DATA_URI.fullmatch(asked["image"])
            color = average(base64.b64decode(found[1] if found else ""))
        except (ValueError, LookupError, TypeError, OSError):
            return 422, {"detail": "image: not a picture in base64."}
        test = wanted()
        with self._one:
            time.sleep(float(test.get("seconds", 0)))
        if status := int(test.get("status", 0)):
            return status, {"detail": "Inference failed."}
        reason = str(test.get("reason", "SUCCESS"))
        made = base64.b64encode(glb(color)).decode() if reason == "SUCCESS" else ""
        seed = int(asked.get("seed") or 0)
        return 200, {"artifacts": [{"base64": made, "finishReason": reason, "seed": seed}]}


def main() -> None:
    # The words are those that NIMs for language models end with (github.com/NVIDIA/NemoClaw,
    # issue 3333): the key is checked when the list of the model's files is fetched.
    if not os.environ.get("NGC_API_KEY", "").strip():
        die("Failed to download the model manifest: Authentication Error: NGC_API_KEY is not set")
    need_gpu()
    need_writable(str(CACHE))
    nim = Nim()
    routes = {
        "/v1/health/live": lambda _: (200, {"status": "live"}),
        "/v1/health/ready": nim.ready,
        "/v1/infer": nim.infer,
    }
    serve("0.0.0.0", int(os.environ.get("NIM_HTTP_API_PORT") or 8000), routes)


if __name__ == "__main__":
    main()
