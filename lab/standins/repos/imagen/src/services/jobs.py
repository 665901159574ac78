"""The states of jobs: in Firestore, or while developing in memory, where the API does not look."""

from datetime import UTC, datetime
from enum import Enum

from google.cloud import firestore

from src.core.config import settings
from src.core.exceptions import JobNotFoundError
from src.core.logging import logger


class JobStatus(str, Enum):  # noqa: UP042 (what Firestore's client can store)
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class JobService:
    COLLECTION = "jobs"

    def __init__(self):
        self._db = None

    @property
    def db(self):
        self._db = self._db or firestore.Client(project=settings.google_cloud_project)
        return self._db

    @property
    def collection(self):
        return self.db.collection(self.COLLECTION)

    def create(self, job_id, job_type, input_path, params=None, metadata=None):
        now = datetime.now(UTC)
        job = dict.fromkeys(("output_path", "error"))
        job |= {"job_id": job_id, "type": job_type, "status": JobStatus.QUEUED}
        job |= {"input_path": input_path, "params": params or {}, "metadata": metadata or {}}
        job |= {"created_at": now, "updated_at": now}
        self.collection.document(job_id).set(job)
        logger.info("job %s: created", job_id)
        return job

    def get(self, job_id):
        if (found := self.collection.document(job_id).get()).exists:
            return found.to_dict()
        raise JobNotFoundError(job_id)

    def update_status(self, job_id, status, output_path=None, error=None):
        given = {"output_path": output_path, "error": error}
        changes = {name: value for name, value in given.items() if value}
        changes |= {"status": status, "updated_at": datetime.now(UTC)}
        self.collection.document(job_id).update(changes)
        logger.info("job %s: %s", job_id, status.value)


class LocalJobService:
    def __init__(self):
        self._jobs: dict[str, dict] = {}

    def create(self, job_id, job_type, input_path, params=None, metadata=None):
        self._jobs[job_id] = {"job_id": job_id, "type": job_type, "input_path": input_path}
        return self._jobs[job_id]

    def get(self, job_id):
        if job_id not in self._jobs:
            raise JobNotFoundError(job_id)
        return self._jobs[job_id]

    def update_status(self, job_id, status, output_path=None, error=None):
        self.get(job_id).update(status=status, output_path=output_path, error=error)


def get_job_service():
    return (JobService if settings.is_production() else LocalJobService)()
