"""Checks of the GPU on the host itself; whether services see it is checked for each service."""

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
    """Yield whether the driver works, is the installed one, will work after the next boot, and is
    described correctly to Docker (CDI).

    + gpu, packages: their state at the end of the run
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
        yield Finding("nvidia-smi prints no warnings", False, words, fix, seen, HOST, note=True)
    if gpu.module.strip("?") and gpu.nvml:
        yield Finding(
            "the loaded NVIDIA driver is the installed one",
            gpu.module == gpu.nvml,
            f"{gpu.module} is loaded, and its libraries have version {gpu.nvml}",
            "reboot the host; if another copy of the library is installed next to the driver's "
            "own, remove it (`ldconfig -p | grep libnvidia-ml`)",
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
            f"{kernel} has no module for it, although the running {gpu.running} has one",
            f"before the next boot, run `apt install linux-modules-nvidia-BRANCH-{kernel}`, or "
            f"`apt install linux-headers-{kernel}` to let DKMS build the module",
            evidence(f"find /lib/modules/{kernel} -name 'nvidia.ko*'", "nothing"),
            HOST,
            note=True,
        )
    if found := gpu.description:
        old = cdi.outdated(gpu)
        finding = Finding(
            "Docker's description of the GPU is up to date",
            not old,
            old or f"{found.path}, driver {', '.join(found.versions) or 'not named'}",
            "run tasks/nvidia.py",
            evidence(f"grep -e libcuda -e path: {found.path}", "\n".join(found.versions)),
            HOST,
        )
        yield replace(finding, fix="") if finding.ok else finding


def _next_boot(gpu: GpuState) -> Iterator[Finding]:
    """Yield whether the next boot loads a module of the same version as the driver's libraries.

    The versions differ if an upgrade brought only the module, for example because the libraries are
    held, or if DKMS built a module from another source. Then nothing can use the GPU.
    """
    loaded, loads = gpu.module.strip("?") or gpu.cards[0].driver, gpu.boot_module
    if not loads:
        return
    yield Finding(
        "the next boot loads the NVIDIA driver that works now",
        loads in (loaded, gpu.nvml),
        f"{gpu.boot_kernel} will load {loads}; {loaded} works now",
        "before the next boot, bring the module and libraries to the same version: `apt-mark "
        "showhold` and `apt-cache policy` show why the driver's packages differ, `dkms status` "
        "shows which modules were built; when it is fixed, "
        f"`modinfo -k {gpu.boot_kernel} -F version nvidia` shows the same version as `nvidia-smi`",
        evidence(f"modinfo -k {gpu.boot_kernel} -F version nvidia", loads),
        HOST,
        note=True,
    )
