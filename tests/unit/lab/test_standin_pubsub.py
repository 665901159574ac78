"""The stand-in for Pub/Sub delivers at least once, and refuses what Google's emulator refuses."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from lab.upstream.files import STANDINS
from tests.unit.lab.test_mirror_standins import free_port

TOPIC, NAME = "projects/p/topics/t", "projects/p/subscriptions/s"
DEAD, BURIED = "projects/p/topics/dead", "projects/p/subscriptions/dead"


def load(name: str) -> ModuleType:
    """Return a program of the stand-ins as a module."""
    spec = importlib.util.spec_from_file_location(name, STANDINS / "imagen" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def broker() -> Iterator[Any]:
    """The module, without anything of other tests."""
    yield load("broker")
    del sys.modules["broker"]


@pytest.fixture
def queue(broker: Any) -> Any:
    """A broker with a topic, for dead letters too, and a subscription for those."""
    made = broker.Broker()
    made.create_topic(TOPIC)
    made.create_topic(DEAD)
    made.create_subscription(BURIED, DEAD, broker.Rules())
    return made


def test_a_message_is_delivered_again_when_its_lease_is_over(broker: Any, queue: Any):
    """With another id; an acknowledgement of the earlier delivery has no effect."""
    one = queue.create_subscription(NAME, TOPIC, broker.Rules())
    queue.publish(TOPIC, b"x", {}, 0)
    first = one.take(0).ack_id
    assert one.take(0) is None
    queue.expire(9.9)
    assert not one.ready(9.9)
    queue.expire(10)
    second = one.take(10)
    assert (second.message.data, second.attempts) == (b"x", 2)
    one.acknowledge([first])
    assert second.ack_id in one.leased
    one.acknowledge([second.ack_id])
    queue.expire(100)
    assert not one.ready(100)


def test_a_lease_can_be_extended_and_given_back(broker: Any, queue: Any):
    """0 seconds end it at once."""
    one = queue.create_subscription(NAME, TOPIC, broker.Rules())
    queue.publish(TOPIC, b"x", {}, 0)
    ack_id = one.take(0).ack_id
    queue.modify(NAME, [ack_id], 60, 5)
    queue.expire(64)
    assert not one.ready(64)
    queue.modify(NAME, [ack_id], 0, 64)
    assert one.ready(64)


def test_after_too_many_deliveries_a_message_is_a_dead_letter(broker: Any, queue: Any):
    """It keeps its attributes and is told where it comes from; without a policy it never ends."""
    rules = broker.Rules(dead_letter_topic=DEAD, max_attempts=5)
    one = queue.create_subscription(NAME, TOPIC, rules)
    other = queue.create_subscription(NAME + "2", TOPIC, broker.Rules())
    queue.publish(TOPIC, b"x", {"a": "b"}, 0)
    for _ in range(5):
        for each in (one, other):
            queue.modify(each.name, [each.take(0).ack_id], 0, 0)
    assert not one.ready(1e9)
    assert other.ready(0)
    letter = queue.subscription(BURIED).take(0).message
    assert letter.attributes["a"] == "b"
    assert letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert letter.attributes["CloudPubSubDeadLetterSourceSubscription"] == "s"


def test_a_retry_policy_makes_each_wait_longer(broker: Any, queue: Any):
    """Up to its longest."""
    one = queue.create_subscription(NAME, TOPIC, broker.Rules(backoff=(1, 3)))
    queue.publish(TOPIC, b"x", {}, 0)
    waits = []
    for _ in range(3):
        queue.modify(NAME, [one.take(0 if not waits else 1e3).ack_id], 0, 0)
        waits.append(one.waiting[0].ready)
    assert waits == [1, 2, 3]


def test_what_was_published_before_a_subscription_is_not_delivered(broker: Any, queue: Any):
    """Nor is it kept for later."""
    queue.publish(TOPIC, b"early", {}, 0)
    one = queue.create_subscription(NAME, TOPIC, broker.Rules())
    queue.publish(TOPIC, b"late", {}, 0)
    assert one.take(0).message.data == b"late"
    assert one.take(0) is None


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("NOT_FOUND", lambda q, b: q.publish("projects/p/topics/x", b"x", {}, 0)),
        ("NOT_FOUND", lambda q, b: q.subscription(NAME)),
        ("NOT_FOUND", lambda q, b: q.create_subscription(NAME, "projects/p/topics/x", b.Rules())),
        (
            "NOT_FOUND",
            lambda q, b: q.create_subscription(NAME, TOPIC, b.Rules(dead_letter_topic="x")),
        ),
        ("NOT_FOUND", lambda q, b: q.delete_topic("projects/p/topics/x")),
        ("ALREADY_EXISTS", lambda q, b: q.create_topic(TOPIC)),
        ("ALREADY_EXISTS", lambda q, b: q.create_subscription(BURIED, TOPIC, b.Rules())),
        ("INVALID_ARGUMENT", lambda q, b: q.create_topic("t")),
        ("INVALID_ARGUMENT", lambda q, b: q.publish(TOPIC, b"", {}, 0)),
        (
            "INVALID_ARGUMENT",
            lambda q, b: q.create_subscription(NAME, TOPIC, b.Rules(deadline=9)),
        ),
        (
            "INVALID_ARGUMENT",
            lambda q, b: q.create_subscription(
                NAME, TOPIC, b.Rules(dead_letter_topic=DEAD, max_attempts=4)
            ),
        ),
        ("INVALID_ARGUMENT", lambda q, b: q.modify(BURIED, [], 601, 0)),
    ],
)
def test_requests_are_refused_with_the_status_of_the_real_one(
    code: str, call: Any, queue: Any, broker: Any
):
    """Nothing is created on the way."""
    with pytest.raises(broker.RefusedError) as caught:
        call(queue, broker)
    assert caught.value.code == code
    assert set(queue.subscriptions) == {BURIED}


def test_the_port_of_the_emulators_answers_http_and_passes_grpc_on():
    """``GET /`` is "Ok", other requests are not known, and gRPC's first bytes reach the server."""
    front = load("front")

    async def ask(port: int, content: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(content)
        writer.write_eof()
        found = await reader.read()
        writer.close()
        return found

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.read())
        writer.close()

    async def run() -> list[bytes]:
        outer, inner = free_port(), free_port()
        server = await asyncio.start_server(echo, "127.0.0.1", inner)
        listening = await front.listen("127.0.0.1", outer, inner)
        requests = (b"GET / HTTP/1.1\r\n\r\n", b"GET /v1 HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n")
        answers = [await ask(outer, one) for one in (*requests, b"GET")]
        listening.close()
        server.close()
        return answers

    found, unknown, grpc, cut = asyncio.run(run())
    assert found.startswith(b"HTTP/1.1 200 OK\r\n")
    assert found.endswith(b"\r\n\r\nOk\n")
    assert unknown.startswith(b"HTTP/1.1 501")
    assert grpc == b"got PRI * HTTP/2.0\r\n"
    assert cut == b""
