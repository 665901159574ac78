from src.api.schemas.images import EnhanceParams, StyleParams, UpscaleParams
from src.api.schemas.jobs import JobDetail, JobResponse

__all__ = ["EnhanceParams", "JobDetail", "JobResponse", "StyleParams", "UpscaleParams"]
