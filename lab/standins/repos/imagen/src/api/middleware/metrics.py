"""Prometheus' metrics. Reads the paths of all routes, which some of today's FastAPI do not have."""

import time

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Match

REQUESTS = Counter("imagen_http_requests_total", "By path", ["method", "endpoint", "status_code"])
LATENCY = Histogram("imagen_http_request_duration_seconds", "By path", ["method", "endpoint"])
JOBS_CREATED = Counter("imagen_jobs_created_total", "By kind", ["job_type"])
UPLOADED = Histogram("imagen_upload_file_size_bytes", "By kind", ["job_type"])


class MetricsMiddleware(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        fits = (one for one in request.app.routes if one.matches(request.scope)[0] == Match.FULL)
        endpoint = next((one.path for one in fits), request.url.path)
        began, status = time.time(), 500
        try:
            response = await call_next(request)
            status = response.status_code
        finally:
            REQUESTS.labels(request.method, endpoint, status).inc()
            LATENCY.labels(request.method, endpoint).observe(time.time() - began)
        return response


async def metrics_endpoint():
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class _Metrics:
    def uploaded(self, job_type, size):
        JOBS_CREATED.labels(job_type).inc()
        UPLOADED.labels(job_type).observe(size)


metrics = _Metrics()
