"""Disks that must already be mounted: a run never formats one."""

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
    Check that a separate disk is mounted on each folder. Raises HostError otherwise: files created
    there would fill the system disk and be hidden once the right disk is mounted.

    + folders: from ``x-workstation`` of the stacks
    """
    found = ask(host, Mounted, folders=folders)
    for finding in failed(mount_findings(folders, found)):
        raise HostError(f"{host.name}: {line(finding)}", id="")  # the finding shows its own
    host.noop(f"mounted: {', '.join(folders)}")
    return ()
