#!/usr/bin/python3
"""Stand-in for invokeai-web: settings from INVOKEAI_*, SQLite, and the model API."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading

sys.path.insert(0, "/opt/invokeai")

from standin import Request, die, gpus, model_files, need_writable, page, serve

ROOT = os.environ.get("INVOKEAI_ROOT", "/invokeai")
LOCK = threading.Lock()


def folder(setting: str, default: str) -> str:
    """Return a directory setting; relative values are below INVOKEAI_ROOT."""
    return os.path.join(ROOT, os.environ.get(f"INVOKEAI_{setting}", default))


def database() -> sqlite3.Connection:
    place = folder("DB_DIR", "databases")
    need_writable(place)
    try:
        connection = sqlite3.connect(os.path.join(place, "invokeai.db"), check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS models "
            "(key INTEGER PRIMARY KEY, path TEXT UNIQUE, source TEXT)"
        )
        connection.commit()
    except sqlite3.Error as error:
        die(f"sqlite3.{type(error).__name__}: {error}")
    return connection


def main() -> None:
    connection = database()
    models, outputs = folder("MODELS_DIR", "models"), folder("OUTPUTS_DIR", "outputs")
    need_writable(models)
    need_writable(os.path.join(outputs, "images"))
    need_writable(os.path.join(outputs, "images", "thumbnails"))
    version = os.environ.get("INVOKEAI_VERSION", "6.13.8")

    def installed() -> list[dict[str, object]]:
        with LOCK:
            rows = connection.execute("SELECT key, path, source FROM models").fetchall()
        return [
            {
                "key": str(key),
                "name": os.path.splitext(os.path.basename(path))[0],
                "path": path,
                "source": source,
            }
            for key, path, source in rows
        ]

    def scan(request: Request) -> tuple[int, object]:
        path = request.query.get("scan_path", "")
        if not os.path.isdir(path):
            return 400, {"detail": f"The search path '{path}' does not exist or is not directory"}
        known = {model["path"] for model in installed()}
        found = [os.path.join(path, name) for name in model_files([path])]
        return 200, [{"path": name, "is_installed": name in known} for name in found]

    def install(request: Request) -> tuple[int, object]:
        source = request.query.get("source", "")
        if not os.path.exists(source):
            return 400, {"detail": f"Source {source} does not exist"}
        target = source
        if request.query.get("inplace", "false").lower() != "true":
            target = shutil.copy(source, models)
        try:
            with LOCK, connection:
                connection.execute(
                    "INSERT INTO models (path, source) VALUES (?, ?)", (target, source)
                )
        except sqlite3.IntegrityError:
            return 409, {"detail": f"A model with path '{target}' is already installed"}
        return 201, {"id": len(installed()), "status": "completed", "source": {"path": source}}

    routes = {
        "/": page("InvokeAI"),
        "/api/v1/app/version": lambda _: (200, {"version": version}),
        "/api/v1/app/config": lambda _: (200, {"outputs_dir": outputs, "gpus": gpus()}),
        "/api/v2/models/scan_folder": scan,
        "/api/v2/models/install": install,
        "/api/v2/models": lambda _: (200, {"models": installed()}),
    }
    hello = '0{"sid":"standin","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'
    host, port = (
        os.environ.get("INVOKEAI_HOST", "127.0.0.1"),
        os.environ.get("INVOKEAI_PORT", "9090"),
    )
    serve(host, int(port), routes, {"/ws/socket.io": hello}, head=False)


if __name__ == "__main__":
    main()
