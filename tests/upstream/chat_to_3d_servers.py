"""Two servers that chat-to-3d talks to: an OpenAI API with scripted answers, and one that makes a
small GLB file. Each can be slow, ended, and started again on the same port."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fixtures.traefik import free_port


def glb() -> bytes:
    """Return a GLB file (glTF 2.0, section "GLB File Format") with a red cube."""
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    # The two triangles of each side, seen from outside.
    sides = (0, 1, 3, 0, 3, 2, 4, 6, 7, 4, 7, 5, 0, 4, 5, 0, 5, 1)
    sides += (2, 3, 7, 2, 7, 6, 0, 2, 6, 0, 6, 4, 1, 5, 7, 1, 7, 3)
    points = b"".join(struct.pack("<3f", *corner) for corner in corners)
    indices = struct.pack("<36H", *sides)
    size = {"min": [-1, -1, -1], "max": [1, 1, 1]}
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [0.8, 0.1, 0.1, 1]}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 8, "type": "VEC3"} | size,
            {"bufferView": 1, "componentType": 5123, "count": 36, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": len(points)},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(indices)},
        ],
        "buffers": [{"byteLength": len(points) + len(indices)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(points + indices), b"BIN\0") + points + indices
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


class Server:
    """A server on a port that it keeps; ``slow``: seconds before each answer."""

    def __init__(self) -> None:
        self.port = free_port()
        self.slow = 0.0
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._server: ThreadingHTTPServer | None = None

    def get(self, path: str) -> tuple[int, Any]:
        """Return status and JSON for a path."""
        raise NotImplementedError

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return status and JSON for a path and what was sent there."""
        raise NotImplementedError

    def start(self) -> None:
        """Serve, from another thread."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say(*owner.get(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.asked.append(body)
                owner.headers.append(dict(self.headers))
                time.sleep(owner.slow)
                self._say(*owner.post(self.path, body))

            def _say(self, status: int, said: Any) -> None:
                text = json.dumps(said).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    """Who asked has gone, as some tests mean them to."""

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Serve no more; connections are refused."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Llm(Server):
    """An OpenAI API: classifies, lists ``objects``, and describes an object."""

    objects = ("Red Chair", "Coffee Table")

    def get(self, path: str) -> tuple[int, Any]:
        """List one model."""
        return 200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]}

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Answer the last message by its kind."""
        text = "\n".join(str(one["content"]) for one in body["messages"])
        last = str(body["messages"][-1]["content"])
        if last.startswith("Generate visual prompt"):
            name = last.rsplit(": ", 1)[1]
            said = f"Object: {name}\nPrompt: A {name} on a white background"
        elif "exactly" in last and "objects" in last:
            lines = [f"{number}. {name}" for number, name in enumerate(self.objects, 1)]
            said = "\n".join(["Suggested objects:", *lines, "", "Scene arrangement: side by side"])
        elif "input classifier" in text:
            said = "GREETING" if last.lower().startswith("hello") else "SCENE"
        else:
            said = "I was not scripted for this."
        choice = {"index": 0, "finish_reason": "stop"}
        return 200, {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "scripted",
            "choices": [{**choice, "message": {"role": "assistant", "content": said}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }


class Trellis(Server):
    """NVIDIA's TRELLIS: POST /v1/infer. ``finish``: what it says of a picture."""

    finish = "SUCCESS"

    def get(self, path: str) -> tuple[int, Any]:
        """It is ready."""
        return 200, {"status": "ready"}

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Make a GLB of a picture."""
        if not str(body.get("image", "")).startswith("data:image/png;base64,"):
            return 422, {"detail": "no picture"}
        made = base64.b64encode(glb()).decode() if self.finish == "SUCCESS" else ""
        return 200, {"artifacts": [{"base64": made, "finishReason": self.finish, "seed": 0}]}
