"""Limits of requests. Reads a setting that does not exist: REDIS_URL. Keys become parts of names in
Redis, and without Redis each request fails."""

import time
from collections import defaultdict

from fastapi import Response
from starlette.middleware.base import BaseHTTPMiddleware

from src.core.config import settings
from src.core.logging import logger  # noqa: F401 (others take it from here)

RATE_LIMITS = {
    tier: {"requests_per_minute": most}
    for tier, most in (("anonymous", 5), ("free", 10), ("pro", 60), ("enterprise", 300))
}


class InMemoryRateLimiter:
    def __init__(self):
        self._times = defaultdict(list)

    async def is_allowed(self, key, limit, window_seconds):
        now = time.time()
        recent = [one for one in self._times[key] if one > now - window_seconds]
        self._times[key] = [*recent, now][:limit]
        return len(recent) < limit, max(0, limit - len(recent) - 1), window_seconds


class RedisRateLimiter:
    def __init__(self, redis_url):
        from redis import asyncio

        self._redis = asyncio.from_url(redis_url)

    async def is_allowed(self, key, limit, window_seconds):
        name = f"ratelimit:{key}:{time.time() // window_seconds:.0f}"
        count = await self._redis.incr(name)
        await self._redis.expire(name, window_seconds)
        return count <= limit, max(0, limit - count), window_seconds


rate_limiter = RedisRateLimiter(settings.REDIS_URL) if settings.REDIS_URL else InMemoryRateLimiter()


class RateLimitMiddleware(BaseHTTPMiddleware):
    def __init__(self, app, limiter=None):
        super().__init__(app)
        self.limiter = limiter or rate_limiter

    async def dispatch(self, request, call_next):
        from src.api.middleware.auth import api_key_manager

        if request.url.path == "/health":
            return await call_next(request)
        given = request.headers.get("X-API-Key", "")
        known = api_key_manager.validate(given) or {"tier": "anonymous"}
        limit = RATE_LIMITS[known.get("tier", "free")]["requests_per_minute"]
        who = given or request.headers.get("X-Forwarded-For") or request.client.host
        allowed, left, reset = await self.limiter.is_allowed(f"{who}:minute", limit, 60)
        if allowed:
            response = await call_next(request)
        else:
            response = Response('{"detail": "too many requests"}', 429)
            response.headers.update({"Retry-After": str(reset), "Content-Type": "application/json"})
        response.headers["X-RateLimit-Limit"] = str(limit)
        response.headers["X-RateLimit-Remaining"] = str(left)
        return response


def rate_limit(requests, window=60):
    """Limit one path. Nothing uses it."""
    return lambda function: function
