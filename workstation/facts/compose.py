"""A Compose project on the host: containers, images, and the hashes of its Compose file."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.compose.actions import Container, ProjectState
from workstation.compose.builds import INPUTS
from workstation.docker.references import familiar
from workstation.facts.daemon import refuse_wedged
from workstation.facts.shell import Fact, question

APPLIED = "/var/lib/ai-workstation/applied"
"""Folder of the Compose files last brought up, by project."""

BUILDING = "/var/lib/ai-workstation/building"
PULLING = "/var/lib/ai-workstation/pulling"
"""Marks of images in progress, whose files a power cut would damage:
``files/docker/at_work.sh``."""

_LABEL = "com.docker.compose."

# Templates of `docker inspect` and `docker image inspect`.
_INSPECT = (
    "container {{json .Id}} {{json .State}} {{json .Config.Labels}} {{json .Image}} "
    "{{json .Created}}"
)
_IMAGE = (
    "{{range .RepoTags}}{{$.Id}} {{.}}{{println}}{{end}}"
    "{{range .RepoDigests}}{{$.Id}} {{.}}{{println}}{{end}}"
)


class Project(Fact[ProjectState]):
    """
    Returns the ``ProjectState`` of a project in one round trip.

    + name: of the project
    + folder: its folder, the base of relative paths in the file
    + images: references to look up

    The Compose file must be passed as ``_stdin``: it may not be on the host yet.
    """

    def command(self, project: str, folder: str, images: list[str]) -> StringCommand:
        return question(
            scripts.text("compose/project.sh"),
            *(project, folder, APPLIED, BUILDING, PULLING, _INSPECT, _IMAGE),
            *images,
        )

    def read(self, lines: list[str]) -> ProjectState:
        refuse_wedged(lines)
        hashes: dict[str, str] = {}
        containers: list[Container] = []
        images: dict[str, str] = {}
        secrets: dict[str, float] = {}
        applied = ""
        errors: list[str] = []
        unsettled: set[str] = set()
        cut_off = None
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "hash":
                service, _, value = rest.partition(" ")
                if len(value) == 64:
                    hashes[service] = value
                else:
                    errors.append(rest)
            elif word == "container":
                containers.append(_container(rest))
            elif word == "image":
                image_id, _, reference = rest.partition(" ")
                images[reference] = image_id
            elif word == "unsettled":
                unsettled.add(familiar(rest))
            elif word == "cut-off":
                cut_off = rest
            elif word == "secret":
                modified, _, path = rest.partition(" ")
                secrets[path] = float(modified)
            elif word == "applied":
                applied = base64.b64decode(rest).decode(errors="replace")
        return ProjectState(
            docker=bool(lines),
            hashes=hashes,
            containers=tuple(containers),
            images=images,
            unsettled=tuple(sorted(unsettled)),
            secrets=secrets,
            applied=applied,
            error=" ".join(errors) if not hashes else "",
            cut_off=cut_off,
        )


def _container(line: str) -> Container:
    decoder = json.JSONDecoder()
    values: list[Any] = []
    while line.strip():
        value, end = decoder.raw_decode(line.lstrip())
        values.append(value)
        line = line.lstrip()[end:]
    identity, state, labels, image, created = values
    return Container(
        id=identity,
        service=labels.get(_LABEL + "service", ""),
        image=image,
        hash=labels.get(_LABEL + "config-hash", ""),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", ""),
        started=state.get("StartedAt", ""),
        oneoff=labels.get(_LABEL + "oneoff", "False") == "True",
        inputs=labels.get(INPUTS, ""),
        created=datetime.fromisoformat(created).timestamp(),
        folder=labels.get(_LABEL + "project.working_dir", ""),
    )
