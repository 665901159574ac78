#!/usr/bin/python3
"""Stand-in for Open WebUI: its port, database, session key, health and connection to Ollama.

``/standin/ollama`` is an extra of the stand-in: Ollama's answer to it.
"""

from __future__ import annotations

import base64
import os
import sqlite3
import urllib.error
import urllib.request

from standin import Request, die, need_writable, page, serve

DATA = os.environ.get("DATA_DIR", "/app/backend/data")


def session_key() -> str:
    """Return the key of sessions, created if there is none. It is in the container, and lost with
    it, unless WEBUI_SECRET_KEY_FILE names another place."""
    if given := os.environ.get("WEBUI_SECRET_KEY"):
        return given
    file = os.environ.get("WEBUI_SECRET_KEY_FILE") or ".webui_secret_key"
    try:
        if not os.path.exists(file):
            print("Generating WEBUI_SECRET_KEY", flush=True)
            with open(file, "w", encoding="ascii") as stream:
                stream.write(base64.b64encode(os.urandom(12)).decode())
        with open(file, encoding="ascii") as stream:
            return stream.read()
    except OSError as error:
        die(f"{type(error).__name__}: {error}")
    return ""


def main() -> None:
    need_writable(DATA)
    session_key()
    with sqlite3.connect(os.path.join(DATA, "webui.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS user (id TEXT PRIMARY KEY)")
    base = os.environ.get("OLLAMA_BASE_URL", "/ollama")

    def ollama(_: Request) -> tuple[int, object]:
        try:
            with urllib.request.urlopen(f"{base}/api/version", timeout=10) as answer:
                return 200, {"answer": answer.read().decode()}
        except (OSError, ValueError, urllib.error.URLError) as error:
            return 500, {"detail": f"Open WebUI: Server Connection Error: {error}"}

    routes = {
        "/": page("Open WebUI"),
        "/health": lambda _: (200, {"status": True}),
        "/api/version": lambda _: (200, {"version": os.environ.get("WEBUI_BUILD_VERSION", "")}),
        "/standin/ollama": ollama,
    }
    hello = '0{"sid":"standin","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'
    port = int(os.environ.get("PORT", "8080"))
    serve("0.0.0.0", port, routes, {"/ws/socket.io": hello}, head=False)


if __name__ == "__main__":
    main()
