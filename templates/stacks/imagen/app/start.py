#!/usr/bin/env python3
"""Starts upstream's API or one of its workers, corrected; see ``corrections.CORRECTIONS``.

    start.py api              the API on port 8000
    start.py worker           the worker for the model that MODEL_NAME names
    start.py setup            create topics, subscriptions and the bucket, and end
    start.py check [MODEL...] send a picture through each model; one line of JSON for each
    start.py measure [MODEL [COUNT]]  times of jobs, beside Triton alone (upscale, 20)
    start.py healthy          whether the worker in this container can take jobs (exit status)

``uvicorn --factory start:api`` serves a checkout that IMAGEN_SOURCE names; docs/imagen.md has the
whole command. The API key is the content of /run/secrets/imagen_api_key, or of the file that
IMAGEN_API_KEY_FILE names.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from models import MODELS, environment

if TYPE_CHECKING:
    from fastapi import FastAPI

_KEY = "/run/secrets/imagen_api_key"
_SOURCE = "/app"
_TRUE = ("1", "true", "yes", "on")


def api_key() -> str:
    """Return the API key; empty if there is none. Ends the program if it cannot be read."""
    file = Path(os.environ.get("IMAGEN_API_KEY_FILE") or _KEY)
    try:
        return file.read_text().strip("\r\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeError) as error:
        raise SystemExit(f"The API key cannot be read: {type(error).__name__}: {file}.") from None


def prepare(service: str) -> bool:
    """Prepare environment and path for upstream's modules; return whether DEBUG was asked for."""
    debug = os.environ.get("DEBUG", "").strip().lower() in _TRUE
    os.environ.update(environment(os.environ, api_key(), service))
    sys.path.insert(0, os.environ.get("IMAGEN_SOURCE") or _SOURCE)
    return debug


def api() -> FastAPI:
    """Return the application, for a server that calls it (``uvicorn --factory``)."""
    debug = prepare("imagen-api")
    from service import PIXELS, application

    return application(debug, int(os.environ.get("MAX_PIXELS") or PIXELS))


def serve() -> int:
    """Serve the API until told to stop."""
    import uvicorn

    uvicorn.run(
        api(),
        host="0.0.0.0",
        port=int(os.environ.get("PORT") or 8000),
        access_log=False,  # Upstream's middleware logs each request.
        # A download that nobody reads any more would hold up the end.
        timeout_graceful_shutdown=8,
        # Upstream reads these headers itself, and takes a request that has them as forwarded.
        proxy_headers=False,
        server_header=False,
    )
    return 0


def work() -> int:
    """Work until told to stop."""
    prepare("imagen-worker")
    import work as worker

    return worker.main()


def setup() -> int:
    """Create what is missing, as soon as Pub/Sub, Firestore and the object store answer."""
    prepare("imagen-setup")
    import corrections

    settings = corrections.correct_settings()
    corrections.correct_channels()
    from src.services import get_job_service, get_storage_service
    from states import States
    from topics import Topics, ensure_bucket

    topics = Topics(settings.google_cloud_project, os.environ, States(get_job_service()))
    said = ""
    while True:
        try:
            created = topics.ensure()
            if ensure_bucket(get_storage_service().client, settings.gcs_bucket):
                created.append(settings.gcs_bucket)
        except Exception as error:  # Whichever of the three is not there yet.
            if said != (said := f"{type(error).__name__}: {error}"):
                print(f"Waiting: {said}", file=sys.stderr, flush=True)
            time.sleep(2)
        else:
            print(f"Created: {', '.join(created) or 'nothing, all was there'}.")
            return 0


def check(names: list[str]) -> int:
    """Send a picture through each model, or through those that are named."""
    prepare("imagen-check")
    if unknown := [name for name in names if name not in MODELS]:
        print(
            f"no model {', '.join(unknown)}: expected any of {', '.join(MODELS)}", file=sys.stderr
        )
        return 2
    import check as checks

    return checks.main([MODELS[name] for name in names or MODELS], api_key())


def measure(name: str = "upscale", count: str = "20") -> int:
    """Measure jobs of one model."""
    prepare("imagen-check")
    import corrections

    corrections.correct_settings()
    if name not in MODELS or not count.isdecimal() or not 1 <= int(count) <= 100:
        print(f"expected one of {', '.join(MODELS)}, and a count from 1 to 100", file=sys.stderr)
        return 2
    import measure as measuring

    return measuring.main(MODELS[name], int(count), api_key())


def healthy() -> int:
    """Ask this container's worker whether it can take jobs; return 0 if so."""
    url = f"http://127.0.0.1:{os.environ.get('METRICS_PORT') or 8080}/metrics"
    try:
        text = urllib.request.urlopen(url, timeout=30).read().decode()
    except OSError as error:
        print(f"the worker's metrics cannot be read: {error}")
        return 1
    if "imagen_worker_info{" not in text:
        print("the metrics are not a worker's: there is no imagen_worker_info")
        return 1
    if "imagen_worker_listening 1.0" not in text:
        print("the worker waits for Triton's model, or for Pub/Sub; its log says which")
        return 1
    return 0


def main(arguments: list[str]) -> int:
    """Carry out one of the commands; return the exit status."""
    match arguments:
        case ["api"]:
            return serve()
        case ["worker"]:
            return work()
        case ["setup"]:
            return setup()
        case ["healthy"]:
            return healthy()
        case ["check", *names]:
            return check(names)
        case ["measure", *given] if len(given) <= 2:
            return measure(*given)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
