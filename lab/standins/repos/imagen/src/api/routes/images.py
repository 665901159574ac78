# ruff: noqa: B008 (FastAPI's own way to say what a path needs)
"""Takes pictures without looking at them: nothing uses FileValidator, and each gets new clients."""

import io
import uuid

from fastapi import APIRouter, Depends, File, UploadFile
from PIL import Image
from pydantic import BaseModel

from src.api.middleware import ctx_logger, get_api_key, metrics
from src.api.schemas import EnhanceParams, JobResponse, NoParams, StyleParams, UpscaleParams
from src.services import get_job_service
from src.services.queue import get_queue_service
from src.services.storage import get_storage_service

router = APIRouter()


async def _process_upload(file, job_type, params, auth):
    storage, queue, jobs = get_storage_service(), get_queue_service(), get_job_service()
    job_id = str(uuid.uuid4())
    content = await file.read()
    picture = Image.open(io.BytesIO(content))
    metrics.uploaded(job_type, len(content))
    ctx_logger.info("an upload", job_id=job_id, job_type=job_type)
    path = f"inputs/{job_id}/{file.filename}"
    storage.upload_image(picture, path)
    who = {"api_key_name": auth.get("name"), "tier": auth.get("tier")}
    jobs.create(job_id=job_id, job_type=job_type, input_path=path, params=params, metadata=who)
    content = {"input_path": path, "params": params}
    queue.enqueue(topic_name=f"{job_type}-jobs", payload=content, job_id=job_id)
    return JobResponse(job_id=job_id, status="queued")


def _add(path: str, job_type: str, kind: type[BaseModel]) -> None:
    @router.post(path, response_model=JobResponse)
    async def upload(
        file: UploadFile = File(...),
        params: kind = Depends(),  # type: ignore[valid-type]
        auth: dict = Depends(get_api_key),
    ):
        return await _process_upload(file, job_type, params.model_dump(), auth)


_add("/upscale", "upscale", UpscaleParams)
_add("/enhance", "enhance", EnhanceParams)
_add("/style/comic", "style-comic", StyleParams)
_add("/style/aged", "style-aged", StyleParams)
_add("/background/remove", "background-remove", NoParams)
