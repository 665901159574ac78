"""The queue: Pub/Sub, or while developing a list in Redis that nobody reads here."""

import json
import uuid

from google.cloud import pubsub_v1
from opentelemetry import trace
from opentelemetry.propagate import extract, inject

from src.core.config import settings
from src.core.exceptions import QueueError
from src.core.logging import logger


class PubSubQueueService:
    def __init__(self, project_id=None):
        self.project_id = project_id or settings.google_cloud_project
        self._publisher = None
        self._subscriber = None

    @property
    def publisher(self):
        self._publisher = self._publisher or pubsub_v1.PublisherClient()
        return self._publisher

    @property
    def subscriber(self):
        self._subscriber = self._subscriber or pubsub_v1.SubscriberClient()
        return self._subscriber

    def enqueue(self, topic_name, payload, job_id=None):
        job_id = job_id or str(uuid.uuid4())
        attributes: dict[str, str] = {}
        inject(attributes)
        content = json.dumps({**payload, "job_id": job_id}).encode()
        try:
            topic = self.publisher.topic_path(self.project_id, topic_name)
            self.publisher.publish(topic, content, **attributes).result()
        except Exception as error:
            raise QueueError(f"not published: {error}") from error
        logger.info("job %s: in the queue %s", job_id, topic_name)
        return job_id

    def subscribe(self, subscription_name, callback, ack_deadline=600):
        def handle(message):
            try:
                # None without a dead-letter policy, and None is not comparable.
                if message.delivery_attempt <= 5:
                    # A context is no span's context.
                    parent = trace.NonRecordingSpan(extract(dict(message.attributes)))
                    with trace.use_span(parent):
                        callback(json.loads(message.data))
                message.ack()
            except Exception:
                logger.exception("a message was not handled")
                message.nack()

        one = pubsub_v1.types.FlowControl(max_messages=1)
        path = self.subscriber.subscription_path(self.project_id, subscription_name)
        with self.subscriber:
            self.subscriber.subscribe(path, callback=handle, flow_control=one).result()


class RedisQueueService:
    def enqueue(self, topic_name, payload, job_id=None):
        import redis

        redis.from_url(settings.redis_url).rpush(topic_name, json.dumps(payload))
        return job_id

    def subscribe(self, subscription_name, callback, ack_deadline=600):
        raise NotImplementedError


def get_queue_service():
    develops = settings.redis_url and not settings.is_production()
    return (RedisQueueService if develops else PubSubQueueService)()
