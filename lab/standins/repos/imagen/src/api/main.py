"""The API."""

from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from src.api import middleware
from src.api.routes import health, images, jobs
from src.core import telemetry
from src.core.config import settings


@asynccontextmanager
async def lifespan(_: FastAPI):
    middleware.setup_logging()
    if settings.otel_enabled:
        telemetry.setup_telemetry(
            settings.otel_service_name, endpoint=settings.otel_exporter_otlp_endpoint
        )
        telemetry.setup_auto_instrumentation()
    if settings.is_production():
        settings.validate_gcp_config()
        if not settings.cors_origins:
            raise ValueError("CORS_ORIGINS is not set")
    yield
    telemetry.shutdown_telemetry()


app = FastAPI(
    title="Imagen API",
    docs_url=None if settings.is_production() else "/docs",
    lifespan=lifespan,
)
app.add_middleware(middleware.RequestLoggingMiddleware)
if settings.otel_enabled:
    from src.api.middleware import tracing

    tracing.setup_fastapi_instrumentation(app)
    app.add_middleware(tracing.TracingMiddleware)
for kind in ("MetricsMiddleware", "RateLimitMiddleware", "SizeLimitMiddleware"):
    app.add_middleware(getattr(middleware, kind))
app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins or ["*"])
middleware.register_exception_handlers(app)
app.include_router(health.router)
app.include_router(jobs.router, prefix="/api/v1/jobs")
app.include_router(images.router, prefix="/api/v1/images")
app.add_api_route("/metrics", middleware.metrics_endpoint)
