"""Containers that got the GPU behind systemd's back: they keep it through a run."""

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
    Register with systemd the GPUs that NVIDIA's hook gave to Docker containers, whoever started
    them. Otherwise each ``systemctl daemon-reload``, which packages run too, revokes them. This
    lasts until the container ends; nothing is restarted.
    """
    found = [one for one in ask(host, GpuUsers) if one.kept]
    if not found:
        host.noop("no container needs its GPU registered with systemd")
        return
    cause = "registers its GPU with systemd; else `systemctl daemon-reload` would revoke it"
    changes = [Change("~", f"container {one.name}", cause) for one in found]
    yield together(changes, [script(scripts.text("gpu_users/kept.sh"))])


def lost() -> Changes:
    """Yield the containers that may lose the GPU when systemd reloads its units."""
    for one in ask(host, GpuUsers):
        if not one.kept:
            restart = f"`docker restart {one.name}`" if one.docker else "a restart"
            cause = f"may lose its GPU at `systemctl daemon-reload`; {restart} restores it"
            yield Change("?", f"container {one.name}", cause)
