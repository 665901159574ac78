"""Limits of uploads. Nothing calls FileValidator."""

import io

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.middleware.base import BaseHTTPMiddleware

from src.core.logging import logger  # noqa: F401 (others take it from here)

_MB = 1 << 20
FILE_SIZE_LIMITS = {"free": 5, "pro": 25, "enterprise": 100, "anonymous": 2}
FILE_SIZE_LIMITS = {tier: most * _MB for tier, most in FILE_SIZE_LIMITS.items()}
DEFAULT_MAX_FILE_SIZE = 10 * _MB
ALLOWED_CONTENT_TYPES = {f"image/{kind}" for kind in ("jpeg", "png", "webp", "gif")}
MAX_IMAGE_DIMENSION, MIN_IMAGE_DIMENSION = 8192, 32


class SizeLimitMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        from src.api.middleware.auth import api_key_manager

        known = api_key_manager.validate(request.headers.get("X-API-Key", ""))
        tier = known.get("tier", "free") if known else "anonymous"
        most = FILE_SIZE_LIMITS.get(tier, DEFAULT_MAX_FILE_SIZE)
        if "multipart/form-data" not in request.headers.get("Content-Type", ""):
            most = _MB
        if request.method == "POST" and int(request.headers.get("Content-Length") or 0) > most:
            return JSONResponse({"detail": f"more than {most // _MB} MB"}, 413)
        return await call_next(request)


class FileValidator:
    @staticmethod
    async def validate_image(file):
        if file.content_type not in ALLOWED_CONTENT_TYPES:
            raise HTTPException(400, "no picture")
        return Image.open(io.BytesIO(await file.read()))
