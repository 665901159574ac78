#!/usr/bin/python3
"""Stand-in for Open WebUI: its port, database, session key, first account, health and connection to
Ollama.

``/standin/ollama`` is an extra of the stand-in: Ollama's answer to it.
"""

from __future__ import annotations

import base64
import json
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


def accounts(add: tuple[str, str, str] | None = None) -> list[str]:
    """Return the addresses of the accounts that exist; then create another: address, password and
    role."""
    with sqlite3.connect(os.path.join(DATA, "webui.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS user (email TEXT, password TEXT, role TEXT)")
        found = [email for (email,) in database.execute("SELECT email FROM user")]
        if add:
            database.execute("INSERT INTO user VALUES (?, ?, ?)", add)
    return found


def first_account() -> None:
    """Create the administrator of the environment if there is no account, as the real program does
    before it answers anyone (main.py, lifespan)."""
    email = os.environ.get("WEBUI_ADMIN_EMAIL", "")
    password = os.environ.get("WEBUI_ADMIN_PASSWORD", "")
    if not accounts() and email and password:
        accounts((email.lower(), password, "admin"))


def config(_: Request) -> tuple[int, object]:
    onboarding = {} if accounts() else {"onboarding": True}
    return 200, {**onboarding, "status": True, "name": "Open WebUI"}


def signup(request: Request) -> tuple[int, object]:
    """The first account becomes administrator, whatever ENABLE_SIGNUP says (routers/auths.py)."""
    first = not accounts()
    if not first and os.environ.get("ENABLE_SIGNUP", "True").lower() != "true":
        return 403, {"detail": "You do not have permission to access this resource."}
    given = json.loads(request.body)
    role = "admin" if first else "pending"
    accounts((given["email"], given["password"], role))
    return 200, {"email": given["email"], "role": role}


def main() -> None:
    need_writable(DATA)
    session_key()
    first_account()
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
        "/api/config": config,
        "/api/v1/auths/signup": signup,
        "/standin/ollama": ollama,
    }
    hello = '0{"sid":"standin","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'
    port = int(os.environ.get("PORT", "8080"))
    serve("0.0.0.0", port, routes, {"/ws/socket.io": hello}, head=False)


if __name__ == "__main__":
    main()
