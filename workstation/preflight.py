"""What must be true of a host before anything on it is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from workstation import gpu as rules
from workstation.daemon_json import DaemonJsonError, merge
from workstation.findings import Finding
from workstation.settings import Settings

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.docker import EngineState
    from workstation.facts.machine import MachineState
    from workstation.facts.nvidia import GpuState
    from workstation.pins import Pins
    from workstation.stack import Stack

# Docker, the toolkit and Ollama's release are tried there; SERVICES of other systems differ.
_SYSTEMS = {"ubuntu": ("24.04",), "debian": ("13",)}
_ARCHITECTURES = ("x86_64",)
# They use xFormers wherever it is installed, unless told otherwise.
_FOND_OF_XFORMERS = ("comfyui", "fooocus", "forge")


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


def card_findings(settings: Settings, gpu: GpuState) -> Iterator[Finding]:
    """Yield whether the driver, loaded or asked for, drives a Blackwell card."""
    driver, seen, fix = _driver(settings, gpu)
    branch = settings.nvidia_driver
    for card in _used_cards(settings, gpu):
        if card.blackwell and driver:
            oldest = rules.BLACKWELL_DRIVER
            yield Finding(
                "GPU driver",
                rules.suffices(driver, oldest),
                f"{card} needs driver {oldest} or newer, {seen}",
                fix,
            )
        if card.blackwell and branch and not rules.is_open(branch):
            yield Finding(
                "NVIDIA_DRIVER",
                False,
                f"{branch} has the proprietary kernel modules, and {card} needs the open ones",
                "set NVIDIA_DRIVER to a branch such as 580-open",
            )


def pin_findings(
    settings: Settings, gpu: GpuState, pins: Pins, used: Iterable[str]
) -> Iterator[Finding]:
    """Yield whether each pinned build runs on the cards and on the driver.

    + used: keys of the pins that the host's stacks use (``RenderedStack.pins_used``)

    Services are given all cards, so one card that a build runs on is enough; one that is not known
    may be that card.
    """
    driver, seen, fix = _driver(settings, gpu)
    cards = _used_cards(settings, gpu)
    if not cards:
        return
    for key in sorted(used):
        pin = pins.build(key)
        fits = True
        if pin.compute:
            span = rules.families_of(pin.compute)
            fits = any(rules.runs_on(pin.compute, card.compute) for card in cards)
            yield Finding(
                f"pins.yml {key}",
                fits,
                f"it runs on {span}, found: {', '.join(str(card) for card in cards)}",
                f"use a card from {span}, pin a build for this one, or set GPU to none",
            )
        # Where the card is wrong, no driver helps.
        if fits and pin.cuda and driver:
            oldest = rules.oldest_driver(pin.cuda)
            yield Finding(
                f"pins.yml {key}",
                rules.suffices(driver, oldest),
                f"CUDA {pin.cuda} needs driver {oldest} or newer, {seen}",
                fix,
            )


def xformers_findings(settings: Settings, gpu: GpuState, stack: Stack) -> Iterator[Finding]:
    """Yield the services that would use xFormers, which fails on Blackwell.

    Source: README of yanwk/comfyui-boot, whose image has xFormers; ours are built without.
    """
    card = next((card for card in _used_cards(settings, gpu) if card.blackwell), None)
    if card is None:
        return
    for service in stack.running:
        started_with = f"{service.keys.get('command')} {service.keys.get('environment')}"
        flags = re.findall(r"--[\w-]+", started_with)
        missing = service.name in _FOND_OF_XFORMERS and "--disable-xformers" not in flags
        if missing or "--xformers" in flags:
            yield Finding(
                f"flags of {service.name}",
                False,
                f"xFormers is not switched off, and fails on {card}",
                f"in group_data/{stack.name}.py give {service.name} the flag --disable-xformers, "
                "and not --xformers",
            )


def _used_cards(settings: Settings, gpu: GpuState) -> tuple[rules.Device, ...]:
    """Return the cards that services will use; none if GPU is optional and has no driver."""
    driver, _, _ = _driver(settings, gpu)
    if settings.gpu == "none" or (settings.gpu == "optional" and not driver):
        return ()
    return rules.devices(gpu)


def _driver(settings: Settings, gpu: GpuState) -> tuple[str, str, str]:
    """Return the driver or branch that services will use (or ""), what is so, and the fix."""
    if gpu.cards:
        loaded = gpu.cards[0].driver
        return (
            loaded,
            f"{loaded} is loaded",
            "install a newer driver in its place, such as nvidia-driver-580-open, and reboot "
            "(a run never replaces a driver that works, whatever NVIDIA_DRIVER is)",
        )
    branch = settings.nvidia_driver
    return branch, f"NVIDIA_DRIVER is {branch}", "set NVIDIA_DRIVER to a branch such as 580-open"


def summary(findings: Iterable[Finding]) -> str:
    """Return one line per finding that is not ok, as a person reads it."""
    return "\n".join(
        f"  {finding.name}: {finding.detail}. To fix it: {finding.fix}."
        for finding in findings
        if not finding.ok
    )
