"""InvokeAI: which files of the model store it has registered or rejected."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.daemon import refuse_wedged
from workstation.facts.shell import Fact, question

_PATIENCE = 840
"""Seconds that InvokeAI may take: it scans the whole store and may be busy loading a model."""


@dataclass(frozen=True)
class ModelsState:
    """``there``: whether the service has a running container. ``new``: paths in the container that
    are neither registered nor rejected. ``registered``, ``refused``: how many are. ``login``:
    whether InvokeAI requires a login. ``error``: why nothing is known."""

    there: bool = False
    new: tuple[str, ...] = ()
    registered: int = 0
    refused: int = 0
    login: bool = False
    error: str = ""


class Models(Fact[ModelsState]):
    """
    Returns the ``ModelsState`` of a service that is InvokeAI, in one round trip.

    + project, service: the service
    + path: where its container sees the model store
    """

    def command(self, project: str, service: str, path: str) -> StringCommand:
        return question(
            scripts.text("invokeai/models.sh"),
            project,
            service,
            path,
            scripts.text("invokeai/models.py"),
            _PATIENCE,
            limit=_PATIENCE + 90,
        )

    def read(self, lines: list[str]) -> ModelsState:
        refuse_wedged(lines)
        try:
            found = json.loads(lines[-1])
            return ModelsState(there=True, **{**found, "new": tuple(found.get("new", ()))})
        except (TypeError, ValueError, AttributeError):
            return ModelsState(there=True, error=lines[-1].strip())
