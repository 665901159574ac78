"""What is wrong in upstream's source, and the corrections that API and workers share.

``CORRECTIONS`` lists all of them; the function that carries one out is marked with its name.
Each looks at what it finds, or only adds around it, so that a repaired upstream still runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar

CORRECTIONS = {
    "settings-names": (
        "`Settings` lacks `is_development`, `API_KEYS`, `JWT_SECRET`, `REDIS_URL` and"
        " `GOOGLE_CLOUD_PROJECT`, which the middleware reads, so the API ends while it starts",
        "those that are missing are added, and give the values of the lower-case names",
    ),
    "settings-extra": (
        "a `.env` with any name that `Settings` does not know, as in its own `.env.example`, is an"
        " error",
        "unknown names are ignored",
    ),
    "debug": (
        "with `DEBUG=true`, as in the document, pictures and jobs are kept in local folders and"
        " Redis, while `GET /api/v1/jobs` asks Firestore: no job is ever found",
        "upstream never gets `DEBUG`; it only switches on `/docs`",
    ),
    "cors-origins": (
        "`CORS_ORIGINS` is split at commas, and without it the API does not start",
        "a JSON list is read too, and there is a default",
    ),
    "log-once": (
        "the logger `imagen` has a handler of its own and passes lines on, so the API logs each"
        " twice",
        "its own handler is removed where the root logger has one",
    ),
    "reconnect": (
        "gRPC waits up to two minutes before it connects again after a service was away",
        "five seconds, and names are looked up again",
    ),
    "upload-retries": (
        "the client of the object store repeats a failing upload for two minutes, and then names"
        " the last error (404), not the first (no space left)",
        "it is repeated for 10 seconds, and only if the connection failed",
    ),
    "states-away": (
        "while Firestore is away, each request occupies a thread for a minute",
        "10 seconds",
    ),
    "keyless": (
        "each POST needs an API key (401 without one), though there are limits for `anonymous` and"
        " the document's `curl` sends none",
        "without a key a request that neither a proxy has forwarded nor a web page has sent is"
        " `anonymous`; a wrong key is still refused",
    ),
    "key-in-redis": (
        "the limiter writes API keys into the names of Redis' keys",
        "it writes a hash of them",
    ),
    "redis-away": (
        "without Redis each request ends as 500",
        "requests are counted in memory until it is back",
    ),
    "upload-checks": (
        "`FileValidator` is never called: what is no picture ends as 500, a CMYK JPEG too, a photo"
        " of a phone is stored lying on its side, and a file's name becomes part of an object's",
        "pictures are judged first and refused with a sentence (400, 413, 415); turned upright;"
        " names are cleaned",
    ),
    "blocking": (
        "uploads and states are awaited without a thread, so one slow call stops the whole API",
        "they run in threads, states with a limit of 15 s",
    ),
    "clients": (
        "each upload makes new clients of Pub/Sub, Firestore and the object store, which are never"
        " closed",
        "there is one of each",
    ),
    "store-errors": (
        "a full or missing object store ends as 500 without a reason",
        "507 or 503 with a sentence; a bucket that is gone is created again",
    ),
    "result": (
        "GET of a completed job is 500: it signs an address for the store without credentials",
        "`output_url` is `/api/v1/jobs/{id}/result`, which passes the picture on",
    ),
    "job-ids": (
        "an id that Firestore cannot have (`__x__`) is 500",
        "404 for whatever is no UUID",
    ),
    "outbox": (
        "if Pub/Sub is away after a job was stored, the client gets 500 and the job stays `queued`"
        " for ever; an emulator that starts again loses all jobs",
        "whatever is not in the queue is published (again) from Firestore",
    ),
    "topics": (
        "nothing creates topics, subscriptions or the bucket",
        "API and workers do, at each start and whenever they are gone",
    ),
    "subscription-names": (
        "`PUBSUB_SUBSCRIPTION_*` has no effect: the workers' classes have fixed names",
        "they apply, and so do `PUBSUB_TOPIC_*`",
    ),
    "worker-start": (
        "`python -m src.workers.triton_worker` registers its metrics twice and ends, and reads no"
        " `MODEL_NAME`",
        "the worker's class is found by `MODEL_NAME`",
    ),
    "metrics-port": (
        "`METRICS_PORT` has no effect",
        "it is the port of a worker's metrics; 8080 without it",
    ),
    "worker-end": (
        "SIGTERM ends a worker in the middle of a job",
        "it finishes the job, as far as it is given time, and takes no other",
    ),
    "delivery-attempt": (
        "`delivery_attempt` is None without a dead letter policy, and `None > 5` is an error: each"
        " message is delivered again at once, for ever",
        "`subscribe` is replaced; tries are counted in Firestore, and after 5 the job is `failed`",
    ),
    "trace-context": (
        "the context from a message is wrapped as if it were a span's, which is an error in each"
        " delivery, so API and worker never share a trace",
        "it is attached; publishing and receiving have spans of their own",
    ),
    "triton-trace": (
        "the call of Triton passes no trace on, and may hang for ever",
        "it passes `traceparent`, and ends after 10 minutes",
    ),
    "once": (
        "a job that is delivered again is done again, even by two workers at once",
        "a completed job is acknowledged; a job belongs to one worker as long as that reports",
    ),
    "again": (
        "if Triton, Firestore or the object store is away for a moment, the job is `failed` at"
        " once",
        "it waits as `queued` and is tried again",
    ),
    "reasons": (
        "`error` of a failed job is the text of an exception",
        "it is a sentence that says what to do",
    ),
    "large-results": (
        "Pillow refuses to open an upscaled picture of more than 179 million pixels",
        "a worker has no such limit: the API has judged the picture",
    ),
    "encoded-twice": (
        "a worker decodes each picture and encodes it again, before and after Triton: 43 s and"
        " 1.3 GB for an upscaled picture of 144 million pixels",
        "a PNG that nobody has changed is passed on as it is",
    ),
    "queue-depth": (
        "`imagen_queue_depth` asks Google's monitoring every 30 seconds",
        "it is counted in Firestore",
    ),
}
"""Name -> (what is wrong, what is done instead)."""

APPLIED: dict[str, Callable[..., Any]] = {}
"""Name -> the function that carries the correction out."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_RECONNECT = 5000
_INFERENCE = 600
_UPLOAD = 10
_STATE = 10


def corrects(*names: str) -> Callable[[_Function], _Function]:
    """Mark a function with the corrections that it carries out."""

    def mark(function: _Function) -> _Function:
        for name in names:
            if name not in CORRECTIONS:
                raise KeyError(f"CORRECTIONS has no {name}")
            APPLIED[name] = function
        return function

    return mark


@corrects("settings-extra", "settings-names")
def correct_settings() -> Any:
    """Import upstream's settings and return them. Has to come before all else of upstream."""
    import pydantic_settings

    pydantic_settings.BaseSettings.model_config["extra"] = "ignore"
    from src.core.config import settings

    kind = type(settings)
    for name in ("API_KEYS", "JWT_SECRET", "REDIS_URL", "GOOGLE_CLOUD_PROJECT"):
        if not hasattr(settings, name):
            setattr(kind, name, property(attrgetter(name.lower())))
    if not hasattr(settings, "is_development"):
        kind.is_development = lambda self: not self.is_production()
    return settings


@corrects("log-once")
def correct_logging() -> None:
    """Remove upstream's second handler."""
    if logging.getLogger().handlers:
        logging.getLogger("imagen").handlers.clear()


@corrects("reconnect")
def correct_channels() -> None:
    """Make all unencrypted gRPC channels, such as those of emulators, connect again sooner."""
    import grpc

    original = grpc.insecure_channel
    added = [
        ("grpc.max_reconnect_backoff_ms", _RECONNECT),
        ("grpc.dns_min_time_between_resolutions_ms", _RECONNECT),
    ]

    def channel(target: str, options: Any = None, compression: Any = None) -> Any:
        return original(target, [*added, *(options or ())], compression)

    grpc.insecure_channel = channel


@corrects("upload-retries")
def correct_uploads() -> None:
    """Repeat an upload only if the connection failed, and not for long."""
    from google.api_core.retry import Retry, if_exception_type
    from google.cloud import storage
    from requests.exceptions import ConnectionError as Failed

    original = storage.Blob.upload_from_file
    retry = Retry(if_exception_type(Failed), initial=0.5, timeout=_UPLOAD)

    def upload(self: Any, *arguments: Any, **options: Any) -> Any:
        options.setdefault("retry", retry)
        return original(self, *arguments, **options)

    storage.Blob.upload_from_file = upload


@corrects("states-away")
def correct_states() -> None:
    """Bound how long reading or writing a job's state is repeated."""
    from google.api_core.exceptions import ServiceUnavailable
    from google.api_core.retry import Retry, if_exception_type
    from google.cloud.firestore import DocumentReference

    retry = Retry(if_exception_type(ServiceUnavailable), initial=0.2, timeout=_STATE)

    def bounded(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            if options.get("transaction") is None:
                options = {"retry": retry, "timeout": _STATE, **options}
            return original(self, *arguments, **options)

        return call

    for name in ("get", "set", "update", "delete"):
        setattr(DocumentReference, name, bounded(getattr(DocumentReference, name)))


@corrects("triton-trace")
def correct_triton() -> None:
    """Bound each call of Triton, and pass the trace on."""
    from opentelemetry.propagate import inject
    from tritonclient.grpc import InferenceServerClient

    original = InferenceServerClient.infer

    def infer(self: Any, *arguments: Any, **options: Any) -> Any:
        headers = dict(options.pop("headers", None) or {})
        inject(headers)
        options.setdefault("client_timeout", _INFERENCE)
        return original(self, *arguments, headers=headers, **options)

    InferenceServerClient.infer = infer


@corrects("result")
def correct_addresses() -> None:
    """Give the address of a result in the API for one in a store that only the stack reaches."""
    from src.services.storage import GCSStorageService

    original = GCSStorageService.get_signed_url

    def address(self: Any, path: str, *arguments: Any, **options: Any) -> str:
        parts = path.split("/")
        if os.environ.get("STORAGE_EMULATOR_HOST") and len(parts) == 3 and parts[0] == "outputs":
            return f"/api/v1/jobs/{parts[1]}/result"
        found: str = original(self, path, *arguments, **options)
        return found

    GCSStorageService.get_signed_url = address
