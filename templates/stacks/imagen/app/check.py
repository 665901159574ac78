"""Sends a small picture through each model as a user would, and removes it again."""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from models import Model
from verdicts import EDGE, PARTS, parts, wrong

_WAIT = 300.0
_TRACE = 20.0


class CheckError(Exception):
    """A check that failed: what was seen, and what to do."""

    def __init__(self, evidence: str, fix: str) -> None:
        super().__init__(evidence)
        self.evidence = evidence
        self.fix = fix


@dataclass
class Job:
    """A job of the check. Its trace is chosen by the client, as any client may (W3C Trace Context:
    the header traceparent)."""

    model: Model
    id: str = ""
    trace: str = field(default_factory=lambda: os.urandom(16).hex())

    @property
    def traceparent(self) -> str:
        """Return the header's value."""
        return f"00-{self.trace}-{os.urandom(8).hex()}-01"


def main(models: Sequence[Model], key: str) -> int:
    """Print a line of JSON for each model; return 0 if all work."""
    good = True
    logging.disable(logging.WARNING)  # Upstream's lines would be among ours.
    headers = {"X-API-Key": key.strip().encode()} if key.strip() else {}
    base = os.environ.get("API_URL") or "http://api:8000"
    with httpx.Client(base_url=base, headers=headers, timeout=60) as client:
        for model in models:
            line = {"name": f"imagen: {model.name}", "ok": True, "evidence": "", "fix": ""}
            job = Job(model)
            try:
                line["evidence"] = _through(client, job)
            except CheckError as error:
                line.update(ok=False, evidence=error.evidence, fix=error.fix)
            except httpx.HTTPError as error:
                line.update(
                    ok=False,
                    evidence=f"{base} does not answer: {type(error).__name__} {error}".strip(),
                    fix="look at `docker compose logs api`.",
                )
            finally:
                if job.id and (left := remove(job)):
                    line["evidence"] = f"{line['evidence']}; {left}"
            good = good and bool(line["ok"])
            print(json.dumps(line), flush=True)
    return 0 if good else 1


def picture() -> bytes:
    """Return a PNG with gradients of all colors, a few kilobytes."""
    from PIL import Image

    red = Image.linear_gradient("L").resize((EDGE, EDGE))
    bands = (red, red.rotate(90), Image.radial_gradient("L").resize((EDGE, EDGE)))
    buffer = io.BytesIO()
    Image.merge("RGB", bands).save(buffer, format="PNG")
    return buffer.getvalue()


def _through(client: httpx.Client, job: Job) -> str:
    sent = picture()
    began = time.monotonic()
    answer = _patiently(
        lambda: client.post(
            f"/api/v1/images/{job.model.route}",
            files={"file": ("check.png", sent, "image/png")},
            headers={"traceparent": job.traceparent},
        )
    )
    queued = time.monotonic() - began
    if answer.status_code != 200:
        raise CheckError(
            f"an upload was answered {answer.status_code}: {_message(answer)}",
            "look at `docker compose logs api`.",
        )
    job.id = answer.json()["job_id"]
    done = _finished(client, job)
    took = time.monotonic() - began
    result = _patiently(lambda: client.get(done["output_url"]))
    if result.status_code != 200:
        raise CheckError(
            f"the result was answered {result.status_code}: {_message(result)}",
            "look at `docker compose logs api storage`.",
        )
    looks = _looks(job.model, sent, result.content)
    return (
        f"queued in {queued * 1000:.0f} ms, done after {took:.1f} s,"
        f" {EDGE}x{EDGE} PNG -> {looks}, {_traced(job)}"
    )


def _finished(client: httpx.Client, job: Job) -> dict[str, Any]:
    """Wait for a job and return its state. Raises CheckError if it fails or is not done in time."""
    service = f"{'comic' if job.model.name == 'style_comic' else job.model.job_type}-worker"
    limit = float(os.environ.get("CHECK_TIMEOUT") or _WAIT)
    began = time.monotonic()
    while True:
        answer = _patiently(lambda: client.get(f"/api/v1/jobs/{job.id}"))
        state: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
        status = state.get("status")
        if status == "completed":
            return state
        if status == "failed":
            raise CheckError(
                f"the job failed: {state.get('error')}",
                f"look at `docker compose logs {service} triton`.",
            )
        waited = time.monotonic() - began
        if waited > limit:
            seen = f"the job is {status}" if status else f"its state is not told: {answer.text}"
            raise CheckError(
                f"{seen} after {limit:.0f} s",
                f"look at `docker compose ps` and `docker compose logs {service} triton`.",
            )
        # A key allows 300 requests a minute.
        time.sleep(0.1 if waited < 2 else min(waited / 10, 3))


def _patiently(call: Callable[[], httpx.Response]) -> httpx.Response:
    """Return the answer to a request; one that comes too soon is repeated when it may be."""
    for _ in range(3):
        answer = call()
        if answer.status_code != 429:
            break
        time.sleep(min(float(answer.headers.get("Retry-After") or 10), 60))
    return answer


def _looks(model: Model, sent: bytes, contents: bytes) -> str:
    """Describe a result. Raises CheckError if it is not a picture of the right kind."""
    from PIL import Image

    fix = "look at `docker compose logs triton`, and at the weights of the model."
    try:
        image = Image.open(io.BytesIO(contents))
        image.load()
    except Exception as error:
        raise CheckError(f"the result is not a picture: {error}", fix) from None
    if contents == sent:
        raise CheckError("the result is the picture that was sent", fix)
    if problem := wrong(model.name, image.size, image.mode, image.format):
        raise CheckError(f"the result is not what it should be: {problem}", fix)
    alpha = " with transparency" if "A" in image.mode else ""
    return f"{image.width}x{image.height} {image.format}{alpha}"


def _traced(job: Job) -> str:
    """Describe the job's trace. Raises CheckError if Jaeger has not all parts of it in time."""
    if os.environ.get("OTEL_ENABLED", "true").lower() in ("0", "false", "no", "off"):
        return "tracing is off"
    base = os.environ.get("JAEGER_URL") or "http://jaeger:16686"
    deadline = time.monotonic() + _TRACE
    found: list[str] = []
    seen = ""
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{base}/api/traces/{job.trace}", timeout=10)
            seen = f"answers {answer.status_code}"
            traces = answer.json().get("data") or [] if answer.status_code == 200 else []
            found = parts(traces[0]) if traces else []
        except (httpx.HTTPError, ValueError, KeyError) as error:
            seen = f"cannot be asked: {type(error).__name__} {error}"
        if found == list(PARTS):
            return f"trace {job.trace} with {', '.join(found)}"
        time.sleep(0.5)
    raise CheckError(
        f"the picture came, but its trace {job.trace} has {', '.join(found) or 'nothing'} of"
        f" {', '.join(PARTS)} (Jaeger {seen})",
        "look at `docker compose logs jaeger`, and at OTEL_EXPORTER_OTLP_ENDPOINT.",
    )


def remove(job: Job) -> str:
    """Remove a job, its state and its pictures; return what could not be removed."""
    try:
        import corrections

        settings = corrections.correct_settings()
        from src.services import get_job_service, get_storage_service

        bucket = get_storage_service().client.bucket(settings.gcs_bucket)
        for folder in ("inputs", "outputs"):
            for blob in bucket.list_blobs(prefix=f"{folder}/{job.id}/"):
                blob.delete()
        get_job_service().collection.document(job.id).delete()
    except Exception as error:
        return f"job {job.id} could not be removed: {type(error).__name__} {error}"
    return ""


def _message(answer: httpx.Response) -> str:
    """Return the sentence of the API's answer."""
    try:
        body = answer.json()
        return str(body["error"]["message"] if "error" in body else body["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
