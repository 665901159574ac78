#!/usr/bin/env python3
# Runs in the service's own container, because no port is published. The API is that of InvokeAI
# 6.13.8 (invokeai/app/api/routers/model_manager.py):
#
#   look STORE                    prints the new models in the store, as JSON
#   register STORE LIMIT <paths   registers each path of a JSON list in place
#
# A file that InvokeAI rejects is recorded in its volume with its size and the time of its last
# change, so that it is offered again once it has changed (an unfinished download, wrong
# permissions), or to another version of InvokeAI.

import json
import os
import sys
import time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

mode, store = sys.argv[1:3]
notes = os.path.join(os.environ["INVOKEAI_ROOT"], "ai-workstation-refused.json")
server = "http://127.0.0.1:" + os.environ.get("INVOKEAI_PORT", "9090")
direct = build_opener(ProxyHandler({}))  # ignores any proxy in the container's environment


def ask(path: str, body: object = None, **query: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{server}{path}?{urlencode(query)}", data)
    request.add_header("Content-Type", "application/json")
    with direct.open(request, timeout=300) as answer:
        return json.load(answer)


def stamp(path: str) -> list[int]:
    files = [os.path.join(top, name) for top, _, names in os.walk(path) for name in names] or [path]
    states = [os.stat(file) for file in files if os.path.exists(file)]
    pairs = [(state.st_size, state.st_ctime_ns) for state in states] or [(0, 0)]
    sizes, times = zip(*pairs, strict=True)
    return [sum(sizes), max(times)]


def remembered(version: str) -> Any:
    try:
        with open(notes) as file:
            found = json.load(file)
    except (FileNotFoundError, ValueError):
        return {}
    return found["refused"] if found.get("version") == version else {}


def remember(version: str, refused: object) -> None:
    with open(notes + ".new", "w") as file:
        json.dump({"version": version, "refused": refused}, file, indent=1)
    os.replace(notes + ".new", notes)


def look(version: str) -> None:
    refused = remembered(version)
    found: dict[str, Any] = {"new": [], "registered": 0, "refused": 0}
    for model in ask("/api/v2/models/scan_folder", scan_path=store):
        path = model["path"]
        if model["is_installed"]:
            found["registered"] += 1
        elif path in refused and refused[path]["stamp"] == stamp(path):
            found["refused"] += 1
        else:
            found["new"].append(path)
    # Links last: InvokeAI registers their targets, and refuses to do so twice.
    found["new"].sort(key=lambda path: (os.path.realpath(path) != path, path))
    print(json.dumps(found))


def refusal(path: str, name: str, limit: int) -> str:
    """Registers one model; returns why that is not possible, or nothing."""
    begun = told = time.monotonic()
    try:
        job = ask("/api/v2/models/install", {}, source=path, inplace="true")
        while job["status"] not in ("completed", "error", "cancelled"):
            now = time.monotonic()
            if now - begun > limit:
                sys.exit(f"{name} is still not registered after {limit} s.")
            if now - told >= 15:
                print(f"registering {name}, {now - begun:.0f} s", flush=True)
                told = now
            time.sleep(0.2)
            job = ask(f"/api/v2/models/install/{job['id']}")
    except HTTPError as error:
        if error.code not in (404, 409, 415):  # job cleared away, source gone, no model
            raise
        return str(error)
    if job["status"] != "completed":
        return str(job.get("error") or job["status"]).splitlines()[0]
    # Links are followed, so the scan continues to list the link itself as not installed.
    place = (job.get("config_out") or {}).get("path", path)
    return "" if place == path else f"it is a link to {place}"


def register(version: str, limit: int) -> None:
    refused = remembered(version)
    paths = json.load(sys.stdin)
    for number, path in enumerate(paths, 1):
        name = os.path.relpath(path, store)
        before = stamp(path)
        reason = refusal(path, name, limit)
        if reason:
            refused[path] = {"stamp": before, "reason": reason}
            remember(version, refused)
        result = f"refused {name}: {reason}" if reason else f"registered {name}"
        print(f"{result} ({number} of {len(paths)})", flush=True)


try:
    version = ask("/api/v1/app/version")["version"]
    look(version) if mode == "look" else register(version, int(sys.argv[3]))
except HTTPError as error:
    if mode == "look" and error.code in (401, 403):
        print(json.dumps({"login": True}))
    else:
        sys.exit(f"InvokeAI answered {error.code} to {error.url}: {error.read(500).decode()}")
except OSError as error:
    sys.exit(f"InvokeAI cannot be reached: {error}")
