"""Topics, subscriptions and the bucket: nothing of upstream creates them, and emulators forget."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from models import DEAD_LETTERS, DELIVERIES, LEASE, MODELS, RETENTION, Model
from states import States

_CALL = 5
"""Seconds that a call may take before the emulator counts as away."""


class Topics:
    """What Pub/Sub must have.

    + project: GOOGLE_CLOUD_PROJECT
    + environment: may rename topics and subscriptions (``models.Model``)
    + states: is told of each subscription that had to be created
    """

    def __init__(self, project: str, environment: Mapping[str, str], states: States) -> None:
        from google.api_core.retry import Retry
        from google.cloud import pubsub_v1

        self.project = project
        self._environment = environment
        self._states = states
        # By default a message that cannot be published is tried for ten minutes.
        options = pubsub_v1.types.PublisherOptions(
            retry=Retry(initial=0.1, maximum=1, timeout=_CALL), timeout=_CALL
        )
        self.publisher = pubsub_v1.PublisherClient(publisher_options=options)
        self.subscriber = pubsub_v1.SubscriberClient()

    def topic_of(self, model: Model) -> str:
        """Return the name of a model's topic."""
        return model.topic(self._environment)

    def subscription_of(self, model: Model) -> str:
        """Return the name of a model's subscription."""
        return model.subscription(self._environment)

    def topic_path(self, name: str) -> str:
        """Return the full name of a topic."""
        return f"projects/{self.project}/topics/{name}"

    def subscription_path(self, name: str) -> str:
        """Return the full name of a subscription."""
        return f"projects/{self.project}/subscriptions/{name}"

    def exists(self, subscription: str) -> bool:
        """Return whether a subscription exists. Raises GoogleAPIError if Pub/Sub is away."""
        from google.api_core.exceptions import NotFound

        path = self.subscription_path(subscription)
        try:
            self.subscriber.get_subscription(
                request={"subscription": path}, timeout=_CALL, retry=None
            )
        except NotFound:
            return False
        return True

    def ensure(self) -> list[str]:
        """Create what is missing and return the names of the subscriptions among it.

        Raises GoogleAPIError if Pub/Sub or Firestore is away.
        """
        pairs = {f"{DEAD_LETTERS}-sub": DEAD_LETTERS}
        for model in MODELS.values():
            pairs[self.subscription_of(model)] = self.topic_of(model)
        missing = [name for name in pairs if not self.exists(name)]
        for name in missing:
            self._create(name, pairs[name])
        return missing

    def _create(self, subscription: str, topic: str) -> None:
        from google.api_core.exceptions import AlreadyExists

        # Before and after: what was published between, to the topic alone, is lost too.
        self._states.note_created(subscription)
        with suppress(AlreadyExists):
            self.publisher.create_topic(
                request={"name": self.topic_path(topic)}, timeout=_CALL, retry=None
            )
        request: dict[str, Any] = {
            "name": self.subscription_path(subscription),
            "topic": self.topic_path(topic),
            "ack_deadline_seconds": LEASE,
            "message_retention_duration": {"seconds": RETENTION},
            "retry_policy": {"minimum_backoff": {"seconds": 1}, "maximum_backoff": {"seconds": 60}},
        }
        if topic != DEAD_LETTERS:
            request["dead_letter_policy"] = {
                "dead_letter_topic": self.topic_path(DEAD_LETTERS),
                "max_delivery_attempts": DELIVERIES,
            }
        try:
            self.subscriber.create_subscription(request=request, timeout=_CALL, retry=None)
        except AlreadyExists:
            return  # by another worker at the same moment
        self._states.note_created(subscription)


def ensure_bucket(client: Any, name: str) -> bool:
    """Create the bucket if it does not exist; return whether it was created."""
    from google.api_core.exceptions import Conflict

    if client.lookup_bucket(name, timeout=_CALL, retry=None) is not None:
        return False
    try:
        client.create_bucket(name, timeout=_CALL, retry=None)
    except Conflict:
        return False  # by another worker at the same moment
    return True
