"""Check cards and their driver against the pinned builds; docs/gpu.md says what runs where."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from workstation.findings import Finding
from workstation.nvidia import driver as drivers
from workstation.nvidia import gpu as rules
from workstation.settings import Settings

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.driver import DriverSourceState
    from workstation.facts.machine import MachineState
    from workstation.facts.nvidia import GpuState
    from workstation.nvidia.packages import Packages
    from workstation.pins import Pins
    from workstation.stack import Stack

NONE: Packages = {}
"""No packages are known."""


def module_findings(
    settings: Settings, gpu: GpuState, packages: Packages = NONE
) -> Iterator[Finding]:
    """Yield whether the loaded kernel module and the driver's libraries have the same version.

    After an upgrade of the driver, including unattended ones, they differ until the next boot, and
    nothing can use the GPU.
    """
    problem = drivers.trouble(gpu, packages)
    refused = problem is not None and problem.mismatch
    if settings.gpu == "none" or not (refused or (gpu.module and gpu.nvml)):
        return
    yield Finding(
        "NVIDIA kernel module",
        not refused,
        problem.seen if problem and refused else f"{gpu.module} is loaded",
        problem.fix if problem and refused else "",
        note=settings.gpu == "optional",
        id="driver-version-mismatch",
    )


def gpu_findings(settings: Settings, gpu: GpuState, packages: Packages = NONE) -> Iterator[Finding]:
    """Yield whether a card can be used, or will get a driver.

    A driver that only needs a reboot is left to :func:`module_findings`. Warnings that nvidia-smi
    prints next to the cards are notes.
    """
    problem = drivers.trouble(gpu, packages)
    if settings.gpu == "none" or (problem and problem.mismatch):
        return
    optional = settings.gpu == "optional"
    planned = drivers.action(settings.nvidia_driver, gpu, packages, not optional)
    if problem and not (planned or (optional and problem.absent)):
        without = "; containers get no GPU" if optional else ""
        yield Finding(
            "GPU", False, problem.seen + without, problem.fix, note=optional, id="gpu-unavailable"
        )
    elif gpu.cards:
        card = gpu.cards[0]
        yield Finding("GPU", True, f"{card.name}, driver {card.driver}", id="gpu-unavailable")
    for words in gpu.warnings if gpu.cards else ():
        yield Finding(
            "nvidia-smi",
            False,
            words,
            drivers.warning_fix(words),
            note=True,
            id="nvidia-smi-warning",
        )
    driven = [bound for bound in gpu.bound if bound == "nvidia"]
    if 0 < len(gpu.cards) < len(driven):
        yield Finding(
            "GPU cards",
            False,
            f"the driver offers only {len(gpu.cards)} of the {len(driven)} cards bound to it",
            drivers.warning_fix("a card is lost"),
            note=True,
            id="gpu-card-missing",
        )


def signing_findings(
    settings: Settings, gpu: GpuState, packages: Packages, source: DriverSourceState
) -> Iterator[Finding]:
    """Yield a note if Secure Boot will reject the driver that this run installs.

    + source: what apt's package lists offer for the branch
    """
    branch = settings.nvidia_driver
    if settings.gpu == "none" or drivers.action(branch, gpu, packages) not in (
        "install",
        "complete",
        "replace",
    ):
        return
    if not gpu.signed_only or source.modules:
        return
    maybe = (
        f"apt has no {branch} modules signed by Ubuntu for the kernel {gpu.running}, so DKMS will "
        "build them on this machine"
        if source.version
        else f"{branch} modules signed by Ubuntu are preferred; if apt has none for the kernel "
        f"{gpu.running}, DKMS will build them on this machine"
    )
    key, said = gpu.keys[0] if gpu.keys else (drivers.KEYS[0], "")
    if "already enrolled" in said:
        return
    yield Finding(
        "Secure Boot",
        False,
        f"it is on, so the kernel loads only signed modules; {maybe} and sign them with the "
        f"machine's own key {key}. The firmware does not trust that key yet, so the run will stop "
        "when it cannot load the driver",
        f"after the run has stopped, {drivers.ENROLL.format(key=key)}; or turn off Secure Boot in "
        "the firmware beforehand",
        note=True,
        id="secure-boot-key",
    )


def source_findings(
    settings: Settings, machine: MachineState, gpu: GpuState, packages: Packages
) -> Iterator[Finding]:
    """Yield whether the driver to be installed is available: its packages exist only on Ubuntu."""
    planned = drivers.action(settings.nvidia_driver, gpu, packages)
    if settings.gpu == "none" or planned not in ("install", "replace"):
        return
    yield Finding(
        "NVIDIA_DRIVER",
        machine.distribution in ("ubuntu", ""),
        f"{settings.nvidia_driver} stands for Ubuntu packages, but this is {machine.distribution}",
        "leave NVIDIA_DRIVER empty and install the driver by hand (on Debian, the package "
        "nvidia-driver or the packages from NVIDIA's own repository)",
        id="driver-needs-ubuntu",
    )


def card_findings(
    settings: Settings, gpu: GpuState, packages: Packages = NONE
) -> Iterator[Finding]:
    """Yield whether the loaded or requested driver supports a Blackwell card."""
    driver, seen, fix = _driver(settings, gpu, packages)
    branch = settings.nvidia_driver
    for card in _used_cards(settings, gpu, packages):
        if card.blackwell and driver:
            oldest = rules.BLACKWELL_DRIVER
            yield Finding(
                "GPU driver",
                rules.suffices(driver, oldest),
                f"{card} needs driver {oldest} or newer; {seen}",
                fix,
                id="driver-too-old",
            )
        if card.blackwell and branch and not rules.is_open(branch):
            yield Finding(
                "NVIDIA_DRIVER",
                False,
                f"{branch} has the proprietary kernel modules, but {card} needs the open ones",
                "set NVIDIA_DRIVER to a branch such as 580-open",
                id="driver-wrong-branch",
            )


def pin_findings(
    settings: Settings,
    gpu: GpuState,
    pins: Pins,
    used: Iterable[str],
    packages: Packages = NONE,
) -> Iterator[Finding]:
    """Yield whether each pinned build runs on the cards and with the driver.

    + used: keys of the pins that the host's stacks use (``RenderedStack.pins_used``)

    Services get all cards, so one card that supports the build is enough. An unknown card may
    support it.
    """
    driver, seen, fix = _driver(settings, gpu, packages)
    cards = _used_cards(settings, gpu, packages)
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
                f"it runs on {span}; this machine has {', '.join(map(str, cards))}",
                f"use a card in the range {span}, pin a build for this card, or set GPU to none",
                id="gpu-not-supported",
            )
        # No driver helps if the card does not fit.
        if fits and pin.cuda and driver:
            oldest = rules.oldest_driver(pin.cuda)
            yield Finding(
                f"pins.yml {key}",
                rules.suffices(driver, oldest),
                f"CUDA {pin.cuda} needs driver {oldest} or newer; {seen}",
                fix,
                id="driver-too-old",
            )


def flag_findings(
    settings: Settings, gpu: GpuState, stack: Stack, packages: Packages = NONE
) -> Iterator[Finding]:
    """Yield the services that lack the flag that a Blackwell card needs (``on_blackwell``)."""
    card = next((card for card in _used_cards(settings, gpu, packages) if card.blackwell), None)
    for service in stack.running if card else ():
        if not (rule := service.on_blackwell):
            continue
        started_with = f"{service.keys.get('command')} {service.keys.get('environment')}"
        flags = re.findall(r"--[\w-]+", started_with)
        if rule["flag"] not in flags or rule["never"] in flags:
            yield Finding(
                f"flags of {service.name}",
                False,
                f"{rule['why']}, and this is {card}",
                f"in group_data/{stack.name}.py, give {service.name} the flag {rule['flag']} and "
                f"not {rule['never']}",
                id="blackwell-flag",
            )


def memory_findings(settings: Settings, gpu: GpuState, stack: Stack) -> Iterator[Finding]:
    """Yield whether the card with the most memory has as much as each service needs. What services
    need together is not compared: they may load their models at different times.

    A card's memory is known only from its driver; without one, nothing is yielded.
    """
    cards = [card for card in gpu.cards if card.memory] if settings.gpu != "none" else []
    if not cards:
        return
    largest = max(cards, key=lambda card: card.memory)
    has = math.floor(largest.memory * 2**20 / 10**8) / 10
    for service in stack.running:
        need = service.gpu_memory
        if not (service.gpu and need):
            continue
        instead = f", or {service.needs_gpu} there" if service.needs_gpu else ""
        yield Finding(
            f"GPU memory for {service.name}",
            need <= has,
            f"it needs {need:g} GB on one card; {largest.name} has {has:g} GB",
            f"use a card with at least {need:g} GB, or change what {service.name} loads in "
            f"group_data/{stack.name}.py so that {has:g} GB are enough{instead}",
            subject=f"{stack.name}/{service.name}",
            id="gpu-memory-too-small",
        )


def _used_cards(settings: Settings, gpu: GpuState, packages: Packages) -> tuple[rules.Device, ...]:
    """Return the cards that services will use; none if GPU is optional and there is no driver."""
    driver, _, _ = _driver(settings, gpu, packages)
    if settings.gpu == "none" or (settings.gpu == "optional" and not driver):
        return ()
    return rules.devices(gpu)


def _driver(settings: Settings, gpu: GpuState, packages: Packages) -> tuple[str, str, str]:
    """Return the driver or branch that services will use (or ""), a description, and the fix."""
    branch = settings.nvidia_driver
    if drivers.action(branch, gpu, packages) in ("install", "complete", "replace"):
        return (
            branch,
            f"NVIDIA_DRIVER is {branch}",
            "set NVIDIA_DRIVER to a branch such as 580-open",
        )
    loaded = gpu.cards[0].driver if gpu.cards else gpu.module.strip("?") or gpu.installed
    if not loaded:
        return "", "no driver is loaded", "set NVIDIA_DRIVER to a branch such as 580-open"
    fix = (
        "set NVIDIA_DRIVER to a newer branch such as 580-open, which will replace it"
        if drivers.packaged(gpu, packages)
        else "replace it by hand with a newer driver, such as nvidia-driver-580-open, and reboot "
        "(a run never replaces a driver that was not installed from Ubuntu's packages)"
    )
    return loaded, f"{loaded} is loaded", fix
