from src.api.schemas.images import EnhanceParams, NoParams, StyleParams, UpscaleParams
from src.api.schemas.jobs import JobDetail, JobResponse

__all__ = ["EnhanceParams", "JobDetail", "JobResponse", "NoParams", "StyleParams", "UpscaleParams"]
