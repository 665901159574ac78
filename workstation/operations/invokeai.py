"""InvokeAI knows the models of the store: registered where they lie, never copied or removed."""

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

# Folders of the store of which InvokeAI has no use, whatever lies in them (InvokeAI 6.13.8:
# invokeai/backend/model_manager/configs). In the others it says itself what it cannot use.
LEFT_OUT = ("configs", "hypernetworks", "vae_approx")


@operation
def models_registered(project: str, service: str, path: str, limit: int = 1800) -> Changes:
    """
    Have every model of the store that InvokeAI can use registered with it, in place.

    + project, service: the service that is InvokeAI
    + path: where its container sees the model store
    + limit: seconds that one model may take; InvokeAI reads a file as a whole to identify it

    What InvokeAI refuses is told and not offered again until it has changed. Records of files
    that have gone stay. While the service does not run there is nothing to ask, and nothing is
    planned: it is asked again when the operation runs.
    """
    found = ask(host, Models, project=project, service=service, path=path)
    if found.login:
        host.noop(f"{service} asks for a login: register models in its model manager")
        return
    if found.error or not found.there:
        problem = found.error or "it does not run"
        if state.is_executing:
            raise HostError(
                f"{service} on {host.name} cannot be asked for its models ({problem}): read "
                f"`docker compose -p {project} logs {service}`, then run tasks/stacks.py."
            )
        host.noop(f"{service} is asked for its models when it runs ({problem})")
        yield Change("?", f"{service}: models of the store", "it is asked when it runs")
        return
    names = {model: posixpath.relpath(model, path) for model in found.new}
    new = [model for model, name in names.items() if name.split("/")[0] not in LEFT_OUT]
    if not new:
        refused = f", {found.refused} are of no use to it" if found.refused else ""
        host.noop(f"{service} has {found.registered} models registered{refused}")
        return
    # A list may be longer than a command line.
    asked = (project, service, path, limit, scripts.text("invokeai/models.py"))
    yield together(
        [Change("+", f"{service}: register {names[model]}") for model in new],
        [live(script(scripts.text("invokeai/register.sh"), *asked, stdin=json.dumps(new)))],
    )
