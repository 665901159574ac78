"""The numbers in a model's ``config.pbtxt``, as Triton hands them to the model."""

from __future__ import annotations

import json
import re
from typing import Any

from imagen_models import RefusalError


class Configuration:
    """What a model is told about itself.

    ``name``: of the model. ``instances``: how many of it are in memory.
    """

    def __init__(self, text: str) -> None:
        """Read ``args["model_config"]``, a JSON object whose ``parameters`` are an object too
        (Triton: python_backend, README.md, "initialize")."""
        config: dict[str, Any] = json.loads(text)
        self.name = str(config["name"])
        groups = config.get("instance_group") or [{}]
        self.instances = int(groups[0].get("count", 1))
        self._parameters: dict[str, dict[str, str]] = config.get("parameters") or {}

    def number(self, key: str) -> int:
        """Return a parameter that is a whole number above 0.

        Raises RefusalError if it is missing or anything else.
        """
        text = self._parameters.get(key, {}).get("string_value", "")
        if not re.fullmatch(r"[1-9][0-9]{0,9}", text):
            raise RefusalError(
                f"The parameter {key} in {self.name}/config.pbtxt is {text or 'missing'!r}: write "
                "a whole number above 0."
            )
        return int(text)
