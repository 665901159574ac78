"""What must be true of a host before anything on it is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from workstation.daemon_json import DaemonJsonError, merge
from workstation.findings import Finding
from workstation.settings import Settings

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.docker import EngineState
    from workstation.facts.machine import MachineState
    from workstation.facts.nvidia import GpuState

# Docker, the toolkit and Ollama's release are tried there; SERVICES of other systems differ.
_SYSTEMS = {"ubuntu": ("24.04",), "debian": ("13",)}
_ARCHITECTURES = ("x86_64",)


def machine_findings(settings: Settings, machine: MachineState) -> Iterator[Finding]:
    """Yield the findings about the system itself."""
    system = f"{machine.distribution} {machine.version}"
    yield Finding(
        "operating system",
        machine.version in _SYSTEMS.get(machine.distribution, ()),
        f"it is {system.strip() or 'unknown'}",
        "install Ubuntu 24.04 (or Debian 13)",
    )
    yield Finding(
        "architecture",
        machine.architecture in _ARCHITECTURES,
        f"it is {machine.architecture}",
        "use a machine with an x86_64 processor: the pinned images and Ollama are made for it",
    )
    yield Finding(
        "systemd",
        machine.systemd,
        "it is not the init system" if not machine.systemd else "it is the init system",
        "use a machine or virtual machine that boots with systemd, not a container",
    )


def docker_findings(machine: MachineState, engine: EngineState) -> Iterator[Finding]:
    """Yield the findings about a Docker that is already there."""
    snap = machine.snap_docker or engine.snap
    yield Finding(
        "Docker",
        not snap,
        "it is the snap, which sees neither /vol nor /mnt" if snap else engine.client or "absent",
        "save what its volumes hold, then `snap remove docker`",
    )
    try:
        merge(engine.daemon_json, {})
    except DaemonJsonError as error:
        yield Finding(
            "/etc/docker/daemon.json",
            False,
            f"nothing can be merged into it: {error}",
            "correct it or move it away",
        )


def proxy_findings(
    settings: Settings, machine: MachineState, own_proxy_runs: bool
) -> Iterator[Finding]:
    """Yield whether the port of our proxy is free or already ours."""
    port = settings.proxy_http_port
    holder = machine.listeners.get(port, "")
    if settings.proxy != "own" or not holder:
        return
    yield Finding(
        f"port {port}",
        own_proxy_runs,
        f"it is held by {holder}",
        "stop that program, or set PROXY=existing to join a Traefik that is already there, or "
        "PROXY_HTTP_PORT to another port",
    )


def gpu_findings(settings: Settings, gpu: GpuState) -> Iterator[Finding]:
    """Yield whether the driver works where a GPU is required and none is to be installed."""
    if settings.gpu != "required" or settings.nvidia_driver:
        return
    card = gpu.cards[0] if gpu.cards else None
    yield Finding(
        "GPU",
        card is not None,
        f"{card.name}, driver {card.driver}"
        if card
        else f"no driver works ({gpu.error or 'nvidia-smi is not installed'})",
        "set NVIDIA_DRIVER to a branch such as 580-open to have one installed, or GPU to "
        "optional or none",
    )


def summary(findings: Iterable[Finding]) -> str:
    """Return one line per finding that is not ok, as a person reads it."""
    return "\n".join(
        f"  {finding.name}: {finding.detail}. To fix it: {finding.fix}."
        for finding in findings
        if not finding.ok
    )
