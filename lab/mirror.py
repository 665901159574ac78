"""The lab's upstream: one HTTP server for files, images, git, Python and npm packages.

``python -m lab.mirror --root DIR --port N [--bind ADDRESS]`` serves the tree that
``lab.upstream.build`` creates. Paths:

- ``/v2/...``: a pull-only image registry (``<root>/registry``)
- ``/pypi/simple/<name>/``, ``/pypi/files/<wheel>``: a Python package index; ``/real/...``: another
  one, with real packages only
- ``/npm/<package>``, ``/npm/<package>/-/<file>.tgz``: an npm registry
- ``/<host>/<path>.git/...``: git over smart HTTP (``<root>/git``)
- ``/<host>/<path>``: what ``https://<host>/<path>`` would give (``<root>/http``)

``<root>/faults.json`` is read at each request: ``{"<path prefix>": {"status": 503}}``, or
``{"truncate": 1000}`` (bytes), ``{"delay": 2.0}`` (seconds), ``{"tamper": true}``; these can be
combined.
"""

from __future__ import annotations

import argparse
import json
import mimetypes
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from lab.upstream import npm, pypi

_HTML = "text/html; charset=utf-8"
_GIT = re.compile(
    r"^/(?P<repository>.+?\.git)(?P<rest>/(?:info/refs|HEAD|git-upload-pack|objects/.*))$"
)
_V2 = re.compile(r"^/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)$")
_BLOCK = 1 << 18


@dataclass
class Reply:
    """An answer before faults are applied: a body in memory or a file."""

    status: int = 200
    body: bytes | Path = b""
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Length of the body in bytes."""
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)


def error(status: int, text: str) -> Reply:
    """Return a plain-text answer."""
    return Reply(status, (text + "\n").encode(), "text/plain; charset=utf-8")


def faults(root: Path, path: str) -> dict[str, Any]:
    """Return the faults of the longest prefix of ``path`` in ``faults.json``; none without it."""
    try:
        table = json.loads((root / "faults.json").read_text())
    except (OSError, ValueError):
        return {}
    matches = [prefix for prefix in table if path.startswith(prefix)]
    return dict(table[max(matches, key=len)]) if matches else {}


class Mirror:
    """Finds the answer to a path, without any knowledge of connections."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def get(self, path: str, host: str) -> Reply:
        """Answer a GET or HEAD of the decoded ``path``; ``host`` is the request's Host header."""
        if ".." in path.split("/"):
            return error(404, "not in this mirror")
        if path in ("/v2/", "/v2"):
            return Reply(body=b"{}", content_type="application/json")
        if path in ("/", "/npm/", "/npm/-/ping"):
            return Reply(body=b"{}", content_type="application/json")
        if match := _V2.match(path):
            return self._registry(**match.groupdict())
        if path.startswith(("/pypi/", "/real/")):
            return self._pypi(*path[1:].split("/", 1))
        if path.startswith("/npm/"):
            return self._npm(path.removeprefix("/npm/"), host)
        return self._file(self.root / "http" / path.lstrip("/"))

    def _file(self, path: Path, content_type: str = "") -> Reply:
        resolved = Path(os.path.normpath(path))
        if not resolved.is_relative_to(self.root) or not resolved.is_file():
            return error(404, f"not in this mirror: {resolved.name}")
        guessed = content_type or mimetypes.guess_type(resolved.name)[0]
        return Reply(body=resolved, content_type=guessed or "application/octet-stream")

    def _registry(self, name: str, kind: str, reference: str) -> Reply:
        digest = reference
        if kind == "manifests" and not reference.startswith("sha256:"):
            tag = self._file(self.root / "registry" / "tags" / name / reference)
            if tag.status != 200 or not isinstance(tag.body, Path):
                return self._unknown("MANIFEST_UNKNOWN", f"{name}:{reference}")
            digest = tag.body.read_text().strip()
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            return self._unknown("DIGEST_INVALID", reference)
        reply = self._file(self.root / "registry" / "blobs" / digest.replace(":", "/"))
        if reply.status != 200 or not isinstance(reply.body, Path):
            return self._unknown("BLOB_UNKNOWN", reference)
        if kind == "manifests":
            media = json.loads(reply.body.read_bytes()).get("mediaType")
            reply.content_type = str(media)
        reply.headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return reply

    def _unknown(self, code: str, detail: str) -> Reply:
        body = {"errors": [{"code": code, "message": "not in this mirror", "detail": detail}]}
        return Reply(404, json.dumps(body).encode(), "application/json")

    def _pypi(self, index: str, path: str) -> Reply:
        kind, _, rest = path.partition("/")
        folder = self.root / index
        if kind == "simple":
            text = pypi.index(folder, rest.strip("/"))
            return Reply(body=text.encode(), content_type=_HTML) if text else error(404, rest)
        if kind == "files":
            wheel = pypi.file(folder, rest)
            if isinstance(wheel, bytes):
                return Reply(body=wheel)
            return self._file(wheel) if wheel else error(404, f"no such wheel: {rest}")
        return error(404, path)

    def _npm(self, path: str, host: str) -> Reply:
        folder = self.root / "npm"
        if "/-/" in path:
            return self._file(folder / path)
        document = npm.document(folder, path, f"http://{host}/npm")
        if document is None:
            return Reply(404, b'{"error":"Not found"}', "application/json")
        return Reply(body=json.dumps(document).encode(), content_type="application/json")

    def git(self, method: str, path: str, query: str, headers: Any, body: bytes) -> Reply | None:
        """Answer a request to a repository by git's own CGI program; None for other paths."""
        match = _GIT.match(path)
        if match is None:
            return None
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(self.root / "git"),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": method,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": headers.get("Git-Protocol", ""),
            # The tree may belong to another user, and clients may fetch any commit by its id.
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_CONFIG_KEY_1": "uploadpack.allowAnySHA1InWant",
            "GIT_CONFIG_VALUE_1": "true",
        }
        result = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        )
        return _cgi(result.stdout) if result.stdout else error(500, result.stderr.decode()[-500:])


def _cgi(output: bytes) -> Reply:
    head, _, body = output.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200").split()[0])
    return Reply(status, body, headers.pop("Content-Type", "text/plain"), headers)


class Handler(BaseHTTPRequestHandler):
    """One connection: reads the request, applies faults, writes the answer and the log line."""

    protocol_version = "HTTP/1.1"
    server_version = "lab-mirror"
    # Docker tries TLS first, and falls back to plain HTTP if the answer begins with "HTTP/". The
    # base class would answer such a request, which it cannot parse, without a status line.
    default_request_version = "HTTP/1.1"
    # Otherwise an answer of two small writes waits for the peer's delayed acknowledgement.
    disable_nagle_algorithm = True

    def __init__(self, mirror: Mirror, *args: Any, **named: Any) -> None:
        self.mirror = mirror
        super().__init__(*args, **named)

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        started = time.monotonic()
        parts = urlsplit(self.path)
        # apt requests /amd64/./file from a flat repository.
        path, body = unquote(parts.path).replace("/./", "/"), self._body()
        fault = faults(self.mirror.root, path)
        time.sleep(float(fault.get("delay", 0)))
        if "status" in fault:
            reply = error(int(fault["status"]), "fault switched on")
        else:
            reply = self.mirror.git(
                self.command, path, parts.query, self.headers, body
            ) or self.mirror.get(path, self.headers.get("Host", "localhost"))
        sent = 0
        try:
            sent = self._reply(reply, fault)
        except ConnectionError:
            self.close_connection = True
        seconds = time.monotonic() - started
        note = " fault" if fault else ""
        line = f"{self.command} {self.path} {reply.status} {sent} {seconds:.3f}s{note}\n"
        # A single write: print() would write twice, and lines of other threads could come in
        # between.
        sys.stdout.write(line)
        sys.stdout.flush()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, reply: Reply, fault: dict[str, Any]) -> int:
        """Write the answer; return how many bytes of the body went out."""
        size = reply.size
        self.send_response(reply.status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(size))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return 0
        limit = size
        if "truncate" in fault:
            limit = min(size, int(fault["truncate"]))
            self.close_connection = True
        return self._send(reply.body, limit, bool(fault.get("tamper")))

    def _send(self, body: bytes | Path, limit: int, tamper: bool) -> int:
        if isinstance(body, bytes):
            self.wfile.write(_tampered(body, 0, len(body)) if tamper else body[:limit])
            return limit
        with body.open("rb") as stream:
            if tamper:
                return self._send_tampered(stream, limit, body.stat().st_size)
            return self.connection.sendfile(stream, count=limit) if limit else 0

    def _send_tampered(self, stream: BinaryIO, limit: int, size: int) -> int:
        position = 0
        while position < limit and (block := stream.read(min(_BLOCK, limit - position))):
            self.wfile.write(_tampered(block, position, size))
            position += len(block)
        return position

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class' name)
        """Silence the base class: `_handle` writes one line per request."""


def _tampered(block: bytes, position: int, size: int) -> bytes:
    """Return the block with one bit of the body's middle byte flipped."""
    middle = size // 2 - position
    if not 0 <= middle < len(block):
        return block
    return block[:middle] + bytes([block[middle] ^ 1]) + block[middle + 1 :]


class Server(ThreadingHTTPServer):
    """One thread per connection; a reset connection is not an error."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors other than a closed connection."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(root: Path, port: int, bind: str = "127.0.0.1") -> Server:
    """Return a server that listens (port 0: any free one); the caller runs serve_forever()."""
    return Server((bind, port), partial(Handler, Mirror(root)))


def main() -> int:
    """Run the server until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.mirror", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--root", type=Path, required=True, help="the tree to serve")
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0 for a free one")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with serve(arguments.root, arguments.port, arguments.bind) as server:
        print(f"listening on {arguments.bind}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
