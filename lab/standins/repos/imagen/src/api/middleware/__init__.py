from src.api.middleware.auth import api_key_manager, get_api_key
from src.api.middleware.errors import register_exception_handlers
from src.api.middleware.logging import RequestLoggingMiddleware, ctx_logger, setup_logging
from src.api.middleware.metrics import MetricsMiddleware, metrics, metrics_endpoint

# The function hides the module of the same name.
from src.api.middleware.rate_limit import RATE_LIMITS, RateLimitMiddleware, rate_limit
from src.api.middleware.validation import FILE_SIZE_LIMITS, FileValidator, SizeLimitMiddleware

__all__ = [
    "FILE_SIZE_LIMITS",
    "RATE_LIMITS",
    "FileValidator",
    "MetricsMiddleware",
    "RateLimitMiddleware",
    "RequestLoggingMiddleware",
    "SizeLimitMiddleware",
    "api_key_manager",
    "ctx_logger",
    "get_api_key",
    "metrics",
    "metrics_endpoint",
    "rate_limit",
    "register_exception_handlers",
    "setup_logging",
]
