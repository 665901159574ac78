"""Cards, driver and pinned builds: every finding separately, with its evidence and its fix."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workstation import pins, settings
from workstation.facts.driver import DriverSourceState
from workstation.facts.machine import MachineState
from workstation.facts.nvidia import Card, GpuState
from workstation.findings import Finding, failed, noted
from workstation.mirror import Mirror
from workstation.preflight import summary
from workstation.preflight.gpu import (
    card_findings,
    flag_findings,
    gpu_findings,
    memory_findings,
    module_findings,
    pin_findings,
    signing_findings,
    source_findings,
)
from workstation.render import StackRenderer
from workstation.settings import Settings
from workstation.stack import parse

ROOT = Path(__file__).parents[2]
CARD = Card("NVIDIA RTX PRO 6000 Blackwell", "12.0", "580.95.05", 97887, "GPU-1")
BARE_BLACKWELL = GpuState(pci=("10de:2bb1",))


def configured(**changes: Any) -> Settings:
    return settings.load({**settings.defaults(ROOT / "group_data/all.py"), **changes})


def problems(*findings: Finding) -> dict[str, str]:
    """Return name -> detail of the problems; each of these has a fix."""
    bad = failed(findings)
    assert all(finding.detail and finding.fix for finding in bad)
    return {finding.name: finding.detail for finding in bad}


@pytest.mark.parametrize(
    ("gpu", "seen"),
    [
        (GpuState(pci=("10de:2bb1",)), "no NVIDIA driver is installed"),
        (
            GpuState(
                pci=("10de:2bb1",),
                status=9,
                error="NVIDIA-SMI has failed because it could not communicate with the driver",
            ),
            "could not communicate",
        ),
    ],
)
def test_a_required_gpu_without_a_driver_says_why(gpu: GpuState, seen: str):
    """In the driver's own words."""
    finding = failed(gpu_findings(configured(), gpu))[0]
    assert seen in finding.detail
    assert "NVIDIA_DRIVER" in finding.fix


@pytest.mark.parametrize(
    ("changes", "gpu"),
    [
        ({}, GpuState(cards=(CARD,))),
        ({"gpu": "optional"}, GpuState()),
        ({"gpu": "none"}, GpuState()),
        ({"nvidia_driver": "580-open"}, BARE_BLACKWELL),
    ],
)
def test_a_gpu_that_works_or_is_not_required_passes(changes: dict[str, Any], gpu: GpuState):
    """This includes a driver that this run installs."""
    assert problems(*gpu_findings(configured(**changes), gpu)) == {}


REFUSED = "Failed to initialize NVML: Driver/library version mismatch"


@pytest.mark.parametrize(
    ("module", "library", "error"),
    [
        ("580.65.06", "580.95.05", REFUSED),
        ("580.65.06", "580.95.05", "NVIDIA-SMI has failed"),
        ("", "", REFUSED),
        ("?", "580.95.05", REFUSED),
    ],
)
def test_a_driver_that_was_upgraded_under_the_kernel_needs_a_reboot(
    module: str, library: str, error: str
):
    """Judged by the versions, or by nvidia-smi's message; another driver would not help."""
    gpu = GpuState(module=module, nvml=library, error=error, status=18)
    finding = failed(module_findings(configured(), gpu))[0]
    assert module.strip("?") in finding.detail
    assert library in finding.detail
    assert finding.fix.startswith("reboot the host")
    for changes in ({}, {"nvidia_driver": "580-open"}):
        assert list(gpu_findings(configured(**changes), gpu)) == []
    assert noted(module_findings(configured(gpu="optional"), gpu))
    assert list(module_findings(configured(gpu="none"), gpu)) == []


@pytest.mark.parametrize(
    "gpu",
    [
        GpuState(module="580.95.05", nvml="580.95.05"),
        # There is another library, but nvidia-smi works with its own.
        GpuState(module="580.95.05", nvml="535.1", cards=(CARD,), status=0),
        GpuState(nvml="580.95.05"),
        GpuState(module="580.95.05"),
    ],
)
def test_a_driver_of_one_version_needs_no_reboot(gpu: GpuState):
    """Neither does a half installed one, which other findings cover."""
    assert problems(*module_findings(configured(), gpu)) == {}


INSTALLED = GpuState(pci=("10de:2bb1",), bound=("",), installed="580.95.05")


def test_a_driver_that_is_not_loaded_is_the_runs_own_matter_if_a_gpu_is_asked_for():
    """Otherwise it is left as it is, with a note."""
    for changes in ({}, {"gpu": "optional", "nvidia_driver": "580-open"}):
        assert list(gpu_findings(configured(**changes), INSTALLED)) == []
    (note,) = noted(gpu_findings(configured(gpu="optional"), INSTALLED))
    assert note.detail == (
        "the driver 580.95.05 is installed, but its kernel module is not loaded; containers get "
        "no GPU"
    )


KEY = "/var/lib/shim-signed/mok/MOK.der"
SECURE = replace(BARE_BLACKWELL, signed_only=True, running="6.8.0-85-generic")
IN_APT = DriverSourceState("580.95.05-0ubuntu1", "", "linux-headers-6.8.0-85-generic")


@pytest.mark.parametrize(
    ("gpu", "source", "said"),
    [
        (
            SECURE,
            IN_APT,
            "apt has no 580-open modules signed by Ubuntu for the kernel 6",
        ),
        (SECURE, DriverSourceState(), "if apt has none for the kernel 6.8.0-85-generic, DKMS"),
        (
            replace(SECURE, keys=((KEY, f"{KEY} is not enrolled"),)),
            IN_APT,
            f"machine's own key {KEY}. The firmware does not trust that key yet",
        ),
    ],
)
def test_secure_boot_is_told_before_a_driver_is_installed(
    gpu: GpuState, source: DriverSourceState, said: str
):
    """The note mentions screen and key, because the run will stop for them."""
    given = configured(nvidia_driver="580-open")
    (note,) = noted(signing_findings(given, gpu, {}, source))
    assert note.name == "Secure Boot"
    assert said in note.detail
    assert f"mokutil --import {KEY}" in note.fix
    assert "Enroll MOK, Continue" in note.fix
    assert list(signing_findings(configured(), gpu, {}, source)) == []


@pytest.mark.parametrize(
    ("gpu", "source"),
    [
        (replace(SECURE, signed_only=False), IN_APT),
        (SECURE, replace(IN_APT, modules="linux-modules-nvidia-580-open-6.8.0-85-generic")),
        (replace(SECURE, keys=((KEY, f"{KEY} is already enrolled"),)), IN_APT),
        (GpuState(cards=(CARD,), signed_only=True), IN_APT),
    ],
)
def test_secure_boot_that_is_no_obstacle_is_not_told(gpu: GpuState, source: DriverSourceState):
    """With Ubuntu's own signature, a trusted key, or a working driver."""
    given = configured(nvidia_driver="580-open")
    assert list(signing_findings(given, gpu, {}, source)) == []


@pytest.mark.parametrize(
    ("distribution", "gpu", "refused"),
    [
        ("debian", BARE_BLACKWELL, True),
        ("ubuntu", BARE_BLACKWELL, False),
        ("debian", GpuState(cards=(CARD,)), False),
    ],
)
def test_a_branch_names_packages_of_ubuntu(distribution: str, gpu: GpuState, refused: bool):
    """On other systems, apt would not know them, and the run would fail in the middle."""
    machine = MachineState(os_release={"ID": distribution})
    found = source_findings(configured(nvidia_driver="580-open"), machine, gpu, {})
    assert bool(problems(*found)) is refused


ADA = Card("NVIDIA RTX 6000 Ada", "8.9", "550.163.01", 49140, "GPU-2")
PINS = pins.Pins.model_validate(
    {
        "images": {
            "comfyui": {
                "name": "docker.io/a/comfyui",
                "tag": "1",
                "digest": None,
                "cuda": "12.8",
                "compute": "7.5-12.0",
            },
            "next": {"name": "docker.io/a/next", "tag": "1", "digest": None, "cuda": "13.0"},
            "plain": {"name": "docker.io/a/plain", "tag": "1", "digest": None},
        },
        "sources": {
            "fooocus": {
                "url": "https://example.org/f.git",
                "commit": "0" * 40,
                "version": "1",
                "cuda": "12.8",
                "compute": "7.0-12.0",
            }
        },
        "downloads": {},
        "apt": {},
    }
)


def card(name: str, compute: str, driver: str) -> GpuState:
    return GpuState(cards=(Card(name, compute, driver, 49140, "GPU-3"),))


def judged(state: GpuState, /, *used: str, **changes: Any) -> list[str]:
    """Return the problems with cards and pins, as the user reads them."""
    given = configured(**changes)
    findings = [
        *card_findings(given, state),
        *pin_findings(given, state, PINS, used or ("images.comfyui", "images.plain")),
    ]
    problems(*findings)
    return summary(findings).splitlines()


@pytest.mark.parametrize(
    ("gpu", "changes"),
    [
        (GpuState(cards=(ADA,)), {}),
        (GpuState(cards=(CARD,)), {}),
        (GpuState(cards=(CARD, ADA)), {"nvidia_driver": "580-open"}),
        (card("NVIDIA GB10", "12.1", "580.95.05"), {}),
        (BARE_BLACKWELL, {"nvidia_driver": "580-open"}),
        (BARE_BLACKWELL, {"nvidia_driver": "580-open", "gpu": "optional"}),
        (GpuState(pci=("10de:26b1",)), {"nvidia_driver": "535"}),
        (GpuState(pci=("10de:26b1",)), {"nvidia_driver": "525-server"}),
    ],
)
def test_cards_and_drivers_that_fit_pass(gpu: GpuState, changes: dict[str, Any]):
    """Also with a driver older than that of CUDA 12.8, and on a bare machine with the driver that a
    run will install."""
    assert judged(gpu, **changes) == []


@pytest.mark.parametrize(
    ("gpu", "changes"),
    [
        (card("Quadro M4000", "5.2", "470.256.02"), {"gpu": "none"}),
        (BARE_BLACKWELL, {"gpu": "none", "nvidia_driver": "470"}),
        (GpuState(pci=("10de:13c2",)), {"gpu": "optional"}),
        (GpuState(), {"gpu": "optional", "nvidia_driver": "470"}),
        (GpuState(), {}),
    ],
)
def test_cards_that_are_not_used_are_not_judged(gpu: GpuState, changes: dict[str, Any]):
    """GPU none, optional without a driver, or no card at all."""
    assert judged(gpu, **changes) == []


def test_a_card_that_a_build_does_not_run_on_is_refused():
    """With the pin's name, and with the cards that would work; a newer driver would not help."""
    assert judged(card("Quadro M4000", "5.2", "470.256.02")) == [
        "  pins.yml images.comfyui: it runs on Turing (7.5) to Blackwell (12.0); this machine has "
        "Quadro M4000 (Maxwell). To fix it: use a card in the range Turing (7.5) to Blackwell "
        "(12.0), pin a build for this card, or set GPU to none. [gpu-not-supported]"
    ]


def test_each_pin_has_its_own_cards():
    """A card may be too old for one build but not for another."""
    found = judged(
        GpuState(pci=("10de:1db6",)), "images.comfyui", "sources.fooocus", nvidia_driver="580"
    )
    assert len(found) == 1
    assert found[0].startswith("  pins.yml images.comfyui: ")
    assert "card 10de:1db6 (Volta)" in found[0]


@pytest.mark.parametrize("pci", ["10de:13c2", "10de:1b06", "10de:1287"])
def test_a_bare_machine_with_an_old_card_is_refused(pci: str):
    """Before a driver is installed in vain."""
    assert "pins.yml images.comfyui" in judged(GpuState(pci=(pci,)), nvidia_driver="580")[0]


def test_one_card_that_fits_is_enough():
    """An old card for the monitor is no reason to refuse."""
    assert judged(GpuState(cards=(ADA, Card("Old", "6.1", "550.163.01", 4096, "GPU-4")))) == []


@pytest.mark.parametrize(
    "gpu", [GpuState(pci=("10de:3002",)), GpuState(pci=("10de:3002", "10de:13c2"))]
)
def test_an_unknown_card_is_not_refused(gpu: GpuState):
    """It is newer than this table."""
    assert judged(gpu, nvidia_driver="580-open") == []


def test_a_driver_that_is_too_old_is_refused_for_each_pin():
    """With the fix for a loaded driver, which no run replaces."""
    state = card("NVIDIA RTX A6000", "", "470.256.02")
    found = judged(
        GpuState(cards=state.cards, pci=("10de:2230",)), "images.comfyui", "sources.fooocus"
    )
    assert [line.partition(". To fix it: ")[0] for line in found] == [
        f"  pins.yml {key}: CUDA 12.8 needs driver 525.60.13 or newer; 470.256.02 is loaded"
        for key in ("images.comfyui", "sources.fooocus")
    ]
    assert all("nvidia-driver-580-open" in line and "reboot" in line for line in found)


def test_a_branch_that_is_too_old_is_refused_before_it_is_installed():
    """The error names the setting."""
    assert judged(GpuState(pci=("10de:26b1",)), nvidia_driver="470-server") == [
        "  pins.yml images.comfyui: CUDA 12.8 needs driver 525.60.13 or newer; NVIDIA_DRIVER is "
        "470-server. To fix it: set NVIDIA_DRIVER to a branch such as 580-open. [driver-too-old]"
    ]


def test_a_build_with_cuda_13_needs_a_newer_driver():
    """On a card on which CUDA 12 runs."""
    found = judged(GpuState(cards=(ADA,)), "images.comfyui", "images.next")
    assert len(found) == 1
    assert "images.next: CUDA 13.0 needs driver 580 or newer; 550.163.01 is loaded" in found[0]
    assert judged(GpuState(cards=(CARD,)), "images.next") == []


def test_blackwell_needs_a_driver_that_knows_it():
    """Although CUDA 12.8 runs with older ones on other cards."""
    found = judged(card("RTX 5090", "12.0", "550.163.01"))
    assert len(found) == 1
    assert found[0].startswith(
        "  GPU driver: RTX 5090 (Blackwell) needs driver 570 or newer; 550.163.01 is loaded. "
    )
    assert "NVIDIA_DRIVER is 550-open" in judged(BARE_BLACKWELL, nvidia_driver="550-open")[0]


@pytest.mark.parametrize("gpu", [BARE_BLACKWELL, GpuState(cards=(CARD,))])
def test_blackwell_needs_the_open_kernel_modules(gpu: GpuState):
    """Reported on a bare machine; with a working driver, the next driver must be an open one."""
    found = judged(gpu, nvidia_driver="580")
    assert len(found) == 1
    assert found[0].startswith("  NVIDIA_DRIVER: 580 has the proprietary kernel modules, but ")
    assert found[0].endswith(
        "needs the open ones. To fix it: set NVIDIA_DRIVER to a branch such as 580-open. "
        "[driver-wrong-branch]"
    )


COMPOSE = """\
name: s
services:
  comfyui: {image: a, environment: {CLI_ARGS: "--listen %s"}, x-workstation: &own {on_blackwell: {
    flag: --disable-xformers, never: --xformers, why: xFormers fails on Blackwell cards}}}
  forge: {image: b, command: --listen %s, x-workstation: *own}
  other: {image: c, command: [--port, "80"%s]}
"""
OFF = " --disable-xformers"


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ((OFF, OFF, ""), []),
        (("", OFF, ""), ["comfyui"]),
        ((OFF, "", ', "--disable-xformers"'), ["forge"]),
        ((OFF, OFF, ', "--xformers"'), []),
        ((OFF, f"{OFF} --xformers", ""), ["forge"]),
    ],
)
def test_on_blackwell_xformers_is_switched_off(flags: tuple[str, ...], refused: list[str]):
    """Programs that use xFormers by default need a flag: those whose stack declares it."""
    stack = parse(COMPOSE % flags)
    for gpu in (GpuState(cards=(CARD,)), BARE_BLACKWELL):
        findings = list(flag_findings(configured(nvidia_driver="580-open"), gpu, stack))
        assert list(problems(*findings)) == [f"flags of {name}" for name in refused]
        assert all("group_data/s.py" in finding.fix for finding in findings)


MEMORY = """\
name: s
services:
  triton: {image: a, gpus: all, x-workstation: {gpu_memory: 24}}
  small: {image: a, gpus: all, x-workstation: {gpu_memory: 8.5, needs_gpu: set layers to 0}}
  cpu: {image: a, x-workstation: {gpu_memory: 900}}
  tool: {image: a, gpus: all, profiles: [tools], x-workstation: {gpu_memory: 900}}
"""


def sized(*mebibytes: int) -> GpuState:
    """Return cards with this much memory each."""
    cards = (Card(f"Card {size}", "8.9", "580.1", size, f"GPU-{size}") for size in mebibytes)
    return GpuState(cards=tuple(cards))


def too_small(found: GpuState, **changes: Any) -> dict[str, Finding]:
    findings = memory_findings(configured(**changes), found, parse(MEMORY))
    return {finding.name: finding for finding in findings if not finding.ok}


def test_a_card_with_too_little_memory_is_told_with_what_fits():
    """By the whole memory of the largest card, for each running service that uses the GPU."""
    found = too_small(sized(4096, 16376))
    assert list(found) == ["GPU memory for triton"]
    triton = found["GPU memory for triton"]
    assert (triton.note, triton.id) == (False, "gpu-memory-too-small")
    assert triton.detail == "it needs 24 GB on one card; Card 16376 has 17.1 GB"
    assert triton.fix == (
        "use a card with at least 24 GB, or change what triton loads in group_data/s.py so that "
        "17.1 GB are enough"
    )
    small = too_small(sized(4096))["GPU memory for small"]
    assert small.fix.endswith("so that 4.2 GB are enough, or set layers to 0 there")


@pytest.mark.parametrize(
    ("gpu", "changes"),
    [
        (sized(24564), {}),  # sold as 24 GB
        (sized(0), {}),  # unknown
        (BARE_BLACKWELL, {"nvidia_driver": "580-open"}),
        (sized(1024), {"gpu": "none"}),
    ],
)
def test_memory_that_suffices_or_is_unknown_stops_nothing(gpu: GpuState, changes: dict[str, Any]):
    """Nor does a card that is not used."""
    assert too_small(gpu, **changes) == {}


@pytest.mark.parametrize(
    ("gpu", "changes"), [(GpuState(cards=(ADA,)), {}), (GpuState(cards=(CARD,)), {"gpu": "none"})]
)
def test_elsewhere_xformers_may_be_used(gpu: GpuState, changes: dict[str, Any]):
    """It works on cards before Blackwell, and has no effect on the CPU."""
    stack = parse(COMPOSE % ("", "--xformers", ""))
    assert list(flag_findings(configured(**changes), gpu, stack)) == []


@pytest.mark.parametrize("gpu", [GpuState(cards=(ADA,)), GpuState(cards=(CARD,))])
def test_the_stack_of_the_repository_fits_ada_and_blackwell(gpu: GpuState):
    """With the shipped pins and flags; each service that uses the GPU is checked."""
    shipped = pins.load(ROOT / "pins.yml")
    data = runpy.run_path(str(ROOT / "group_data/dhoch3.py"))["dhoch3"]
    stack = StackRenderer("dhoch3", configured(), shipped, Mirror(), data, True).render()
    findings = [
        *card_findings(configured(), gpu),
        *pin_findings(configured(), gpu, shipped, stack.pins_used),
        *flag_findings(configured(), gpu, stack.model),
    ]
    assert problems(*findings) == {}
    named = {finding.name.rpartition(".")[2].replace("_", "-") for finding in findings}
    assert {service.name for service in stack.model.running if service.gpu} <= named
