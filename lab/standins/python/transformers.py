"""Stand-in for transformers: a text classifier that finds a prompt unsafe by one word."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

UNSAFE = "unsafe-for-the-lab"
"""A prompt with this word is refused."""


def pipeline(task: str, model: str, **_: Any) -> Callable[[str], list[dict[str, Any]]]:
    """Return a classifier; ``model`` is a folder with a config.json, because the lab has no
    Hugging Face."""
    if task != "text-classification":
        raise KeyError(f"Unknown task {task}")
    if not os.path.isfile(f"{model}/config.json"):
        raise OSError(f"{model} does not appear to have a file named config.json.")

    def classify(text: str) -> list[dict[str, Any]]:
        return [{"label": "NSFW" if UNSAFE in text else "SAFE", "score": 0.99}]

    return classify
