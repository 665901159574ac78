"""Takes jobs from the queue for one worker, in place of upstream's ``subscribe``."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from failures import has, judged
from models import DELIVERIES
from opentelemetry import context, propagate, trace
from prometheus_client import Gauge
from src.core.logging import logger
from states import States, given_up
from topics import Topics

LISTENING = Gauge("imagen_worker_listening", "Whether the worker can take jobs from the queue")

_LONGEST = 3600
"""Seconds that a job may take. After that its message is delivered again."""

_UNTIL_READY = 300
"""Seconds that a worker waits for Triton before it gives a job back."""

_LOOK = 5
"""Seconds between two looks at whether the subscription still exists."""


class AgainError(Exception):
    """A job could not be done now, and may be later; the text says why."""


class GoneError(Exception):
    """Firestore does not know the job any more."""


class Delivery:
    """The queue of one worker; has the method of upstream's queue that workers call.

    + ready: whether Triton has the model
    + stop: set when the worker has to end
    """

    def __init__(
        self, topics: Topics, states: States, ready: Callable[[], bool], stop: threading.Event
    ) -> None:
        self._topics = topics
        self._states = states
        self._ready = ready
        self._stop = stop
        self._attempts = 0
        self.listening = False

    def subscribe(
        self, subscription_name: str, callback: Callable[[dict[str, Any]], None], **_: Any
    ) -> None:
        """Pass each job to ``callback`` until ``stop`` is set; take part in Pub/Sub's restarts."""
        self.listening = True

        def on_message(message: Any) -> None:
            self._on_message(subscription_name, message, callback)

        while not self._stop.is_set():
            try:
                created = self._topics.ensure()
                if created:
                    logger.info(f"Created in Pub/Sub: {', '.join(created)}")
                self._listen(subscription_name, on_message)
            except Exception as error:  # Whatever it is, a worker goes on taking jobs.
                LISTENING.set(0)
                logger.warning(f"The queue cannot be used now: {type(error).__name__}: {error}")
                self._stop.wait(2)
        LISTENING.set(0)

    def _listen(self, name: str, on_message: Callable[[Any], None]) -> None:
        """Take jobs until the worker has to end. Raises if the subscription is gone."""
        from google.cloud.pubsub_v1.subscriber.scheduler import ThreadScheduler
        from google.cloud.pubsub_v1.types import FlowControl

        pull = self._topics.subscriber.subscribe(
            self._topics.subscription_path(name),
            callback=on_message,
            # One job at a time; the next one stays in the queue, for whichever worker is free.
            flow_control=FlowControl(max_messages=1, max_lease_duration=_LONGEST),
            scheduler=ThreadScheduler(ThreadPoolExecutor(max_workers=1)),
            await_callbacks_on_shutdown=True,
        )
        logger.info(f"Listening on {name}")
        try:
            while not self._stop.is_set():
                if pull.done():
                    pull.result()
                    return
                # A stream that was cut is opened again without a word, so ask.
                if not self._topics.exists(name):
                    logger.warning("Pub/Sub has started again and has forgotten its topics.")
                    return
                LISTENING.set(1)
                self._stop.wait(_LOOK)
        finally:
            pull.cancel()
            pull.result()

    def _on_message(
        self, name: str, message: Any, callback: Callable[[dict[str, Any]], None]
    ) -> None:
        try:
            data = json.loads(message.data)
            job_id = str(data["job_id"])
        except (ValueError, KeyError, TypeError):
            logger.error("A message is not a job, and is dropped.")
            message.ack()
            return
        token = context.attach(propagate.extract(dict(message.attributes)))
        try:
            with trace.get_tracer("imagen.queue").start_as_current_span(
                f"queue.receive {name}",
                kind=trace.SpanKind.CONSUMER,
                attributes={"job.id": job_id, "messaging.message.id": message.message_id},
            ):
                finished = self._finished(job_id, data, callback)
        except Exception:
            logger.exception(f"Job {job_id} could not be handled; it is delivered again.")
            finished = False
        finally:
            context.detach(token)
        if finished:
            message.ack()
        else:
            message.nack()

    def _finished(
        self, job_id: str, data: dict[str, Any], callback: Callable[[dict[str, Any]], None]
    ) -> bool:
        """Work on a job; return whether nothing is left to do, so that its message can go."""
        found, job = self._claimed(job_id)
        if found == "unknown":
            logger.warning(f"Job {job_id} is dropped: Firestore has no state of it (any more).")
        elif found == "done":
            logger.info(f"Job {job_id} was delivered again; it is {job['status']} already.")
        elif found == "exhausted":
            logger.error(f"Job {job_id} was tried {DELIVERIES} times; it counts as failed.")
            self._states.fail(job_id, given_up(job.get("last_error")))
        elif found == "free":
            self._attempts = job["attempts"]
            return self._worked(job_id, data, callback)
        return found != "stopped"

    def _claimed(self, job_id: str) -> tuple[str, dict[str, Any]]:
        """Return the verdict on a job once no other worker is at it and Firestore answers."""
        while not self._stop.is_set():
            try:
                found, job = self._states.claim(job_id)
                if found != "taken":
                    return found, job
            except Exception as error:
                if not judged(error).passing:
                    raise
                logger.warning(f"Job {job_id} waits: {judged(error).sentence}")
            self._stop.wait(1)
        return "stopped", {}

    def _worked(
        self, job_id: str, data: dict[str, Any], callback: Callable[[dict[str, Any]], None]
    ) -> bool:
        try:
            with self._states.answered_for(job_id):
                callback(data)
        except GoneError:
            logger.warning(f"Job {job_id} is dropped: Firestore has lost its state meanwhile.")
        except AgainError as again:
            logger.warning(f"Job {job_id}, try {self._attempts} of {DELIVERIES}: {again}")
            self._states.put_back(job_id, str(again))
            self._pause()
            return False
        return True

    def _pause(self) -> None:
        """Wait longer after each try, and until Triton is ready, before a job is given back."""
        self._stop.wait(min(2**self._attempts, 30))
        for _ in range(_UNTIL_READY):
            if self._stop.is_set() or self._ready():
                return
            self._stop.wait(1)

    def noted_failure(self, error_text: str | None) -> str:
        """Return the sentence for a job that upstream is about to mark as failed.

        Called while upstream handles the job's exception. Raises AgainError if the job may succeed
        later, GoneError if Firestore has forgotten it.
        """
        error = sys.exc_info()[1]
        if error is None:
            return error_text or "It failed without a reason."
        if has(error, "NotFound") and not has(error, "StorageError"):
            raise GoneError(str(error))
        failure = judged(error)
        if not failure.passing:
            return failure.sentence
        if self._attempts < DELIVERIES:
            raise AgainError(failure.sentence)
        return given_up(failure.sentence)
