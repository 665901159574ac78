from src.services.jobs import JobService, JobStatus, get_job_service
from src.services.queue import PubSubQueueService, get_queue_service
from src.services.storage import GCSStorageService, get_storage_service

__all__ = [
    "GCSStorageService",
    "JobService",
    "JobStatus",
    "PubSubQueueService",
    "get_job_service",
    "get_queue_service",
    "get_storage_service",
]
