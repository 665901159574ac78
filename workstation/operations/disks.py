"""Disks that somebody must have mounted: formatting one is no business of a run."""

from __future__ import annotations

from pyinfra import host

from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.mounts import Mounted
from workstation.findings import failed
from workstation.operations.base import operation
from workstation.plan import Changes
from workstation.preflight import line
from workstation.preflight.storage import mount_findings


@operation
def mounted(folders: list[str]) -> Changes:
    """
    Raise HostError unless a disk of its own is mounted on each folder: what is made below would
    fill the disk of the system, and be hidden once the right one is mounted.

    + folders: from ``x-workstation`` of the stacks
    """
    found = ask(host, Mounted, folders=folders)
    for finding in failed(mount_findings(folders, found)):
        raise HostError(f"{host.name}: {line(finding)}")
    host.noop(f"mounted: {', '.join(folders)}")
    return ()
