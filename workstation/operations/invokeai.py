"""InvokeAI's model registry: models of the store are registered in place, never copied or
removed."""

from __future__ import annotations

import json
import posixpath

from pyinfra import host, state

from workstation import scripts
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.invokeai import Models
from workstation.facts.shell import script
from workstation.operations.base import operation
from workstation.operations.live import live
from workstation.plan import Change, Changes, together

# Folders of the store that InvokeAI cannot use, whatever they contain (InvokeAI 6.13.8:
# invokeai/backend/model_manager/configs). In others, InvokeAI itself rejects unusable models.
LEFT_OUT = ("configs", "hypernetworks", "vae_approx")


@operation
def models_registered(project: str, service: str, path: str, limit: int = 1800) -> Changes:
    """
    Register every model of the store that InvokeAI can use, in place.

    + project, service: the service that is InvokeAI
    + path: where its container sees the model store
    + limit: seconds that one model may take; InvokeAI reads a whole file to identify it

    Models that InvokeAI rejects are reported, and not offered again until they change. Records of
    deleted files stay. A service that is not running cannot be queried, so nothing is planned; it
    is queried again when the operation runs.
    """
    found = ask(host, Models, project=project, service=service, path=path)
    if found.login:
        host.noop(f"{service} requires a login: register models in its model manager")
        return
    if found.error or not found.there:
        problem = found.error or "it is not running"
        if state.is_executing:
            raise HostError(
                f"The models of {service} on {host.name} cannot be listed ({problem}): check "
                f"`docker compose -p {project} logs {service}`, then run tasks/stacks.py.",
                id="invokeai-not-answering",
            )
        host.noop(f"the models of {service} are checked once it is running ({problem})")
        yield Change("?", f"{service}: models of the store", "checked once it is running")
        return
    names = {model: posixpath.relpath(model, path) for model in found.new}
    new = [model for model, name in names.items() if name.split("/")[0] not in LEFT_OUT]
    if not new:
        refused = f"; {found.refused} rejected" if found.refused else ""
        host.noop(f"models registered with {service}: {found.registered}{refused}")
        return
    # The list goes to standard input: it may be too long for a command line.
    asked = (project, service, path, limit, scripts.text("invokeai/models.py"))
    yield together(
        [Change("+", f"{service}: register {names[model]}") for model in new],
        [live(script(scripts.text("invokeai/register.sh"), *asked, stdin=json.dumps(new)))],
    )
