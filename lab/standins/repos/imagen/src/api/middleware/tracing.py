from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from starlette.middleware.base import BaseHTTPMiddleware

from src.api.middleware.logging import request_id_var


class TracingMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        trace.get_current_span().set_attribute("request.id", request_id_var.get())
        return await call_next(request)


def setup_fastapi_instrumentation(app):
    FastAPIInstrumentor.instrument_app(app, excluded_urls="/health,/metrics")
