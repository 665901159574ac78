"""The states of jobs in Firestore, beyond what upstream keeps there.

Fields of a job that are ours: ``attempts`` (how often a worker began), ``lease_until`` (until when
the worker that has it answers for it), ``last_error`` (why it was not done), ``published_at`` and
``attributes`` (when its message was published, and with which trace). The collection ``queues``
has, for each subscription, when it was created: an emulator that starts again has none, and all
messages published before are lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from models import DELIVERIES, RETENTION

CLAIM = 20
"""Seconds that a worker answers for a job without reporting; less than ``models.LEASE``."""

HEARTBEAT = 5
"""Seconds between two reports."""

FINAL = ("completed", "failed")
_UNPUBLISHED = 60
"""Seconds after which a job that was never published is: whoever created it has ended."""


def verdict(job: Mapping[str, Any] | None, now: datetime) -> str:
    """Return what a worker does with a job that was delivered to it.

    ``unknown``: there is no such job. ``done``: nothing is left to do. ``taken``: another worker
    is at it. ``exhausted``: it was tried too often. ``free``: begin.
    """
    if job is None:
        return "unknown"
    if job["status"] in FINAL:
        return "done"
    until = job.get("lease_until")
    if until is not None and until > now:
        return "taken"
    return "exhausted" if job.get("attempts", 0) >= DELIVERIES else "free"


def loss(job: Mapping[str, Any], created: datetime | None, now: datetime) -> str:
    """Return what is to be done for a job that is not final: ``publish``, ``expire`` or nothing.

    + created: when its subscription was created, if that is known
    """
    until = job.get("lease_until")
    if until is not None and until > now:
        return ""
    if now - job["created_at"] > timedelta(seconds=RETENTION):
        return "expire"
    published = job.get("published_at")
    if published is None:
        return "publish" if now - job["created_at"] > timedelta(seconds=_UNPUBLISHED) else ""
    return "publish" if created is not None and published < created else ""


def given_up(last_error: str | None) -> str:
    """Return the sentence for a job that was tried too often."""
    why = last_error or "Its worker ended each time before it was done (memory?)."
    return f"Given up after {DELIVERIES} tries. {why}"


class States:
    """The jobs, through upstream's own service for them (``collection`` and ``db``)."""

    def __init__(self, service: Any) -> None:
        self._service = service

    def get(self, job_id: str) -> dict[str, Any] | None:
        """Return a job, or None if there is none."""
        found: dict[str, Any] | None = self._service.collection.document(job_id).get().to_dict()
        return found

    def claim(self, job_id: str) -> tuple[str, dict[str, Any]]:
        """Return the verdict on a job, and the job; if it is free, it is this worker's now."""
        from google.cloud import firestore

        reference = self._service.collection.document(job_id)

        @firestore.transactional
        def decide(transaction: Any) -> tuple[str, dict[str, Any]]:
            job = reference.get(transaction=transaction).to_dict()
            now = datetime.now(UTC)
            found = verdict(job, now)
            if found == "free":
                job["attempts"] = job.get("attempts", 0) + 1
                until = now + timedelta(seconds=CLAIM)
                transaction.update(reference, {"attempts": job["attempts"], "lease_until": until})
            return found, job or {}

        result: tuple[str, dict[str, Any]] = decide(self._service.db.transaction())
        return result

    @contextmanager
    def answered_for(self, job_id: str) -> Iterator[None]:
        """Report, while the block runs, that this worker is still at the job."""
        over = threading.Event()

        def report() -> None:
            while not over.wait(HEARTBEAT):
                until = datetime.now(UTC) + timedelta(seconds=CLAIM)
                self._change(job_id, lease_until=until)

        thread = threading.Thread(target=report, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=HEARTBEAT)

    def put_back(self, job_id: str, sentence: str) -> None:
        """Note that a job waits again, and why."""
        self._change(job_id, status="queued", last_error=sentence, lease_until=None)

    def fail(self, job_id: str, sentence: str) -> None:
        """Note that a job failed, and why."""
        self._change(job_id, status="failed", error=sentence, lease_until=None)

    def published(self, job_id: str, attributes: Mapping[str, str]) -> None:
        """Note that a job's message was published, with these attributes."""
        now = datetime.now(UTC)
        self._change(job_id, published_at=now, attributes=dict(attributes))

    def _change(self, job_id: str, **fields: Any) -> None:
        """Change a job; one that Firestore has forgotten, or cannot be asked about now, stays as
        it is: whoever reads it next decides from what is there."""
        from google.api_core.exceptions import GoogleAPIError

        if "lease_until" not in fields or "status" in fields:
            fields["updated_at"] = datetime.now(UTC)
        try:
            self._service.collection.document(job_id).update(fields, timeout=10)
        except GoogleAPIError as error:
            from src.core.logging import logger

            logger.warning(f"The state of job {job_id} could not be noted: {error}")

    def waiting(self) -> list[dict[str, Any]]:
        """Return all jobs that are not final."""
        from google.cloud.firestore_v1.base_query import FieldFilter

        only = FieldFilter("status", "in", ["queued", "processing"])
        query = self._service.collection.where(filter=only)
        return [one.to_dict() for one in query.stream(timeout=30)]

    def queued(self, job_type: str) -> int:
        """Return how many jobs of a type wait."""
        return sum(
            1 for one in self.waiting() if one["type"] == job_type and one["status"] == "queued"
        )

    def note_created(self, subscription: str) -> None:
        """Note that a subscription begins now, without any message."""
        entry = {"created_at": datetime.now(UTC)}
        self._service.db.collection("queues").document(subscription).set(entry, timeout=10)

    def created(self) -> dict[str, datetime]:
        """Return when each subscription was created, by its name."""
        entries = self._service.db.collection("queues").stream(timeout=30)
        return {one.id: one.to_dict()["created_at"] for one in entries}
