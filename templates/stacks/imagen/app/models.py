"""The five models: what upstream calls them in each place, and the environment it is given.

Pure: reads and changes nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """One model.

    + name: its name in Triton and in MODEL_NAME
    + variable: the end of its variables, as in PUBSUB_SUBSCRIPTION_COMIC
    + route: the end of the API's path for it
    """

    name: str
    variable: str
    route: str

    @property
    def job_type(self) -> str:
        """Return the ``type`` of its jobs."""
        return self.name.replace("_", "-")

    def topic(self, environment: Mapping[str, str]) -> str:
        """Return the name of the topic to which its jobs are published."""
        return environment.get(f"PUBSUB_TOPIC_{self.variable}") or f"{self.job_type}-jobs"

    def subscription(self, environment: Mapping[str, str]) -> str:
        """Return the name of the subscription from which its workers take jobs."""
        variable = f"PUBSUB_SUBSCRIPTION_{self.variable}"
        return environment.get(variable) or f"{self.job_type}-jobs-sub"


MODELS = {
    model.name: model
    for model in (
        Model("upscale", "UPSCALE", "upscale"),
        Model("enhance", "ENHANCE", "enhance"),
        Model("style_comic", "COMIC", "style/comic"),
        Model("style_aged", "AGED", "style/aged"),
        Model("background_remove", "BACKGROUND_REMOVE", "background/remove"),
    )
}
"""MODEL_NAME -> the model."""

OF_TYPE = {model.job_type: model for model in MODELS.values()}
"""``type`` of a job -> the model."""

DEAD_LETTERS = "imagen-dead-letters"
"""Topic of messages that were delivered too often; its subscription ends with "-sub"."""

DELIVERIES = 5
"""How often a job is tried before it counts as failed."""

LEASE = 30
"""Seconds after which a message is delivered again if its worker no longer reports: the
subscription's acknowledgement deadline. Clients extend it as long as they live."""

RETENTION = 24 * 3600
"""Seconds that a job may wait. Upstream's own subscriptions keep messages as long."""

_ORIGINS = "http://127.0.0.1:8010,http://localhost:8010"


def environment(given: Mapping[str, str], key: str, service: str) -> dict[str, str]:
    """Return the variables for upstream's modules; those that are not returned stay.

    + given: the variables as Compose or a person set them
    + key: the API key; empty: there is none, so every request is anonymous
    + service: this program's name in traces

    DEBUG is not passed on: with it upstream keeps pictures and jobs in local folders and Redis,
    except where it still asks Firestore, so nothing goes through.
    """
    values = {
        "GOOGLE_CLOUD_PROJECT": given.get("GOOGLE_CLOUD_PROJECT") or "local-dev",
        "GCS_BUCKET": given.get("GCS_BUCKET") or "local-bucket",
        "DEBUG": "false",
        "NO_GCE_CHECK": "true",
        "CORS_ORIGINS": _origins(given.get("CORS_ORIGINS", "")),
        "OTEL_SERVICE_NAME": given.get("OTEL_SERVICE_NAME") or service,
        # Milliseconds; 5,000 by default. A trace is complete soon after its job.
        "OTEL_BSP_SCHEDULE_DELAY": given.get("OTEL_BSP_SCHEDULE_DELAY") or "500",
    }
    if key or "API_KEYS" not in given:
        values["API_KEYS"] = json.dumps(_keys(key))
    if key or "JWT_SECRET" not in given:
        values["JWT_SECRET"] = (
            hmac.new(key.encode(), b"imagen: JWT_SECRET", hashlib.sha256).hexdigest()
            if key
            else secrets.token_hex(32)
        )
    return values


def _origins(given: str) -> str:
    """Return the origins as upstream reads them, separated by commas, from that or from JSON."""
    text = given.strip()
    if text.startswith("["):
        text = ",".join(json.loads(text))
    return text or _ORIGINS


def _keys(key: str) -> list[dict[str, str]]:
    """Return the API keys for upstream. A header's value has no blanks around it, and its bytes are
    read as Latin-1 (starlette, datastructures.Headers), so a key with umlauts has two forms."""
    stripped = key.strip()
    forms = dict.fromkeys((stripped, stripped.encode().decode("latin-1")))
    return [{"key": form, "name": "imagen", "tier": "enterprise"} for form in forms if form]
