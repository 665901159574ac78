"""Whether what the Container Toolkit has described of the GPUs (CDI) is still so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what the fact returns; this module itself needs no pyinfra
    from workstation.facts.nvidia import Description, GpuState

ALL = "nvidia.com/gpu=all"
"""The device that services are given: every card."""
GENERATED = ("nvidia.yaml", "nvidia.json")
"""Names under which NVIDIA's guides and units have ``nvidia-ctk cdi generate`` write."""


def outdated(gpu: GpuState) -> str:
    """Return in which respect the description from which containers get the GPU is old; empty if
    it is right, or there is none.

    It names the driver's libraries by their versions, and files that an upgrade removes.
    """
    return _outdated(gpu.description, gpu) if gpu.description else ""


def _outdated(found: Description, gpu: GpuState) -> str:
    driver = gpu.cards[0].driver if gpu.cards else gpu.module
    if found.versions and driver not in ("", "?", *found.versions):
        return f"driver {found.versions[0]} -> {driver}"
    if found.missing:
        return f"{found.path} names {found.missing[0]}, which is gone"
    described = {name for name in found.names if name.startswith("GPU-")}
    cards = {card.uuid for card in gpu.cards if card.uuid}
    # Cards that are split (MIG) are described by their parts.
    if described and cards and not any(name.startswith("MIG-") for name in found.names):
        if cards - described:
            return f"{found.path} lacks the card {min(cards - described)}"
        if described - cards:
            return f"{found.path} names the card {min(described - cards)}, which is gone"
    return ""


def in_the_way(gpu: GpuState) -> tuple[str, ...]:
    """Return the old descriptions that are moved aside before the cards are described again: those
    that ``nvidia-ctk`` wrote to ``/etc/cdi``, where nothing renews them."""
    unknown = ALL not in gpu.cdi
    return tuple(
        one.path
        for one in gpu.descriptions
        if one.path.startswith("/etc/cdi/")
        and one.path.rpartition("/")[2] in GENERATED
        and (unknown or _outdated(one, gpu))
    )


def conflicts(gpu: GpuState) -> tuple[str, ...]:
    """Return the files of one folder that describe ``all`` twice, so that no device of that name is
    left (CDI's ``Cache.refresh``); those that are moved aside do not count."""
    kept = [one for one in gpu.descriptions if one.path not in in_the_way(gpu)]
    for rank in (0, 1):
        found = tuple(one.path for one in kept if one.rank == rank and "all" in one.names)
        if len(found) > 1:
            return found
    return ()


def proof_advice(said: str) -> str:
    """Return the way out where a container does not see the GPU.

    + said: what ``files/nvidia/prove.sh`` printed, with the words of Docker, of its
      runtime and of nvidia-smi
    """
    if "exit status 124" in said:
        return (
            "A container that asks for the GPU does not end: the card or its driver hangs, or "
            "Docker does. Try `nvidia-smi` on the host; if it hangs too, reboot the machine, and "
            "power it off if that does not help."
        )
    if 'device driver "cdi"' in said:
        return (
            "Docker has CDI switched off: tasks/nvidia.py sets features.cdi in "
            "/etc/docker/daemon.json; restart Docker (`systemctl restart docker`), then run again."
        )
    if "unresolvable" in said:
        return (
            "Docker does not know the device nvidia.com/gpu=all, which `nvidia-ctk cdi list` "
            "shows. It reads other folders than /etc/cdi and /var/run/cdi (cdi-spec-dirs in "
            "/etc/docker/daemon.json; `docker info` shows them), or cannot read a file there."
        )
    if "version mismatch" in said:
        return (
            "The driver's kernel module and its libraries are of two versions: reboot this host, "
            "then run again."
        )
    # Docker ends with status 127 here too.
    if "no such file" in said.lower():
        return (
            "The description of the GPU names a file that the host does not have, see above. It "
            "has just been renewed, so that file belongs to an incomplete driver or toolkit, or to "
            "another description in /etc/cdi or /var/run/cdi."
        )
    if "exit status 127" in said:
        return (
            "The container has no nvidia-smi: install it on the host (nvidia-utils of the driver's "
            "branch), then run again."
        )
    return (
        "A container does not see the GPU, the words of Docker or nvidia-smi stand above. Try "
        "`nvidia-smi -L` on the host: if it fails, the driver is at fault; else `nvidia-ctk cdi "
        "list` and `docker info` show what is described, and what Docker reads."
    )
