#!/usr/bin/python3
"""Stand-in for Dockge: needs the Docker socket and a stacks folder, and lists the stacks.

``/standin/stacks`` is an extra of the stand-in: JSON of the stacks with their containers.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
from typing import Any

from standin import Request, die, need_writable, page, serve

SOCKET = "/var/run/docker.sock"
COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


class Docker(http.client.HTTPConnection):
    """HTTP over the Engine's socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)


def engine(path: str) -> Any:
    """Return the Engine's JSON answer; raise OSError if the socket does not answer."""
    connection = Docker("docker", timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    data = answer.read()
    return json.loads(data) if data[:1] in (b"[", b"{") else data.decode()


def stacks(folder: str) -> list[dict[str, Any]]:
    """Return every stack: those in the folder are managed, other Compose projects are not."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(os.listdir(folder)):
        files = [f for f in COMPOSE if os.path.isfile(os.path.join(folder, name, f))]
        if files:
            found[name] = {"name": name, "managed": True, "file": files[0], "containers": {}}
    for item in engine("/containers/json?all=1"):
        labels = item.get("Labels") or {}
        project = labels.get("com.docker.compose.project")
        if project:
            stack = found.setdefault(project, {"name": project, "managed": False, "containers": {}})
            stack["containers"][labels.get("com.docker.compose.service")] = item["State"]
    return [found[name] for name in sorted(found)]


def main() -> None:
    folder = os.environ.get("DOCKGE_STACKS_DIR", "/opt/stacks")
    data = os.environ.get("DOCKGE_DATA_DIR", "/app/data")
    try:
        engine("/_ping")
    except OSError as error:
        die(f"Cannot connect to the Docker daemon at unix://{SOCKET}: {error}")
    if not os.path.isdir(folder):
        die(f"Error: the stacks folder {folder} does not exist")
    need_writable(data)
    with sqlite3.connect(os.path.join(data, "dockge.db")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS user (id INTEGER PRIMARY KEY)")

    def listing(_: Request) -> tuple[int, object]:
        try:
            return 200, stacks(folder)
        except OSError as error:
            return 500, {"detail": str(error)}

    hello = '0{"sid":"standin","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}'
    routes = {"/": page("Dockge"), "/socket.io": lambda _: (200, hello), "/standin/stacks": listing}
    serve(
        os.environ.get("DOCKGE_HOSTNAME", "0.0.0.0"),
        int(os.environ.get("DOCKGE_PORT", "5001")),
        routes,
        {"/socket.io": hello},
    )


if __name__ == "__main__":
    main()
