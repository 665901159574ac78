"""Settings, without the names in upper case that the middleware reads."""

from pydantic_settings import BaseSettings

from src.utils import secrets


class Settings(BaseSettings):
    # No "extra": a name in .env that is not here is an error.
    model_config = {"env_file": ".env"}

    debug: bool = False
    google_cloud_project: str = ""
    gcs_bucket: str = ""
    redis_url: str | None = None
    # Without effect: the workers' classes have names of their own.
    pubsub_subscription_upscale: str = "upscale-jobs-sub"
    otel_enabled: bool = True
    otel_service_name: str = "imagen"
    otel_exporter_otlp_endpoint: str | None = None

    def _secret(self, variable: str):
        name = variable.lower().replace("_", "-")
        return secrets.get_secret_or_env(self.google_cloud_project, name, variable)

    @property
    def jwt_secret(self):
        return self._secret("JWT_SECRET")

    @property
    def api_keys(self):
        return secrets.parse_json_secret(self._secret("API_KEYS"))

    @property
    def cors_origins(self):
        return secrets.parse_list_secret(self._secret("CORS_ORIGINS"))

    def validate_gcp_config(self) -> None:
        for name in ("google_cloud_project", "gcs_bucket"):
            if not getattr(self, name):
                raise ValueError(f"{name} is not set")

    def is_production(self) -> bool:
        return bool(self.google_cloud_project) and not self.debug


settings = Settings()
