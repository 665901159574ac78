"""Keeps the queue complete while the API runs: no job is lost when Pub/Sub is."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any

from corrections import corrects
from models import DEAD_LETTERS, OF_TYPE, RETENTION
from opentelemetry import context, propagate, trace
from src.core.logging import logger
from states import States, given_up, loss, verdict
from topics import Topics

INTERVAL = 10
"""Seconds between two sweeps."""

_EXPIRED = f"It waited for {RETENTION // 3600} hours without a worker: send it again."


class Queue:
    """The queue of the API: upstream's, which a job outlives.

    + inner: upstream's queue service
    """

    def __init__(self, inner: Any, topics: Topics, states: States) -> None:
        if hasattr(inner, "_publisher"):
            inner._publisher = topics.publisher
        self._inner = inner
        self._topics = topics
        self._states = states
        self.late: set[str] = set()
        """Ids of jobs that are stored and not queued yet."""

    @corrects("outbox", "subscription-names", "trace-context")
    def enqueue(self, topic_name: str, payload: dict[str, Any], job_id: str) -> str:
        """Publish a job, or leave it to the sweeper if Pub/Sub is away; return its id."""
        try:
            self._publish(topic_name, payload, job_id)
        except Exception as error:
            logger.warning(f"Job {job_id} is stored and cannot be queued yet: {error}")
            self.late.add(job_id)
        return job_id

    def publish_again(self, job: dict[str, Any]) -> None:
        """Publish the message of a job as its state describes it, in its trace."""
        payload = {"input_path": job["input_path"], "params": job.get("params") or {}}
        token = context.attach(propagate.extract(job.get("attributes") or {}))
        try:
            self._publish(f"{job['type']}-jobs", payload, job["job_id"])
        finally:
            context.detach(token)
        self.late.discard(job["job_id"])

    def _publish(self, topic_name: str, payload: dict[str, Any], job_id: str) -> None:
        from failures import has

        model = OF_TYPE.get(topic_name.removesuffix("-jobs"))
        topic = self._topics.topic_of(model) if model else topic_name
        with trace.get_tracer("imagen.queue").start_as_current_span(
            f"queue.publish {topic}", kind=trace.SpanKind.PRODUCER, attributes={"job.id": job_id}
        ):
            attributes: dict[str, str] = {}
            propagate.inject(attributes)
            try:
                self._inner.enqueue(topic, payload, job_id)
            except Exception as error:
                if not has(error, "NotFound"):
                    raise
                self._topics.ensure()
                self._inner.enqueue(topic, payload, job_id)
            self._states.published(job_id, attributes)


class Sweeper:
    """A thread that looks after topics, lost messages and dead letters."""

    def __init__(self, queue: Queue, topics: Topics, states: States, bucket: Any) -> None:
        self._queue = queue
        self._topics = topics
        self._states = states
        self._bucket = bucket
        self._stop = threading.Event()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current step."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        steps = (self._bucket, self._topics.ensure, self._bury, self.sweep)
        while not self._stop.is_set():
            trouble = ""
            for step in steps:
                try:
                    step()
                except Exception as error:  # The next sweep tries again.
                    trouble = trouble or f"{type(error).__name__}: {error}"
            if trouble != self._trouble:
                if trouble:
                    logger.warning(f"The queue cannot be looked after: {trouble}")
                else:
                    logger.info("Topics, subscriptions and bucket are there.")
                self._trouble = trouble
            # Soon after it failed: the emulators may only be starting.
            self._stop.wait(2 if trouble else INTERVAL)

    def sweep(self) -> None:
        """Publish the jobs whose messages are lost; fail those that waited too long."""
        created = self._states.created()
        now = datetime.now(UTC)
        for job in self._states.waiting():
            model = OF_TYPE.get(job["type"])
            if model is None:
                continue
            found = loss(job, created.get(self._topics.subscription_of(model)), now)
            if found == "publish" or job["job_id"] in self._queue.late:
                logger.warning(f"Job {job['job_id']} is not in the queue; it is published.")
                self._queue.publish_again(job)
            elif found == "expire":
                self._states.fail(job["job_id"], _EXPIRED)

    def _bury(self) -> None:
        """Handle messages that Pub/Sub does not deliver any more."""
        from google.api_core.exceptions import DeadlineExceeded

        path = self._topics.subscription_path(f"{DEAD_LETTERS}-sub")
        try:
            answer = self._topics.subscriber.pull(
                request={"subscription": path, "max_messages": 20}, timeout=3, retry=None
            )
        except DeadlineExceeded:
            return  # none is there
        for received in answer.received_messages:
            try:
                job_id = str(json.loads(received.message.data)["job_id"])
            except (ValueError, KeyError, TypeError):
                logger.error("A dead letter is not a job, and is dropped.")
            else:
                if not self._buried(job_id):
                    continue
            ids = [received.ack_id]
            self._topics.subscriber.acknowledge(request={"subscription": path, "ack_ids": ids})

    def _buried(self, job_id: str) -> bool:
        """Fail a dead letter's job; return whether the letter can go.

        A job that was not tried that often is published again: Pub/Sub also counts what never
        began, such as while Firestore was away.
        """
        job = self._states.get(job_id)
        found = verdict(job, datetime.now(UTC))
        if job is None or found == "done":
            return True
        if found == "exhausted":
            logger.error(f"Job {job_id} was delivered too often; it counts as failed.")
            self._states.fail(job_id, given_up(job.get("last_error")))
        elif found == "free":
            self._queue.publish_again(job)
        return found != "taken"
