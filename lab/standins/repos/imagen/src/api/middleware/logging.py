import json
import logging
import sys
import uuid
from contextvars import ContextVar

from opentelemetry import trace
from starlette.middleware.base import BaseHTTPMiddleware

from src.core.config import settings

request_id_var: ContextVar[str] = ContextVar("request_id", default="")


class StructuredFormatter(logging.Formatter):
    """One JSON object a line. Reads a setting that does not exist: GOOGLE_CLOUD_PROJECT."""

    def format(self, record):
        found = {"severity": record.levelname, "message": record.getMessage()}
        span = trace.get_current_span()
        if span.is_recording():
            trace_id = f"{span.get_span_context().trace_id:032x}"
            found["trace"] = f"projects/{settings.GOOGLE_CLOUD_PROJECT}/traces/{trace_id}"
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found | getattr(record, "extra", {}))


def setup_logging():
    handler = logging.StreamHandler(sys.stdout)
    if settings.is_production():
        handler.setFormatter(StructuredFormatter())
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger().handlers = [handler]
    return logging.getLogger()


setup_logging()


class ContextLogger:
    def _log(self, level, message, fields):
        fields["request_id"] = request_id_var.get()
        logging.getLogger("imagen").log(level, message, extra={"extra": fields})

    def info(self, message, **fields):
        self._log(logging.INFO, message, fields)

    def error(self, message, **fields):
        self._log(logging.ERROR, message, fields)


ctx_logger = ContextLogger()


class RequestLoggingMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        request_id_var.set(request.headers.get("X-Request-ID") or str(uuid.uuid4()))
        response = await call_next(request)
        if request.url.path != "/health":
            status, path = response.status_code, request.url.path
            ctx_logger.info("answered", method=request.method, path=path, status_code=status)
        return response
