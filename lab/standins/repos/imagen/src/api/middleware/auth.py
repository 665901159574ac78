"""API keys. Reads settings that do not exist: is_development, API_KEYS, JWT_SECRET."""

from fastapi import HTTPException, Security
from fastapi.security import APIKeyHeader

from src.core.config import settings

api_key_header = APIKeyHeader(name="X-API-Key", auto_error=False)


class APIKeyManager:
    def __init__(self):
        self._keys = {one["key"]: one for one in settings.API_KEYS or ()}
        if settings.is_development():
            self._keys["development"] = {"name": "development", "tier": "free"}

    def validate(self, api_key):
        return self._keys.get(api_key)


class JWTManager:
    def __init__(self):
        self.secret = settings.JWT_SECRET or "insecure"


api_key_manager, jwt_manager = APIKeyManager(), JWTManager()


async def get_api_key(api_key: str = Security(api_key_header)):
    if found := api_key_manager.validate(api_key):
        return {**found, "api_key": api_key}
    raise HTTPException(401, "An API key is needed (X-API-Key).")
