"""Measures what queue, store and worker add to a picture: jobs through the API beside the same
picture sent straight to Triton."""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable

import httpx
from check import Job, picture, remove
from models import Model
from verdicts import EDGE

_WAIT = 600
_PAUSE = 0.01


def main(model: Model, count: int, key: str) -> int:
    """Print the times of ``count`` pictures; return 0. Whatever goes wrong is raised.

    + count: up to 100, because the API allows 300 requests a minute
    """
    logging.disable(logging.WARNING)  # Upstream's lines would be among ours.
    sent, done = picture(), list[Job]()
    straight = statistics.median(_timed(count, lambda: _infer(model, sent)))
    headers = {"X-API-Key": key.strip().encode()} if key.strip() else {}
    base = os.environ.get("API_URL") or "http://api:8000"
    with httpx.Client(base_url=base, headers=headers, timeout=60) as client:
        one = statistics.median(_timed(count, lambda: _finish([_post(client, model, sent)], done)))
        began = time.monotonic()
        _finish([_post(client, model, sent) for _ in range(count)], done)
        together = time.monotonic() - began
    print(
        f"{model.name}, {count} pictures of {EDGE}x{EDGE}, medians: Triton alone"
        f" {straight * 1000:.0f} ms, as a job {one * 1000:.0f} ms, so API, queue, store and worker"
        f" take {(one - straight) * 1000:.0f} ms; {count} jobs at once"
        f" {together / count * 1000:.0f} ms each"
    )
    # Only now, so that it takes no part in the times.
    for left in filter(None, map(remove, done)):
        print(left)
    return 0


def _timed(count: int, work: Callable[[], None]) -> list[float]:
    """Return the seconds of each of ``count`` calls, after one that does not count."""
    work()
    times = []
    for _ in range(count):
        began = time.monotonic()
        work()
        times.append(time.monotonic() - began)
    return times


def _infer(model: Model, sent: bytes) -> None:
    import numpy as np
    import tritonclient.grpc as grpcclient

    url = os.environ.get("TRITON_URL") or "triton:8001"
    with grpcclient.InferenceServerClient(url) as client:
        image = grpcclient.InferInput("IMAGE", [len(sent)], "UINT8")
        image.set_data_from_numpy(np.frombuffer(sent, dtype=np.uint8))
        client.infer(model.name, [image], client_timeout=_WAIT)


def _post(client: httpx.Client, model: Model, sent: bytes) -> Job:
    answer = client.post(
        f"/api/v1/images/{model.route}", files={"file": ("check.png", sent, "image/png")}
    )
    answer.raise_for_status()
    job = Job(model)
    job.id = answer.json()["job_id"]
    return job


def _finish(jobs: list[Job], done: list[Job]) -> None:
    """Wait until all jobs are completed, and add them to ``done``.

    Their states are read where the API reads them: it allows too few requests to be asked often.
    """
    from src.services import get_job_service

    states, limit = get_job_service(), time.monotonic() + _WAIT
    for job in jobs:
        while (state := states.get(job.id))["status"] != "completed":
            if state["status"] == "failed" or time.monotonic() > limit:
                raise RuntimeError(f"job {job.id} is {state['status']}: {state.get('error')}")
            time.sleep(_PAUSE)
    done += jobs
