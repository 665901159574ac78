"""The messages of the stand-in for Google's Pub/Sub emulator, without any network.

What it does and refuses is described at cloud.google.com/pubsub/docs: each message reaches each
subscription at least once; one that is not acknowledged within its lease is delivered again; all of
it is in memory. Times are seconds of one clock, which every call passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

DEADLINE = 10.0
"""Seconds of a lease if the subscription does not say."""

DELETED_TOPIC = "_deleted-topic_"


class RefusedError(Exception):
    """A request that cannot be carried out: the name of gRPC's status code, and a sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Message:
    """A published message."""

    id: str
    data: bytes
    attributes: Mapping[str, str]
    published: float

    @property
    def size(self) -> int:
        """Bytes that count toward flow control."""
        return len(self.data) + sum(len(k) + len(v) for k, v in self.attributes.items())


@dataclass
class Delivery:
    """A message in a subscription: waiting until ``ready``, or leased until ``lease``.

    ``attempts`` counts how often it was handed out. The ack id changes each time, so a late
    acknowledgement of an earlier delivery has no effect.
    """

    message: Message
    ready: float
    ack_id: str = ""
    lease: float = 0.0
    attempts: int = 0


@dataclass(frozen=True)
class Rules:
    """The settings of a subscription.

    + deadline: seconds of a lease
    + dead_letter_topic, max_attempts: where a message goes after so many deliveries; "" for nowhere
    + backoff: shortest and longest time in seconds until the next delivery of a message that was
      refused or whose lease expired; it doubles in between
    """

    deadline: float = DEADLINE
    dead_letter_topic: str = ""
    max_attempts: int = 5
    backoff: tuple[float, float] = (0.0, 0.0)


@dataclass
class Subscription:
    """The messages of one subscription."""

    name: str
    topic: str
    rules: Rules
    waiting: list[Delivery] = field(default_factory=list)
    leased: dict[str, Delivery] = field(default_factory=dict)
    _ids: Iterable[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        if not 10 <= self.rules.deadline <= 600:
            raise RefusedError(
                "INVALID_ARGUMENT", "Invalid ack deadline given: must be 0, or from 10 to 600"
            )
        if self.rules.dead_letter_topic and not 5 <= self.rules.max_attempts <= 100:
            raise RefusedError(
                "INVALID_ARGUMENT", "Invalid max_delivery_attempts given: must be from 5 to 100"
            )

    def ready(self, now: float) -> bool:
        """Return whether ``take`` would hand out a message."""
        return any(one.ready <= now for one in self.waiting)

    def take(self, now: float, deadline: float = 0.0) -> Delivery | None:
        """Lease the message that waits longest; None if there is none."""
        for place, one in enumerate(self.waiting):
            if one.ready <= now:
                del self.waiting[place]
                one.attempts += 1
                one.ack_id = f"{self.name}:{next(iter(self._ids))}"
                one.lease = now + (deadline or self.rules.deadline)
                self.leased[one.ack_id] = one
                return one
        return None

    def acknowledge(self, ack_ids: Iterable[str]) -> None:
        """Forget messages; ids of leases that have expired have no effect."""
        for ack_id in ack_ids:
            self.leased.pop(ack_id, None)

    def modify(self, ack_ids: Iterable[str], seconds: float, now: float) -> list[Message]:
        """Extend leases, or end them with 0 seconds; return messages for the dead-letter topic."""
        if not 0 <= seconds <= 600:
            raise RefusedError(
                "INVALID_ARGUMENT", "Invalid ack deadline given: must be from 0 to 600"
            )
        known = [ack_id for ack_id in ack_ids if ack_id in self.leased]
        if not seconds:
            return self._give_back(known, now)
        for ack_id in known:
            self.leased[ack_id].lease = now + seconds
        return []

    def expire(self, now: float) -> list[Message]:
        """End all leases that are over; return messages for the dead-letter topic."""
        return self._give_back([k for k, one in self.leased.items() if one.lease <= now], now)

    def _give_back(self, ack_ids: Iterable[str], now: float) -> list[Message]:
        dead = []
        for ack_id in ack_ids:
            one = self.leased.pop(ack_id)
            if self.rules.dead_letter_topic and one.attempts >= self.rules.max_attempts:
                dead.append(self._dead(one))
                continue
            shortest, longest = self.rules.backoff
            one.ready = now + min(shortest * 2.0 ** (one.attempts - 1), longest)
            self.waiting.append(one)
        return dead

    def _dead(self, one: Delivery) -> Message:
        project, name = self.name.split("/")[1], self.name.rpartition("/")[2]
        source = {
            "CloudPubSubDeadLetterSourceDeliveryCount": str(one.attempts),
            "CloudPubSubDeadLetterSourceSubscription": name,
            "CloudPubSubDeadLetterSourceSubscriptionProject": project,
        }
        return replace(one.message, attributes={**one.message.attributes, **source})


class Broker:
    """All topics and subscriptions.

    ``changed`` is called with a subscription that may have something to hand out.
    """

    def __init__(self, changed: Callable[[Subscription], None] = lambda _: None) -> None:
        self.topics: set[str] = set()
        self.subscriptions: dict[str, Subscription] = {}
        self._changed = changed
        self._ids = itertools.count(1)

    def create_topic(self, name: str) -> None:
        """Create a topic. Raises RefusedError."""
        _check(name, "topics")
        if name in self.topics:
            raise RefusedError("ALREADY_EXISTS", "Topic already exists")
        self.topics.add(name)

    def topic(self, name: str) -> str:
        """Return the name. Raises RefusedError if there is no such topic."""
        if name not in self.topics:
            raise RefusedError("NOT_FOUND", "Topic not found")
        return name

    def delete_topic(self, name: str) -> None:
        """Delete a topic; its subscriptions keep their messages. Raises RefusedError."""
        self.topics.remove(self.topic(name))
        for one in self.subscriptions.values():
            if one.topic == name:
                one.topic = DELETED_TOPIC

    def create_subscription(self, name: str, topic: str, rules: Rules) -> Subscription:
        """Create a subscription, which gets what is published from now on. Raises RefusedError."""
        _check(name, "subscriptions")
        if name in self.subscriptions:
            raise RefusedError("ALREADY_EXISTS", "Subscription already exists")
        self.topic(topic)
        if rules.dead_letter_topic:
            self.topic(rules.dead_letter_topic)
        self.subscriptions[name] = Subscription(name, topic, rules)
        return self.subscriptions[name]

    def subscription(self, name: str) -> Subscription:
        """Return a subscription. Raises RefusedError."""
        found = self.subscriptions.get(name)
        if found is None:
            short = name.rpartition("/")[2]
            raise RefusedError("NOT_FOUND", f"Subscription does not exist (resource={short})")
        return found

    def delete_subscription(self, name: str) -> None:
        """Delete a subscription and its messages. Raises RefusedError."""
        del self.subscriptions[self.subscription(name).name]

    def publish(self, topic: str, data: bytes, attributes: Mapping[str, str], now: float) -> str:
        """Give a message to all subscriptions of a topic; return its id. Raises RefusedError."""
        self.topic(topic)
        if not data and not attributes:
            raise RefusedError("INVALID_ARGUMENT", "Some messages in the batch have no data")
        message = Message(str(next(self._ids)), data, dict(attributes), now)
        for one in self.subscriptions.values():
            if one.topic == topic:
                one.waiting.append(Delivery(message, now))
                self._changed(one)
        return message.id

    def modify(self, name: str, ack_ids: Iterable[str], seconds: float, now: float) -> None:
        """Extend or end leases of a subscription. Raises RefusedError."""
        one = self.subscription(name)
        self._bury(one, one.modify(ack_ids, seconds, now), now)
        self._changed(one)

    def expire(self, now: float) -> None:
        """End what is over in all subscriptions; call it several times a second."""
        for one in list(self.subscriptions.values()):
            self._bury(one, one.expire(now), now)
            if one.ready(now):
                self._changed(one)

    def _bury(self, source: Subscription, dead: Iterable[Message], now: float) -> None:
        for message in dead:
            # The topic may have been deleted: then they are lost, as a message is that is
            # published to a topic without subscriptions.
            if source.rules.dead_letter_topic in self.topics:
                self.publish(source.rules.dead_letter_topic, message.data, message.attributes, now)


def _check(name: str, kind: str) -> None:
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "projects" or parts[2] != kind or not parts[3]:
        raise RefusedError("INVALID_ARGUMENT", f"Invalid [{kind}] name: (name={name})")
