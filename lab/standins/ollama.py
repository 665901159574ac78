#!/usr/bin/env python3
"""Stand-in for the ollama binary @VERSION@: serve, list, --version; no models run."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = "@VERSION@"


def address() -> tuple[str, int]:
    """Return host and port of OLLAMA_HOST, parsed like the real program does."""
    value = os.environ.get("OLLAMA_HOST", "").strip().rpartition("://")[2].rstrip("/")
    host, _, port = value.rpartition(":") if ":" in value else (value, "", "")
    return host or "127.0.0.1", int(port) if port.isdigit() else 11434


def store() -> str:
    """Return the models folder, created if needed; exit if it is not writable."""
    home = os.path.expanduser("~/.ollama/models")
    folder = os.environ.get("OLLAMA_MODELS") or home
    try:
        for name in ("blobs", "manifests"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        probe = os.path.join(folder, "blobs", ".write")
        with open(probe, "w", encoding="utf-8"):
            pass
        os.unlink(probe)
    except OSError as error:
        sys.exit(f"Error: {error}")
    return folder


def models(folder: str) -> list[dict[str, Any]]:
    """Return the names in the store's manifests."""
    found = []
    top = os.path.join(folder, "manifests")
    for base, _, names in sorted(os.walk(top)):
        for name in sorted(names):
            parts = os.path.relpath(os.path.join(base, name), top).split(os.sep)
            found.append(
                {
                    "name": f"{parts[-2]}:{parts[-1]}" if len(parts) > 1 else parts[0],
                    "size": os.path.getsize(os.path.join(base, name)),
                }
            )
    return found


def allowed(host: str) -> bool:
    """Return whether a Host header is accepted while bound to loopback (server/routes.go
    upstream)."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    try:
        ip = ipaddress.ip_address(name)
    except ValueError:
        known = ("", "localhost", socket.gethostname().lower())
        return name in known or name.endswith((".localhost", ".local", ".internal"))
    return ip.is_loopback or ip.is_private or ip.is_unspecified


class Handler(BaseHTTPRequestHandler):
    """The HTTP answers; `folder` and `guarded` are set by serve()."""

    protocol_version = "HTTP/1.1"
    folder = ""
    guarded = True

    def do_GET(self) -> None:
        if self.guarded and not allowed(self.headers.get("Host", "")):
            self._send(403, b"", "text/plain")
        elif self.path == "/":
            self._send(200, b"Ollama is running", "text/plain; charset=utf-8")
        elif self.path == "/api/version":
            self._json({"version": VERSION})
        elif self.path == "/api/tags":
            self._json({"models": models(self.folder)})
        elif self.path == "/api/ps":
            self._json({"models": []})
        else:
            self._send(404, b"404 page not found", "text/plain")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"error": "this is a stand-in of the lab, which runs no models"})
        self._send(501, body.encode(), "application/json")

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), "application/json; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        print(f"[GIN] {self.address_string()} {format % args}", file=sys.stderr, flush=True)


def serve() -> None:
    host, port = address()
    Handler.folder = store()
    Handler.guarded = host == "localhost" or (
        host.replace(".", "").isdigit() and ipaddress.ip_address(host).is_loopback
    )
    libraries = os.path.join(
        os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "lib", "ollama"
    )
    found = sorted(os.listdir(libraries)) if os.path.isdir(libraries) else []
    print(
        f"Listening on {host}:{port} (version {VERSION}); libraries: {found or 'none, CPU only'}",
        file=sys.stderr,
        flush=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        sys.exit(f"Error: listen tcp {host}:{port}: bind: {error.strerror}")
    server.daemon_threads = True
    server.serve_forever()


def ask(path: str) -> Any:
    """Return the server's JSON answer, or None if it does not answer."""
    host, port = address()
    connection = http.client.HTTPConnection(
        "127.0.0.1" if host == "0.0.0.0" else host, port, timeout=10
    )
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (OSError, ValueError):
        return None


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in ("serve", "start"):
        serve()
    elif command in ("--version", "-v"):
        running = ask("/api/version")
        if running is None:
            print("Warning: could not connect to a running Ollama instance")
            print(f"Warning: client version is {VERSION}")
        else:
            print(f"ollama version is {running['version']}")
    elif command in ("list", "ls"):
        answer = ask("/api/tags")
        if answer is None:
            sys.exit("Error: could not connect to ollama server, run 'ollama serve' to start it")
        print("NAME    ID    SIZE    MODIFIED")
        for model in answer["models"]:
            print(f"{model['name']}    -    {model['size']} B    -")
    else:
        sys.exit(f"Error: this is a stand-in of the lab; it has no command {command!r}")


if __name__ == "__main__":
    main()
