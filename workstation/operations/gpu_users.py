"""Containers that were given the GPU behind systemd's back: they keep it through a run."""

from __future__ import annotations

from pyinfra import host

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.gpu_users import GpuUsers
from workstation.facts.shell import script
from workstation.operations.base import Commands, operation
from workstation.operations.plan import tell


@operation
def kept() -> Commands:
    """
    Have systemd know the GPUs that NVIDIA's hook gave to containers of Docker, whoever started
    them: otherwise it takes them away at each ``systemctl daemon-reload``, and packages bring such
    with them. It holds until the container ends; nothing is restarted.
    """
    found = [one for one in ask(host, GpuUsers) if one.kept]
    if not found:
        host.noop("no container would lose the GPU that a run could keep")
        return
    for one in found:
        cause = "systemd is told of its GPU, which it would take away at `systemctl daemon-reload`"
        tell("~", f"container {one.name}", cause)
    yield script(scripts.text("gpu_users/kept.sh"))


def tell_lost() -> None:
    """Put into the plan which containers lose the GPU when systemd reads its units again."""
    for one in ask(host, GpuUsers):
        if not one.kept:
            restart = f"`docker restart {one.name}`" if one.docker else "a restart"
            cause = f"may lose the GPU by `systemctl daemon-reload`; {restart} brings it back"
            tell("?", f"container {one.name}", cause)
