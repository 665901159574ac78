"""Whether the Container Toolkit's description of the GPUs (CDI) is still correct."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what the fact returns; this module itself needs no pyinfra
    from workstation.facts.nvidia import Description, GpuState

ALL = "nvidia.com/gpu=all"
"""The device that services get: every card."""
GENERATED = ("nvidia.yaml", "nvidia.json")
"""File names that NVIDIA's guides and units pass to ``nvidia-ctk cdi generate``."""


def outdated(gpu: GpuState) -> str:
    """Return why the description from which containers get the GPU is outdated; empty if it is
    correct, or if there is none.

    It names the driver's libraries by version, and files that an upgrade removes.
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
    # Split cards (MIG) are described by their instances.
    if described and cards and not any(name.startswith("MIG-") for name in found.names):
        if cards - described:
            return f"{found.path} lacks the card {min(cards - described)}"
        if described - cards:
            return f"{found.path} names the card {min(described - cards)}, which is gone"
    return ""


def in_the_way(gpu: GpuState) -> tuple[str, ...]:
    """Return the outdated descriptions to move aside before the cards are described again: those
    that ``nvidia-ctk`` wrote to ``/etc/cdi``, where nothing updates them."""
    unknown = ALL not in gpu.cdi
    return tuple(
        one.path
        for one in gpu.descriptions
        if one.path.startswith("/etc/cdi/")
        and one.path.rpartition("/")[2] in GENERATED
        and (unknown or _outdated(one, gpu))
    )


def conflicts(gpu: GpuState) -> tuple[str, ...]:
    """Return the files in one folder that define ``all`` more than once, so that CDI drops it
    (``Cache.refresh``). Files that will be moved aside do not count."""
    kept = [one for one in gpu.descriptions if one.path not in in_the_way(gpu)]
    for rank in (0, 1):
        found = tuple(one.path for one in kept if one.rank == rank and "all" in one.names)
        if len(found) > 1:
            return found
    return ()


def proof_advice(said: str) -> str:
    """Return advice for when a container does not see the GPU.

    + said: the output of ``files/nvidia/prove.sh``, including the messages of Docker, its runtime
      and nvidia-smi
    """
    if "exit status 124" in said:
        return (
            "A container that uses the GPU hangs: the cause is the card, its driver, or Docker. "
            "Run `nvidia-smi` on the host; if it hangs too, reboot the machine, and if that does "
            "not help, power it off."
        )
    if 'device driver "cdi"' in said:
        return (
            "CDI is turned off in Docker: tasks/nvidia.py sets features.cdi in "
            "/etc/docker/daemon.json; restart Docker (`systemctl restart docker`), then run again."
        )
    if "unresolvable" in said:
        return (
            "Docker does not find the device nvidia.com/gpu=all, although `nvidia-ctk cdi list` "
            "shows it. Either Docker does not read the folders /etc/cdi and /var/run/cdi (check "
            "cdi-spec-dirs in /etc/docker/daemon.json, and `docker info`), or it cannot read a "
            "file there."
        )
    if "version mismatch" in said:
        return (
            "The driver's kernel module and its libraries have different versions: reboot this "
            "host, then run again."
        )
    # Docker ends with status 127 here too.
    if "no such file" in said.lower():
        return (
            "The description of the GPU names a file that does not exist on the host (see above). "
            "The description is new, so either the driver or the toolkit is incomplete, or "
            "another description in /etc/cdi or /var/run/cdi names the file."
        )
    if "exit status 127" in said:
        return (
            "The container has no nvidia-smi: install it on the host (the package nvidia-utils of "
            "the driver's branch), then run again."
        )
    return (
        "A container does not see the GPU; the messages of Docker or nvidia-smi are above. Run "
        "`nvidia-smi -L` on the host: if it fails, the driver is at fault. Otherwise, `nvidia-ctk "
        "cdi list` shows the described devices, and `docker info` the folders that Docker reads."
    )
