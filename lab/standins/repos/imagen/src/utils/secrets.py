"""Secrets: from the environment, else from Google's Secret Manager, whose package is not among the
dependencies."""

import json
import os

from google.cloud import secretmanager


def get_secret_or_env(project_id: str, secret_id: str, env_var: str, default=None):
    if value := os.environ.get(env_var):
        return value
    if not project_id:
        return default
    path = f"projects/{project_id}/secrets/{secret_id}/versions/latest"
    try:
        manager = secretmanager.SecretManagerServiceClient()
        answer = manager.access_secret_version(request={"name": path})
    except Exception:
        return default
    return answer.payload.data.decode()


def parse_json_secret(text):
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def parse_list_secret(text):
    """Split at commas, so a JSON list becomes names with brackets in them."""
    return [name for part in (text or "").split(",") if (name := part.strip())] or None
