#!/usr/bin/python3
"""Stand-in for invokeai-web: settings from INVOKEAI_*, SQLite, and the model API.

The model API is that of v6.13.8 (invokeai/app/api/routers/model_manager.py): a model is installed
by a job in the background, one at a time, and only the job reports problems with the model.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import sqlite3
import sys
import threading

sys.path.insert(0, "/opt/invokeai")

from standin import Request, die, gpus, need_writable, page, serve

ROOT = os.environ.get("INVOKEAI_ROOT", "/invokeai")
LOCK = threading.Lock()

# The files that the search treats as models (invokeai/backend/model_manager/search.py).
ENDINGS = (".ckpt", ".bin", ".pth", ".safetensors", ".pt", ".gguf")
FOLDER_MARKS = {
    *("config.json", "model_index.json", "learned_embeds.bin"),
    *("pytorch_lora_weights.bin", "image_encoder.txt"),
}


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


def search(top: str) -> list[str]:
    """Return the models below a folder: files by ending, and folders that are one model. Hidden
    entries are left out, links are not followed to their names."""
    found: list[str] = []
    for place, folders, names in os.walk(os.path.realpath(top), followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if FOLDER_MARKS.intersection(names):
            found.append(place)
            folders.clear()
            continue
        found += [
            os.path.join(place, name)
            for name in names
            if name.endswith(ENDINGS) and not name.startswith(".")
            if os.path.isfile(os.path.join(place, name))
        ]
    return found


def is_model(path: str) -> bool:
    """Return whether weights can be read: for a safetensors file, whether its header is complete;
    for any other file, whether it is not empty."""
    if os.path.isdir(path):
        return any(name.endswith(ENDINGS) for name in os.listdir(path))
    if not path.endswith(".safetensors"):
        return os.path.getsize(path) > 0
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > 100_000_000:
            return False
        try:
            tensors = json.loads(file.read(size))
            end = max(keys["data_offsets"][1] for name, keys in tensors.items() if name[:2] != "__")
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
    return os.path.getsize(path) == 8 + size + end


class Installer:
    """The jobs, processed by one thread in the order in which they arrive."""

    def __init__(self, connection: sqlite3.Connection, models: str) -> None:
        self.connection, self.models = connection, models
        self.jobs: list[dict[str, object]] = []
        self.waiting: queue.Queue[dict[str, object]] = queue.Queue()
        threading.Thread(target=self._work, daemon=True).start()

    def add(self, source: str, inplace: bool) -> dict[str, object]:
        """Return a new job, or the running one for the same source."""
        with LOCK:
            for job in self.jobs:
                if job["local_path"] == source and job["status"] in ("waiting", "running"):
                    return dict(job)
            job = {
                "id": len(self.jobs),
                "status": "waiting",
                "inplace": inplace,
                "source": {"path": source, "inplace": inplace, "type": "local"},
                "local_path": source,
                "config_out": None,
                "error": None,
                "error_reason": None,
            }
            self.jobs.append(job)
            self.waiting.put(job)
            return dict(job)

    def _work(self) -> None:
        while True:
            job = self.waiting.get()
            job["status"] = "running"
            try:
                job["config_out"] = self._register(str(job["local_path"]), bool(job["inplace"]))
                job["status"] = "completed"
            except Exception as error:
                job["error"], job["error_reason"] = str(error), type(error).__name__
                job["status"] = "error"
                print(f"Model install error: {job['local_path']}\n{error}", flush=True)

    def _register(self, source: str, inplace: bool) -> dict[str, object]:
        known = is_model(source)
        allowed = os.environ.get("INVOKEAI_ALLOW_UNKNOWN_MODELS", "true").lower()
        if not known and allowed in ("false", "0"):
            raise InvalidModelConfigException(f"Could not identify model for {source}")
        path = os.path.realpath(source if inplace else shutil.copy(source, self.models))
        try:
            with LOCK, self.connection:
                self.connection.execute(
                    "INSERT INTO models (path, source) VALUES (?, ?)", (path, source)
                )
        except sqlite3.IntegrityError:
            raise DuplicateModelException(
                f"A model with path '{path}' is already installed"
            ) from None
        return {"path": path, "source": source, "type": "main" if known else "unknown"}


class InvalidModelConfigException(Exception):  # noqa: N818 (upstream's name)
    """Nothing of that name is known."""


class DuplicateModelException(Exception):  # noqa: N818 (upstream's name)
    """It is already registered."""


def main() -> None:
    connection = database()
    models, outputs = folder("MODELS_DIR", "models"), folder("OUTPUTS_DIR", "outputs")
    need_writable(models)
    need_writable(os.path.join(outputs, "images"))
    need_writable(os.path.join(outputs, "images", "thumbnails"))
    version = os.environ.get("INVOKEAI_VERSION", "6.13.8")
    installer = Installer(connection, models)

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
            return 400, {"detail": f"The search path '{path}' could not be scanned"}
        known = {model["path"] for model in installed()}
        return 200, [{"path": name, "is_installed": name in known} for name in search(path)]

    def install(request: Request) -> tuple[int, object]:
        if request.method == "GET":
            return 200, installer.jobs
        try:
            changes = json.loads(request.body)
        except ValueError:
            changes = None
        if not isinstance(changes, dict) or "source" not in request.query:
            return 422, {"detail": [{"type": "missing", "msg": "Field required"}]}
        source = request.query["source"]
        if not os.path.exists(source):
            return 409, {"detail": f"Unsupported model source: '{source}'"}
        inplace = request.query.get("inplace", "false").lower() == "true"
        return 201, installer.add(source, inplace)

    def job(request: Request) -> tuple[int, object]:
        number = request.path.rpartition("/")[2]
        found = [job for job in installer.jobs if str(job["id"]) == number]
        return (200, found[0]) if found else (404, {"detail": f"No job with id {number} known"})

    routes = {
        "/": page("InvokeAI"),
        "/api/v1/app/version": lambda _: (200, {"version": version}),
        "/api/v1/app/config": lambda _: (200, {"outputs_dir": outputs, "gpus": gpus()}),
        "/api/v2/models/scan_folder": scan,
        "/api/v2/models/install": install,
        "/api/v2/models/install/*": job,
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
