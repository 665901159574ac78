"""Stand-in for a worker: one task, which asks the language model server for an answer."""

from __future__ import annotations

import json
import os
import urllib.request

from celery import Celery

celery = Celery(
    "worker", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"], include=[]
)


@celery.task(name="complete")
def complete(prompt: str) -> str:
    """Return the server's completion of the prompt."""
    request = urllib.request.Request(
        f"{os.environ['LLM_SERVER_URL']}/v1/completions",
        json.dumps({"model": "any", "prompt": prompt, "max_tokens": 4}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=float(os.environ["LLM_TIMEOUT"])) as answer:
        return json.dumps(json.load(answer)["choices"])
