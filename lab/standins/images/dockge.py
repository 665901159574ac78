#!/usr/bin/python3
"""Stand-in for Dockge: needs the Docker socket and a stacks folder, and lists the stacks.

    dockge.py                   serves
    dockge.py first-account     creates the account FIRST_ACCOUNT if there is none, and exits

``/standin/stacks`` is an extra of the stand-in: JSON of the stacks with their containers. So is
``/standin/setup``, which creates an account if there is none, as Dockge's set-up page does through
its websocket.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

from standin import Request, die, need_writable, page, serve

SOCKET = os.environ.get("STANDIN_SOCKET", "/var/run/docker.sock")
PASSWORD = Path(os.environ.get("STANDIN_SECRETS", "/run/secrets"), "dockge_password")
DATA = os.environ.get("DOCKGE_DATA_DIR", "/app/data")
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


def accounts(add: tuple[str, str] | None = None) -> list[str]:
    """Return the names of the accounts that exist; then create another, name and password."""
    with sqlite3.connect(os.path.join(DATA, "dockge.db")) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS user (id INTEGER PRIMARY KEY, username TEXT, password TEXT)"
        )
        found = [name for (name,) in connection.execute("SELECT username FROM user")]
        if add:
            connection.execute("INSERT INTO user (username, password) VALUES (?, ?)", add)
    return found


def first_account() -> None:
    need_writable(DATA)
    if not accounts():
        name = os.environ["FIRST_ACCOUNT"]
        accounts((name, PASSWORD.read_text(encoding="utf-8")))
        print(f"Created the account {name}.", flush=True)


def setup(request: Request) -> tuple[int, object]:
    if accounts():
        return 403, {"ok": False, "msg": "Dockge has been initialized."}
    given = json.loads(request.body)
    accounts((given["username"], given["password"]))
    return 200, {"ok": True}


def main() -> None:
    folder = os.environ.get("DOCKGE_STACKS_DIR", "/opt/stacks")
    try:
        engine("/_ping")
    except OSError as error:
        die(f"Cannot connect to the Docker daemon at unix://{SOCKET}: {error}")
    if not os.path.isdir(folder):
        die(f"Error: the stacks folder {folder} does not exist")
    need_writable(DATA)
    if not accounts():
        print("[SERVER] INFO: No user, need setup", flush=True)

    def listing(_: Request) -> tuple[int, object]:
        try:
            return 200, stacks(folder)
        except OSError as error:
            return 500, {"detail": str(error)}

    hello = '0{"sid":"standin","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}'
    routes = {
        "/": page("Dockge"),
        "/socket.io": lambda _: (200, hello),
        "/standin/stacks": listing,
        "/standin/setup": setup,
    }
    serve(
        os.environ.get("DOCKGE_HOSTNAME", "0.0.0.0"),
        int(os.environ.get("DOCKGE_PORT", "5001")),
        routes,
        {"/socket.io": hello},
    )


if __name__ == "__main__":
    first_account() if sys.argv[1:] == ["first-account"] else main()
