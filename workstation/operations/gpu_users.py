"""Containers that were given the GPU behind systemd's back: they keep it through a run."""

from __future__ import annotations

from pyinfra import host

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.gpu_users import GpuUsers
from workstation.facts.shell import script
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together


@operation
def kept() -> Changes:
    """
    Have systemd know the GPUs that NVIDIA's hook gave to containers of Docker, whoever started
    them: otherwise it takes them away at each ``systemctl daemon-reload``, and packages bring such
    with them. It holds until the container ends; nothing is restarted.
    """
    found = [one for one in ask(host, GpuUsers) if one.kept]
    if not found:
        host.noop("no container would lose the GPU that a run could keep")
        return
    cause = "systemd is told of its GPU, which it would take away at `systemctl daemon-reload`"
    changes = [Change("~", f"container {one.name}", cause) for one in found]
    yield together(changes, [script(scripts.text("gpu_users/kept.sh"))])


def lost() -> Changes:
    """Yield which containers lose the GPU when systemd reads its units again."""
    for one in ask(host, GpuUsers):
        if not one.kept:
            restart = f"`docker restart {one.name}`" if one.docker else "a restart"
            cause = f"may lose the GPU by `systemctl daemon-reload`; {restart} brings it back"
            yield Change("?", f"container {one.name}", cause)
