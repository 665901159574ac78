"""Reads jobs from Firestore, also while developing, when they are elsewhere."""

from fastapi import APIRouter, HTTPException

from src.api.schemas import JobDetail
from src.core.exceptions import JobNotFoundError
from src.services import GCSStorageService, JobService

router = APIRouter()
job_service, storage = JobService(), GCSStorageService()


@router.get("/{job_id}", response_model=JobDetail)
async def get_job(job_id: str):
    try:
        job = job_service.get(job_id)
    except JobNotFoundError:
        raise HTTPException(404, f"no job {job_id}") from None
    url = None
    if job["status"] == "completed":
        url = storage.get_signed_url(job["output_path"])
    return JobDetail(output_url=url, **{k: v for k, v in job.items() if k != "metadata"})
