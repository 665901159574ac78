from datetime import datetime

from pydantic import BaseModel

from src.services.jobs import JobStatus


class JobResponse(BaseModel):
    job_id: str
    status: JobStatus
    message: str = "queued"


class JobDetail(BaseModel):
    job_id: str
    type: str
    status: JobStatus
    input_path: str | None = None
    output_path: str | None = None
    output_url: str | None = None
    params: dict = {}
    error: str | None = None
    created_at: datetime
    updated_at: datetime
