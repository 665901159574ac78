"""Stand-in for Google's Pub/Sub emulator: its gRPC services, over ``broker.Broker``.

``python pubsub.py --host-port=127.0.0.1:8085`` starts it alone; it needs the packages of
requirements.txt. Limitations of the emulator (cloud.google.com/pubsub/docs/emulator) are its own
too, and what imagen does not use is refused as UNIMPLEMENTED.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
import types as python_types
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import google
import grpc
from broker import DEADLINE, Broker, Delivery, RefusedError, Rules, Subscription
from front import listen
from google.protobuf import empty_pb2

# The package itself imports Google's whole client library, which takes seconds on an emulated
# machine; its module of messages needs none of it.
for name in ("google.pubsub_v1", "google.pubsub_v1.types"):
    package = python_types.ModuleType(name)
    package.__path__ = [os.path.join(p, *name.split(".")[1:]) for p in google.__path__]
    sys.modules[name] = package
from google.pubsub_v1.types import pubsub as messages  # noqa: E402

_TICK = 0.1
_PULL = 1.0
"""Seconds that a Pull without messages waits."""


@dataclass(eq=False)
class Stream:
    """An open StreamingPull: its limits, and what it holds."""

    deadline: float
    most_messages: int
    most_bytes: int
    served: int = 0
    held: dict[str, int] = field(default_factory=dict)
    outbox: asyncio.Queue[Delivery | RefusedError] = field(default_factory=asyncio.Queue)

    def has_room(self, leased: dict[str, Delivery]) -> bool:
        """Return whether flow control lets it have one more message."""
        self.held = {ack_id: size for ack_id, size in self.held.items() if ack_id in leased}
        return not (0 < self.most_messages <= len(self.held)) and not (
            0 < self.most_bytes <= sum(self.held.values())
        )


class Service:
    """The methods of Publisher and Subscriber that a client calls."""

    def __init__(self) -> None:
        self.broker = Broker(self._serve)
        self.streams: dict[str, list[Stream]] = {}

    def _serve(self, one: Subscription) -> None:
        """Hand out what waits to streams that have room, the least busy first."""
        now = time.time()
        while one.ready(now):
            free = [s for s in self.streams.get(one.name, []) if s.has_room(one.leased)]
            if not free:
                return
            stream = min(free, key=lambda s: (len(s.held), s.served))
            if delivery := one.take(now, stream.deadline):
                stream.held[delivery.ack_id] = delivery.message.size
                stream.served += 1
                stream.outbox.put_nowait(delivery)

    async def tick(self) -> None:
        """Let leases expire, forever."""
        while True:
            await asyncio.sleep(_TICK)
            self.broker.expire(time.time())

    async def create_topic(self, request: Any) -> Any:
        self.broker.create_topic(request.name)
        return request

    async def get_topic(self, request: Any) -> Any:
        return messages.Topic.pb()(name=self.broker.topic(request.topic))

    async def list_topics(self, request: Any) -> Any:
        found = sorted(t for t in self.broker.topics if t.startswith(f"{request.project}/"))
        topics = [messages.Topic.pb()(name=name) for name in found]
        return messages.ListTopicsResponse.pb()(topics=topics)

    async def delete_topic(self, request: Any) -> Any:
        self.broker.delete_topic(request.topic)
        return empty_pb2.Empty()

    async def publish(self, request: Any) -> Any:
        ids = [
            self.broker.publish(request.topic, one.data, dict(one.attributes), time.time())
            for one in request.messages
        ]
        return messages.PublishResponse.pb()(message_ids=ids)

    async def create_subscription(self, request: Any) -> Any:
        for refused in ("filter", "enable_exactly_once_delivery", "enable_message_ordering"):
            if getattr(request, refused):
                raise RefusedError("UNIMPLEMENTED", f"{refused} is not part of this stand-in")
        if request.push_config.push_endpoint:
            raise RefusedError("UNIMPLEMENTED", "push is not part of this stand-in")
        self.broker.create_subscription(request.name, request.topic, _rules(request))
        return await self.get_subscription(request)

    async def get_subscription(self, request: Any) -> Any:
        one = self.broker.subscription(getattr(request, "subscription", "") or request.name)
        found = messages.Subscription.pb()(
            name=one.name, topic=one.topic, ack_deadline_seconds=int(one.rules.deadline)
        )
        if one.rules.dead_letter_topic:
            found.dead_letter_policy.dead_letter_topic = one.rules.dead_letter_topic
            found.dead_letter_policy.max_delivery_attempts = one.rules.max_attempts
        return found

    async def list_subscriptions(self, request: Any) -> Any:
        found = [
            messages.Subscription.pb()(name=one.name, topic=one.topic)
            for one in self.broker.subscriptions.values()
            if one.name.startswith(f"{request.project}/")
        ]
        return messages.ListSubscriptionsResponse.pb()(subscriptions=found)

    async def delete_subscription(self, request: Any) -> Any:
        self.broker.delete_subscription(request.subscription)
        for stream in self.streams.pop(request.subscription, []):
            stream.outbox.put_nowait(RefusedError("NOT_FOUND", "Subscription was deleted"))
        return empty_pb2.Empty()

    async def acknowledge(self, request: Any) -> Any:
        one = self.broker.subscription(request.subscription)
        one.acknowledge(request.ack_ids)
        self._serve(one)
        return empty_pb2.Empty()

    async def modify_ack_deadline(self, request: Any) -> Any:
        self.broker.modify(
            request.subscription, request.ack_ids, request.ack_deadline_seconds, time.time()
        )
        return empty_pb2.Empty()

    async def pull(self, request: Any) -> Any:
        one = self.broker.subscription(request.subscription)
        until = time.time() + (0 if request.return_immediately else _PULL)
        found: list[Delivery] = []
        while not found:
            while len(found) < request.max_messages and (delivery := one.take(time.time())):
                found.append(delivery)
            if time.time() >= until:
                break
            await asyncio.sleep(_TICK)
        received = [_received(delivery, one.rules) for delivery in found]
        return messages.PullResponse.pb()(received_messages=received)

    async def streaming_pull(
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        """Deliver messages as they come, until the client leaves; what it holds stays leased."""
        first = await anext(aiter(requests))
        one = self.broker.subscription(first.subscription)
        if not 10 <= first.stream_ack_deadline_seconds <= 600:
            raise RefusedError(
                "INVALID_ARGUMENT", "Invalid stream ack deadline: must be from 10 to 600"
            )
        stream = Stream(
            float(first.stream_ack_deadline_seconds or DEADLINE),
            first.max_outstanding_messages,
            first.max_outstanding_bytes,
        )
        self.streams.setdefault(one.name, []).append(stream)
        listening = asyncio.create_task(self._listen(one, stream, requests))
        try:
            self._serve(one)
            while True:
                delivery = await stream.outbox.get()
                if isinstance(delivery, RefusedError):
                    raise delivery
                received = _received(delivery, one.rules)
                yield messages.StreamingPullResponse.pb()(received_messages=[received])
        finally:
            listening.cancel()
            if stream in self.streams.get(one.name, []):
                self.streams[one.name].remove(stream)

    async def _listen(
        self, one: Subscription, stream: Stream, requests: AsyncIterator[Any]
    ) -> None:
        """Carry out what comes on a stream: acknowledgements and deadlines."""
        async for request in requests:
            one.acknowledge(request.ack_ids)
            pairs = zip(
                request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=False
            )
            for ack_id, seconds in pairs:
                self.broker.modify(one.name, [ack_id], seconds, time.time())
            stream.deadline = float(request.stream_ack_deadline_seconds or stream.deadline)
            self._serve(one)


def _rules(request: Any) -> Rules:
    """Return what a request for a subscription asks for."""
    policy, retry = request.dead_letter_policy, request.retry_policy
    backoff = (
        retry.minimum_backoff.ToTimedelta().total_seconds(),
        retry.maximum_backoff.ToTimedelta().total_seconds(),
    )
    return Rules(
        float(request.ack_deadline_seconds or DEADLINE),
        policy.dead_letter_topic,
        policy.max_delivery_attempts or 5,
        # Defaults of google.pubsub.v1.RetryPolicy.
        (backoff[0] or 10.0, backoff[1] or 600.0) if request.HasField("retry_policy") else (0, 0),
    )


def _received(delivery: Delivery, rules: Rules) -> Any:
    message = messages.PubsubMessage.pb()(
        data=delivery.message.data,
        attributes=dict(delivery.message.attributes),
        message_id=delivery.message.id,
    )
    message.publish_time.FromNanoseconds(int(delivery.message.published * 1e9))
    # 0 is what a client reads as None.
    attempt = delivery.attempts if rules.dead_letter_topic else 0
    return messages.ReceivedMessage.pb()(
        ack_id=delivery.ack_id, message=message, delivery_attempt=attempt
    )


async def _refuse(context: Any, refused: RefusedError) -> None:
    await context.abort(grpc.StatusCode[refused.code], str(refused))


def _unary(call: Callable[[Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
    async def handler(request: Any, context: Any) -> Any:
        try:
            return await call(request)
        except RefusedError as refused:
            await _refuse(context, refused)

    return handler


def _streaming(call: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[..., Any]:
    async def handler(requests: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for response in call(requests, context):
                yield response
        except RefusedError as refused:
            await _refuse(context, refused)

    return handler


def handlers(service: Service) -> list[grpc.GenericRpcHandler]:
    """Return the two services of google.pubsub.v1; other methods are UNIMPLEMENTED."""
    unary = {
        "Publisher": {
            "CreateTopic": (service.create_topic, messages.Topic),
            "GetTopic": (service.get_topic, messages.GetTopicRequest),
            "ListTopics": (service.list_topics, messages.ListTopicsRequest),
            "DeleteTopic": (service.delete_topic, messages.DeleteTopicRequest),
            "Publish": (service.publish, messages.PublishRequest),
        },
        "Subscriber": {
            "CreateSubscription": (service.create_subscription, messages.Subscription),
            "GetSubscription": (service.get_subscription, messages.GetSubscriptionRequest),
            "ListSubscriptions": (service.list_subscriptions, messages.ListSubscriptionsRequest),
            "DeleteSubscription": (service.delete_subscription, messages.DeleteSubscriptionRequest),
            "Acknowledge": (service.acknowledge, messages.AcknowledgeRequest),
            "ModifyAckDeadline": (service.modify_ack_deadline, messages.ModifyAckDeadlineRequest),
            "Pull": (service.pull, messages.PullRequest),
        },
    }
    found = []
    for name, methods in unary.items():
        table = {
            method: grpc.unary_unary_rpc_method_handler(
                _unary(call), kind.pb().FromString, lambda answer: answer.SerializeToString()
            )
            for method, (call, kind) in methods.items()
        }
        if name == "Subscriber":
            table["StreamingPull"] = grpc.stream_stream_rpc_method_handler(
                _streaming(service.streaming_pull),
                messages.StreamingPullRequest.pb().FromString,
                lambda answer: answer.SerializeToString(),
            )
        found.append(grpc.method_handlers_generic_handler(f"google.pubsub.v1.{name}", table))
    return found


async def run(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError if the port is in use."""
    service = Service()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers(service))
    inner = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        front = await listen(host, port, inner)
    except OSError:
        await server.stop(0)
        raise
    ticking = asyncio.create_task(service.tick())
    print(f"[pubsub] INFO: Server started, listening on {port}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    ticking.cancel()
    front.close()
    await server.stop(0)


def main() -> int:
    """Start the emulator with the arguments of this program."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host-port", default="localhost:8085")
    host, _, port = parser.parse_args().host_port.rpartition(":")
    try:
        asyncio.run(run(host, int(port)))
    except OSError as error:
        print(f"[pubsub] Exception in thread main: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
