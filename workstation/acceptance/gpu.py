"""What must hold of the GPU on the host itself; whether services see it is their own check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from workstation.acceptance import evidence
from workstation.findings import HOST, Finding
from workstation.nvidia import cdi
from workstation.nvidia import driver as drivers

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.nvidia import GpuState
    from workstation.nvidia.packages import Packages


def driver_findings(gpu: GpuState, packages: Packages) -> Iterator[Finding]:
    """Yield whether the driver works, is the one that is installed, is there after the next boot
    too, and is described to Docker as it is.

    + gpu, packages: as the run has left them
    """
    said = [*(f"{card.name}, driver {card.driver}" for card in gpu.cards), gpu.error, *gpu.warnings]
    seen = evidence("nvidia-smi", "\n".join(line for line in said if line), gpu.status)
    problem = drivers.trouble(gpu, packages)
    if problem:
        yield Finding("the NVIDIA driver works", False, problem.seen, problem.fix, seen, HOST)
        return
    names = ", ".join(dict.fromkeys(card.name for card in gpu.cards))
    shown = f"{names}, driver {gpu.cards[0].driver}"
    yield Finding("the NVIDIA driver works", True, shown, "", seen, HOST)
    for words in gpu.warnings:
        fix = drivers.warning_fix(words)
        yield Finding("nvidia-smi has no complaint", False, words, fix, seen, HOST, note=True)
    if gpu.module.strip("?") and gpu.nvml:
        yield Finding(
            "the NVIDIA driver that is loaded is the one that is installed",
            gpu.module == gpu.nvml,
            f"{gpu.module} is loaded, its libraries are of {gpu.nvml}",
            "reboot the host; where another library lies about beside the driver's own, remove it "
            "(`ldconfig -p | grep libnvidia-ml`)",
            evidence("cat /sys/module/nvidia/version; ldconfig -p", gpu.module, 0),
            HOST,
            note=True,
        )
    yield from _next_boot(gpu)
    if gpu.next_kernel:
        kernel = gpu.next_kernel
        yield Finding(
            "the kernel of the next boot has the NVIDIA driver",
            False,
            f"{kernel} has no module of it, the running {gpu.running} has",
            f"before the next boot, `apt install linux-modules-nvidia-BRANCH-{kernel}`, or "
            f"`apt install linux-headers-{kernel}`, with which DKMS builds it",
            evidence(f"find /lib/modules/{kernel} -name 'nvidia.ko*'", "nothing"),
            HOST,
            note=True,
        )
    if found := gpu.description:
        old = cdi.outdated(gpu)
        finding = Finding(
            "the GPU is described to Docker as it is",
            not old,
            old or f"{found.path}, driver {', '.join(found.versions) or 'not named'}",
            "run tasks/nvidia.py",
            evidence(f"grep -e libcuda -e path: {found.path}", "\n".join(found.versions)),
            HOST,
        )
        yield replace(finding, fix="") if finding.ok else finding


def _next_boot(gpu: GpuState) -> Iterator[Finding]:
    """Yield whether the next boot loads a module of the version of the driver's libraries.

    It is another one where an upgrade brought the module alone, as of held libraries, or DKMS has
    built one that came otherwise: nothing can use the GPU then.
    """
    loaded, loads = gpu.module.strip("?") or gpu.cards[0].driver, gpu.boot_module
    if not loads:
        return
    yield Finding(
        "the next boot loads the NVIDIA driver that works now",
        loads in (loaded, gpu.nvml),
        f"{gpu.boot_kernel} will load {loads}, and {loaded} works now",
        "before the next boot, bring module and libraries to one version: `apt-mark showhold` and "
        "`apt-cache policy` show what keeps the driver's packages apart, `dkms status` what was "
        f"built; then `modinfo -k {gpu.boot_kernel} -F version nvidia` has the version of "
        "`nvidia-smi`",
        evidence(f"modinfo -k {gpu.boot_kernel} -F version nvidia", loads),
        HOST,
        note=True,
    )
