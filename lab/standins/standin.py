"""The code that all stand-in programs share: an HTTP server with WebSockets, and the check for a
GPU.

It only uses the standard library, because it is copied into images and repositories and runs on
bare Python.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, Any]
"""Status and body: str is HTML, anything else JSON."""
Route = Callable[["Request"], Answer]


class Request:
    """One request, as passed to a route."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> None:
        parts = urlsplit(target)
        self.method, self.path = method, unquote(parts.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.headers, self.body = headers, body


def die(message: str, status: int = 1) -> None:
    """Print the message where the real program prints its traceback, and exit."""
    print(message, file=sys.stderr, flush=True)
    raise SystemExit(status)


def gpus() -> list[str]:
    """Return the names of the GPUs that nvidia-smi lists; none if it is missing or fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    result = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.split("\n")[:-1] if result.returncode == 0 else []


def need_gpu() -> str:
    """Return the first GPU's name, or exit as PyTorch does without a driver."""
    found = gpus()
    if not found:
        die(
            "RuntimeError: Found no NVIDIA driver on your system. "
            "Please check that you have an NVIDIA GPU and installed a driver"
        )
    return found[0]


def need_writable(folder: str) -> None:
    """Create the folder and a file in it, or exit with the error that the real program shows."""
    try:
        os.makedirs(folder, exist_ok=True)
        probe = os.path.join(folder, f".write-{os.getpid()}")
        with open(probe, "w", encoding="utf-8"):
            pass
        os.unlink(probe)
    except OSError as error:
        die(f"{type(error).__name__}: {error}")


def model_files(folders: list[str]) -> list[str]:
    """Return the model files below the folders by relative name, like the user interfaces list
    them."""
    endings = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".sft", ".gguf")
    found = set()
    for top in folders:
        for folder, _, names in os.walk(top, followlinks=True):
            found |= {
                os.path.relpath(os.path.join(folder, name), top)
                for name in names
                if name.endswith(endings)
            }
    return sorted(found)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    routes: Mapping[str, Route] = {}
    sockets: Mapping[str, str] = {}
    head = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.rstrip("/") or "/"
        if self.headers.get("Upgrade", "").lower() == "websocket":
            if path in self.sockets:
                self._websocket(self.sockets[path])
            else:
                self._send(404, {"detail": "Not Found"})
            return
        self._answer()

    def do_HEAD(self) -> None:
        if self.head:
            self._answer()
        else:
            self._send(405, {"detail": "Method Not Allowed"})

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.headers, body)
        route = self.routes.get(request.path.rstrip("/") or "/")
        if route is None:
            near = [p for p in self.routes if p.endswith("*") and request.path.startswith(p[:-1])]
            route = self.routes[max(near, key=len)] if near else None
        self._send(*(route(request) if route else (404, {"detail": "Not Found"})))

    def _send(self, status: int, content: Any) -> None:
        html = isinstance(content, str)
        body = content.encode() if html else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _websocket(self, greeting: str) -> None:
        """RFC 6455: accept, greet, then echo every text frame until the peer closes the
        connection."""
        magic = self.headers.get("Sec-WebSocket-Key", "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(magic.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        self._frame(1, greeting.encode())
        while (head := self.rfile.read(2)) and len(head) == 2:
            code, size = head[0] & 15, head[1] & 127
            if size > 125:
                width = 2 if size == 126 else 8
                size = int.from_bytes(self.rfile.read(width), "big")
            mask = self.rfile.read(4) if head[1] & 128 else bytes(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(size)))
            if code == 8:
                self._frame(8, data)
                return
            self._frame(10 if code == 9 else 1, data)

    def _frame(self, code: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 128 | code, size)
        elif size < 65536:
            head = struct.pack("!BBH", 128 | code, 126, size)
        else:
            head = struct.pack("!BBQ", 128 | code, 127, size)
        self.wfile.write(head + data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        print(f"{self.address_string()} {format % args}", flush=True)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A browser that disconnects in the middle is not an error.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(
    host: str,
    port: int,
    routes: Mapping[str, Route],
    sockets: Mapping[str, str] | None = None,
    *,
    head: bool = True,
) -> None:
    """Serve until SIGTERM.

    ``routes``: path -> function; a path that ends with ``*`` matches by prefix.
    ``sockets``: path -> first message of a WebSocket there.
    ``head``: False answers HEAD with 405, as FastAPI's GET routes do.
    """
    # As PID 1, a process without a handler ignores SIGTERM, and `docker stop` would take 10 s.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    handler = type(
        "Handler", (_Handler,), {"routes": routes, "sockets": sockets or {}, "head": head}
    )
    try:
        server = _Server((host, port), handler)
    except OSError as error:
        die(f"OSError: cannot listen on {host}:{port}: {error}")
    print(f"Running on http://{host}:{port}", flush=True)
    server.serve_forever()


def page(title: str) -> Route:
    """Return a route with a small HTML page."""
    text = f"<!doctype html><title>{title}</title><h1>{title}</h1><p>Lab stand-in.</p>\n"
    return lambda _: (200, text)
