"""Cards and their driver, held against the pinned builds; docs/gpu.md says what runs where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from workstation import gpu as rules
from workstation.findings import Finding
from workstation.settings import Settings

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.machine import MachineState
    from workstation.facts.nvidia import GpuState
    from workstation.pins import Pins
    from workstation.stack import Stack

# They use xFormers wherever it is installed, unless told otherwise.
_FOND_OF_XFORMERS = ("comfyui", "fooocus", "forge")
# NVML's own words (nvml.h, NVML_ERROR_LIB_RM_VERSION_MISMATCH).
_MISMATCH = "version mismatch"


def module_findings(settings: Settings, machine: MachineState, gpu: GpuState) -> Iterator[Finding]:
    """Yield whether the loaded kernel module is of the same version as the driver's libraries.

    It is not after an upgrade of the driver, a background one too, until the next boot: nothing
    can use the GPU meanwhile.
    """
    module, library = machine.nvidia_module, machine.nvidia_library
    refused = _MISMATCH in gpu.error
    if settings.gpu == "none" or not (refused or (module and library)):
        return
    yield Finding(
        "NVIDIA kernel module",
        bool(gpu.cards) or not (refused or module != library),
        f"{module or 'another version'} is loaded, nvidia-smi and its library are of "
        f"{library or 'another'}",
        "reboot the host: its driver was upgraded under the running kernel",
        note=settings.gpu == "optional",
    )


def gpu_findings(settings: Settings, gpu: GpuState) -> Iterator[Finding]:
    """Yield whether the driver works where a GPU is required and none is to be installed; one
    that only needs a reboot is the matter of :func:`module_findings`."""
    if settings.gpu != "required" or settings.nvidia_driver or _MISMATCH in gpu.error:
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
