"""The API: upstream's application, corrected."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from io import BytesIO
from typing import Any

import corrections
from corrections import corrects
from failures import has, judged
from fastapi import FastAPI, HTTPException, Request, Security, UploadFile
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, StreamingResponse
from pictures import Limits, RefusedError, check_declared, readable, safe_name
from starlette.concurrency import run_in_threadpool

PIXELS = 11_000_000
"""Pixels that a picture may have, unless MAX_PIXELS says otherwise."""

_READ = 15
"""Seconds that reading a job's state may take."""

_REDIS = 2
"""Seconds that Redis may take."""

_JOB = "/api/v1/jobs/{job_id}"
_LOST = "(job states are lost when the Firestore emulator starts again)"
_LATE = "The queue cannot be reached now. The job is stored, and is queued as soon as it can be."


def application(debug: bool, pixels: int = PIXELS) -> FastAPI:
    """Return the corrected application. The environment is prepared, and upstream can be imported.

    + debug: whether it describes itself at /docs
    + pixels: how many a picture may have
    """
    settings = corrections.correct_settings()
    corrections.correct_channels()
    corrections.correct_uploads()
    corrections.correct_states()
    corrections.correct_addresses()

    from src.api import app
    from src.api.middleware import auth, validation
    from src.api.routes import images
    from src.services import get_job_service, get_storage_service
    from src.services.queue import get_queue_service
    from states import States
    from sweep import Queue, Sweeper
    from topics import Topics, ensure_bucket

    # The package has a function of this name too.
    rate_limit = import_module("src.api.middleware.rate_limit")
    corrections.correct_logging()
    storage, jobs = get_storage_service(), get_job_service()
    states = States(jobs)
    topics = Topics(settings.google_cloud_project, os.environ, states)
    queue = Queue(get_queue_service(), topics, states)
    bucket = partial(ensure_bucket, storage.client, settings.gcs_bucket)

    share_clients(images, storage, queue, jobs)
    if hasattr(images, "_process_upload"):
        images._process_upload = checked_upload(images, validation, bucket, queue, pixels)
    rate_limit.rate_limiter = Limiter(rate_limit)  # type: ignore[attr-defined]
    app.dependency_overrides[auth.get_api_key] = key_or_anonymous(auth)
    serve_jobs(app, jobs, storage)
    if debug and not app.docs_url:
        app.add_api_route("/docs", _docs, include_in_schema=False)
    _sweep_while_it_runs(app, Sweeper(queue, topics, states, bucket))
    found: FastAPI = app
    return found


async def _docs() -> HTMLResponse:
    return get_swagger_ui_html(openapi_url="/openapi.json", title="Imagen API")


@corrects("topics")
def _sweep_while_it_runs(app: FastAPI, sweeper: Any) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: FastAPI) -> AsyncIterator[Any]:
        async with inner(served) as state:
            sweeper.start()
            yield state
            await run_in_threadpool(sweeper.stop)

    app.router.lifespan_context = lifespan


@corrects("clients")
def share_clients(images: Any, storage: Any, queue: Any, jobs: Any) -> None:
    """Make all uploads use the same clients."""
    images.get_storage_service = lambda: storage
    images.get_queue_service = lambda: queue
    images.get_job_service = lambda: jobs


@corrects("keyless")
def key_or_anonymous(auth: Any) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Return the dependency that takes the place of upstream's check of API keys.

    A request that a proxy forwarded comes from elsewhere than this machine, and one that a page in
    a browser sent (fetch.spec.whatwg.org: each POST has an Origin) from anybody: they need a key.
    """

    async def check(
        request: Request,
        api_key: str | None = Security(auth.api_key_header),
    ) -> dict[str, Any]:
        if api_key or {"x-forwarded-for", "origin"} & {*request.headers}:
            found: dict[str, Any] = await auth.get_api_key(api_key)
            return found
        return {"name": "anonymous", "tier": "anonymous"}

    return check


class Limiter:
    """Upstream's limiter, which neither shows keys nor needs Redis.

    + module: upstream's ``rate_limit``
    """

    def __init__(self, module: Any) -> None:
        self._inner = module.rate_limiter
        self._memory = module.InMemoryRateLimiter()
        self._logger = module.logger
        self._away = False

    @corrects("key-in-redis", "redis-away")
    async def is_allowed(self, key: str, limit: int, window_seconds: int) -> tuple[bool, int, int]:
        """Return whether a request is allowed, how many more are, and seconds until all are."""
        hidden = hashlib.sha256(key.encode()).hexdigest()[:32]
        try:
            call = self._inner.is_allowed(hidden, limit, window_seconds)
            allowed: tuple[bool, int, int] = await asyncio.wait_for(call, _REDIS)
        except Exception as error:  # redis.exceptions, OSError, TimeoutError
            if not self._away:
                self._logger.warning(f"Requests are counted in memory, without Redis: {error}")
            self._away = True
            allowed = await self._memory.is_allowed(hidden, limit, window_seconds)
        else:
            self._away = False
        return allowed


@corrects("upload-checks", "blocking", "store-errors", "debug", "cors-origins")
def checked_upload(
    images: Any, validation: Any, bucket: Callable[[], bool], queue: Any, pixels: int
) -> Callable[..., Awaitable[Any]]:
    """Return the function that takes the place of upstream's ``_process_upload``.

    + bucket: creates the bucket if it is gone
    + queue: knows of jobs that could not be queued yet (``late``)
    """
    from PIL import Image

    original = images._process_upload
    # Pictures are judged by their headers, before they are decoded.
    Image.MAX_IMAGE_PIXELS = None

    def store(file: UploadFile, contents: bytes, *details: Any) -> Any:
        name = safe_name(file.filename)
        copy = UploadFile(
            BytesIO(contents), size=len(contents), filename=name, headers=file.headers
        )
        return asyncio.run(original(copy, *details))

    async def upload(
        file: UploadFile, job_type: str, params: dict[str, Any], auth: dict[str, Any]
    ) -> Any:
        limits = Limits(
            pixels=pixels,
            shortest=validation.MIN_IMAGE_DIMENSION,
            longest=validation.MAX_IMAGE_DIMENSION,
            size=validation.FILE_SIZE_LIMITS.get(
                auth.get("tier"), validation.DEFAULT_MAX_FILE_SIZE
            ),
            types=validation.ALLOWED_CONTENT_TYPES,
        )
        details = (job_type, params, auth)
        try:
            check_declared(file.size or 0, file.content_type, limits)
            contents = await run_in_threadpool(readable, await file.read(), limits)
        except RefusedError as refused:
            raise HTTPException(refused.status, refused.sentence) from None
        try:
            try:
                job = await run_in_threadpool(store, file, contents, *details)
            except Exception as error:
                if not (has(error, "StorageError") and has(error, "NotFound")):
                    raise
                await run_in_threadpool(bucket)
                job = await run_in_threadpool(store, file, contents, *details)
        except Exception as error:
            failure = judged(error)
            if not (failure.full or failure.passing):
                raise
            validation.logger.warning(f"An upload was refused: {error}")
            raise HTTPException(507 if failure.full else 503, failure.sentence) from error
        if job.job_id in queue.late:
            job.message = _LATE
        return job

    return upload


@corrects("job-ids", "result", "blocking")
def serve_jobs(app: FastAPI, jobs: Any, storage: Any) -> None:
    """Replace upstream's path of a job by one that does not block, and add that of its result."""
    old = next((one for one in app.router.routes if getattr(one, "path", "") == _JOB), None)
    if old is not None:
        app.router.routes.remove(old)
        app.add_api_route(
            _JOB, job_details(old.endpoint), response_model=old.response_model, tags=["jobs"]
        )
    if not any(getattr(one, "path", "") == f"{_JOB}/result" for one in app.router.routes):
        app.add_api_route(f"{_JOB}/result", job_result(jobs, storage), tags=["jobs"])


def job_details(original: Callable[[str], Awaitable[Any]]) -> Callable[[str], Awaitable[Any]]:
    """Return the endpoint of a job's state: upstream's, in a thread."""

    async def get_job(job_id: str) -> Any:
        """Get job status and details."""
        _check_id(job_id)
        try:
            return await _read(lambda: asyncio.run(original(job_id)))
        except HTTPException as error:
            if error.status_code == 404:
                raise HTTPException(404, _unknown(job_id)) from None
            raise

    return get_job


def job_result(jobs: Any, storage: Any) -> Callable[[str], Awaitable[StreamingResponse]]:
    """Return the endpoint of a job's picture."""

    async def get_result(job_id: str) -> StreamingResponse:
        """Get the picture that a completed job made."""
        _check_id(job_id)
        job = await _read(partial(_job, jobs, job_id))
        status = str(getattr(job["status"], "value", job["status"]))
        if status == "failed":
            raise HTTPException(409, f"Job {job_id} has no picture, it failed: {job.get('error')}")
        if status != "completed":
            raise HTTPException(409, f"Job {job_id} has no picture yet, it is {status}: ask again.")
        blob = await _read(
            partial(storage.bucket.get_blob, job["output_path"], timeout=_READ, retry=None)
        )
        if blob is None:
            raise HTTPException(410, f"The picture of job {job_id} is no longer in the store.")
        return StreamingResponse(
            _pieces(blob),
            media_type=blob.content_type or "image/png",
            headers={"Content-Length": str(blob.size), "Cache-Control": "private"},
        )

    return get_result


def _job(jobs: Any, job_id: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = jobs.get(job_id)
    except Exception as error:
        if has(error, "JobNotFoundError"):
            raise HTTPException(404, _unknown(job_id)) from None
        raise
    return found


def _pieces(blob: Any) -> Iterator[bytes]:
    with blob.open("rb", chunk_size=4 * 1024 * 1024) as file:
        while piece := file.read(1024 * 1024):
            yield piece


def _unknown(job_id: str) -> str:
    return f"Job {job_id} not found {_LOST}."


def _check_id(job_id: str) -> None:
    try:
        uuid.UUID(job_id)
    except ValueError:
        raise HTTPException(
            404, "A job's id is a UUID, as the answer to an upload has it."
        ) from None


async def _read(call: Callable[[], Any]) -> Any:
    """Return what a call returns that asks Firestore or the object store; raise HTTPException 503
    if it takes too long or cannot be reached."""
    try:
        return await asyncio.wait_for(run_in_threadpool(call), _READ)
    except HTTPException:
        raise
    except TimeoutError:
        sentence = "The store of job states (Firestore) does not answer in time: ask again."
        raise HTTPException(503, sentence) from None
    except Exception as error:
        failure = judged(error)
        if failure.passing:
            raise HTTPException(503, failure.sentence) from error
        raise
