"""Problems with an NVIDIA driver, what a run does about them, and what only a person can do.

A run never installs over an existing driver. There is one if a kernel module is loaded, whatever
``nvidia-smi`` reports, or if any package or file exists that only a driver has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from workstation.nvidia.packages import (
    branches,
    fits,
    foreign,
    modules,
    of_version,
    parts,
    utilities,
)

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.nvidia import GpuState
    from workstation.nvidia.packages import Packages

Action = Literal["", "install", "complete", "replace", "load", "utilities"]
"""What a run does: ``install`` a driver if there is none; ``complete`` one that has no module for
the running kernel; ``replace`` one of another branch, or the remains of one; ``load`` the module;
install the ``utilities`` of the existing driver, such as nvidia-smi."""

LOG = "`dmesg | grep -i -e NVRM -e Xid`"

ENROLL = (
    "run `mokutil --import {key}` and choose a one-time password, then reboot. On the machine's "
    "own screen (a BMC console works, SSH does not), a blue screen titled "
    '"Perform MOK management" waits ten seconds for a key press: choose Enroll MOK, Continue, '
    "Yes, enter the password, and choose Reboot. Then run again"
)
"""How to make the firmware trust a key of this machine (shim's MokManager)."""

KEYS = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub")
"""Keys with which DKMS signs its modules: on Ubuntu, on Debian (dkms 3, ``prepare_mok``)."""

REFUSALS = (
    "Key was rejected",  # EKEYREJECTED: module.sig_enforce
    "Required key not available",  # ENOKEY
    "Operation not permitted",  # EPERM: kernel_lockdown(7)
    "Key has expired",
    "Key has been revoked",
)
"""modprobe's messages when the kernel rejects a module's signature (errno(3))."""

_REFUSED_LOG = re.compile(r"reject|restricted|unavailable key|unsigned module", re.IGNORECASE)
_MISMATCH = "version mismatch"  # NVML's own words (nvml.h, NVML_ERROR_LIB_RM_VERSION_MISMATCH)
_HUNG = 124
_LOST = re.compile(
    r"is lost|fallen off|requires reset|device handle|exit status 15|Unknown Error|ERR!",
    re.IGNORECASE,
)
_NOTHING = "set GPU to optional or none"


@dataclass(frozen=True)
class Trouble:
    """Why no card can be used: ``seen`` describes the problem, ``fix`` the solution. ``absent``:
    there is no card or no driver, so nothing is broken. ``mismatch``: the kernel module and the
    libraries have different versions."""

    seen: str
    fix: str
    absent: bool = False
    mismatch: bool = False

    def __str__(self) -> str:
        return f"{self.seen}. To fix it: {self.fix}."


def packaged(gpu: GpuState, packages: Packages) -> bool:
    """Return whether the driver that is loaded, or on disk for the running kernel, was installed
    from Ubuntu's packages. Packages left over next to another driver have a different version."""
    version = gpu.cards[0].driver if gpu.cards else gpu.module.strip("?") or gpu.installed
    return not foreign(packages) and bool(modules(packages)) and of_version(version, packages)


def action(branch: str, gpu: GpuState, packages: Packages, required: bool = True) -> Action:
    """Return what a run does about the driver.

    + branch: of ``NVIDIA_DRIVER``, or empty
    + required: whether a GPU is required; an optional one is left as it is

    A driver about which nvidia-smi prints warnings is not replaced: the problem comes first.
    """
    wanted = _action(branch, gpu, packages)
    return wanted if branch or required else ""


def _action(branch: str, gpu: GpuState, packages: Packages) -> Action:
    other = bool(branch) and packaged(gpu, packages)
    other = other and not any(fits(name, branch) for name in modules(packages))
    if gpu.cards:
        return "replace" if other and not (gpu.status or gpu.warnings) else ""
    if gpu.hangs or _loaded(gpu):
        return "utilities" if gpu.status is None and utilities(packages) else ""
    if not _free(gpu):
        return ""
    if gpu.installed:
        if other:
            return "replace"
        return "" if _refused(gpu) else "load"
    if not branch or foreign(packages) or _unpackaged(gpu, packages):
        return ""
    found = parts(packages)
    if not all(fits(name, branch) for name in found):
        return "replace"
    return "complete" if found else "install"


def _unpackaged(gpu: GpuState, packages: Packages) -> str:
    """Return a part of a driver that was not installed from packages, but from NVIDIA's ``.run``
    file or with the machine's image; empty if none. Installing over it would mix the two."""
    if foreign(packages):
        return ""
    if gpu.nvml and not of_version(gpu.nvml, packages):
        return f"the library libnvidia-ml.so.{gpu.nvml}"
    return f"a module for {gpu.kernels[-1]}" if gpu.kernels and not parts(packages) else ""


def trouble(gpu: GpuState, packages: Packages) -> Trouble | None:
    """Return why no card can be used, and the fix; None if one can be used."""
    if gpu.cards:
        return None
    if gpu.hangs:
        return Trouble(
            f"{gpu.error}: the card or its driver hangs",
            f"see {LOG} and reboot the machine; if that does not help, power it off",
        )
    return _with_module(gpu, packages) if _loaded(gpu) else _without_module(gpu, packages)


def load_advice(said: str) -> str:
    """Return advice for when the kernel module cannot be loaded, or does not work.

    + said: the output of ``files/nvidia/load.sh``, including the messages of modprobe (kmod's, and
      those of errno(3)), nvidia-smi and the kernel
    """
    if said.startswith("nvidia-smi fails"):
        if f"exit status {_HUNG}" in said:
            return (
                f"nvidia-smi does not answer: the card or its driver hangs. See {LOG} and reboot "
                "the machine; if that does not help, power it off."
            )
        if _MISMATCH in said:
            return (
                "The driver was replaced while its old module was loaded: reboot this host, then "
                "run again."
            )
        return (
            "The kernel module is loaded, but nvidia-smi fails: reboot this host, then run again; "
            f"if you already did, {LOG} shows the reason."
        )
    if any(words in said for words in REFUSALS):
        key = next((one for one in KEYS if one in said), KEYS[0])
        return (
            "The kernel rejects the module, because it is not signed with a trusted key (Secure "
            f"Boot): {ENROLL.format(key=key)}. Or turn off Secure Boot in the firmware."
        )
    if "not found in directory" in said:
        return (
            "There is no module for the running kernel: `dkms status` and "
            "/var/lib/dkms/nvidia/*/build/make.log show whether and why DKMS failed to build it. "
            "If the kernel was upgraded, reboot this host; then run again."
        )
    if re.search(
        r"Exec format|Invalid module format|Unknown symbol|Invalid argument|Bad message|corrupted",
        said,
    ):
        return (
            "The module was built for another kernel, or is damaged: if the kernel was upgraded, "
            "reboot this host; otherwise rebuild the module with `dkms autoinstall --force`. Then "
            "run again."
        )
    if "nouveau holds the card" in said:
        return (
            "nouveau holds the card: reboot this host, then run again; if nouveau is loaded again "
            "after the reboot, run `update-initramfs -u` and reboot again."
        )
    if "No such device" in said:
        return (
            "The driver finds no card that it supports; any messages of the kernel are above. "
            "Blackwell cards need a branch that ends in -open, cards before Turing one that does "
            "not."
        )
    return (
        "The module cannot be loaded; modprobe's message is above. Reboot this host, then run "
        f"again; if you already did, {LOG} shows the reason."
    )


def warning_fix(words: str) -> str:
    """Return the fix for a warning that nvidia-smi prints while cards work."""
    if _LOST.search(words):
        return f"see {LOG} and reboot the machine; if that does not help, power it off"
    if "inforom" in words.lower():
        return (
            "the card works; if the warning remains after a power-off, the card's vendor can "
            "restore the infoROM"
        )
    return f"see `nvidia-smi -q` and {LOG}"


def _loaded(gpu: GpuState) -> bool:
    """Whether a kernel module is loaded, as found or as reported by NVML's version mismatch."""
    return bool(gpu.module) or _MISMATCH in gpu.error


def _with_module(gpu: GpuState, packages: Packages) -> Trouble:
    said = " ".join((gpu.error, *gpu.warnings))
    version = gpu.module.strip("?")
    module = version or "of unknown version"
    shown = f"the driver {module} is loaded, but nvidia-smi reports: {gpu.error}"
    if _MISMATCH in said or (gpu.status and gpu.nvml and version not in ("", gpu.nvml)):
        return Trouble(
            f"{version or 'another version'} is loaded, but nvidia-smi and its library have "
            f"{f'version {gpu.nvml}' if gpu.nvml else 'a different version'}"
            + (f" ({gpu.error})" if gpu.error else ""),
            _one_version(gpu),
            mismatch=True,
        )
    if gpu.status is None:
        wanted = utilities(packages) or f"nvidia-utils-{gpu.module.partition('.')[0]}"
        return Trouble(
            f"the driver {module} is loaded, but nvidia-smi is not installed",
            f"install nvidia-smi of the same version (on Ubuntu, the package {wanted})",
        )
    if gpu.status == 12:
        return Trouble(
            shown,
            "install the driver's libraries of the same version (on Ubuntu, the package "
            f"libnvidia-compute-{gpu.module.partition('.')[0]}), or run `ldconfig`",
        )
    if gpu.status == 8 or "External Power" in said:
        return Trouble(shown, "power off the machine and attach the card's power cables")
    if gpu.status == 4 or "Insufficient Permissions" in said:
        return Trouble(shown, "see `ls -l /dev/nvidia*`; root must be allowed to open these files")
    if gpu.status in (10, 14, 15) or _LOST.search(said):
        return Trouble(
            shown,
            f"see {LOG} and reboot the machine; if the card does not come back, power off and "
            "check that the card and its power cables are firmly seated. Another driver would not "
            "help",
        )
    if gpu.status == 6 or "no devices" in said.lower():
        return _no_devices(gpu, shown)
    return Trouble(
        shown, f"see {LOG} and reboot the machine; a run installs nothing over a loaded driver"
    )


def _one_version(gpu: GpuState) -> str:
    """Return the fix for a module and libraries that differ: a reboot, if that loads a matching
    module."""
    kernel, loads = gpu.boot_kernel, gpu.boot_module
    if not gpu.nvml or loads in ("", gpu.nvml):
        return "reboot the host: its driver was upgraded while the old module was loaded"
    return (
        f"a reboot alone does not help, because {kernel} would load {loads}: install the "
        f"{gpu.nvml} module for it (`apt-cache policy linux-modules-nvidia-BRANCH-{kernel}`, "
        f"`dkms status`), or the {loads} libraries (`apt-mark showhold`), then reboot"
    )


def _no_devices(gpu: GpuState, shown: str) -> Trouble:
    if not gpu.pci:
        return Trouble(f"{shown}; this machine has no NVIDIA card", _plug_in(), absent=True)
    if not _free(gpu):
        return _passed_through(gpu)
    log = f" (the kernel reports: {gpu.kernel_log[-1]})" if gpu.kernel_log else ""
    return Trouble(
        shown + log,
        "the loaded driver does not support this card: remove it, reboot, and set NVIDIA_DRIVER to "
        "a branch that does. Blackwell cards need one that ends in -open, cards before Turing one "
        f"that does not, and cards before Maxwell need 470 or older; see {LOG}",
    )


def _without_module(gpu: GpuState, packages: Packages) -> Trouble:
    if not gpu.pci and not gpu.installed:
        return Trouble("there is no NVIDIA card in this machine", _plug_in(), absent=True)
    if not _free(gpu):
        return _passed_through(gpu)
    said = f" (nvidia-smi reports: {gpu.error})" if gpu.error else ""
    if gpu.installed:
        if _refused(gpu):
            return Trouble(
                f"the driver {gpu.installed} is installed, but the kernel rejects its module, "
                f"because it is not signed with a trusted key (Secure Boot){_last_words(gpu)}",
                _signing(gpu),
            )
        if "nouveau" in gpu.bound:
            return Trouble(
                f"the driver {gpu.installed} is installed, but nouveau holds the card",
                "reboot the host; if nouveau is loaded again after the reboot, its blacklist is "
                "missing from the initramfs: run `update-initramfs -u` and reboot again",
            )
        return Trouble(
            f"the driver {gpu.installed} is installed, but its kernel module is not loaded{said}",
            f"run `modprobe nvidia` on the host; its output and {LOG} show the reason",
        )
    kernels, latest = ", ".join(gpu.kernels), gpu.kernels[-1:]
    only = f", only for {kernels}" if kernels else ""
    lacks = f"no module for the running kernel {gpu.running}{only}"
    reboot = "".join(f"; or reboot into {kernel}" for kernel in latest)
    if found := [*branches(packages), *foreign(packages), *modules(packages)]:
        return Trouble(
            f"{found[0]} is installed, but has {lacks}",
            "install a module for it: `apt install linux-headers-$(uname -r)` lets DKMS build one "
            "(`dkms status`), and `apt install linux-modules-nvidia-BRANCH-$(uname -r)` installs "
            f"Ubuntu's{reboot}",
        )
    if unpackaged := _unpackaged(gpu, packages):
        return Trouble(
            f"a driver that was not installed from packages ({unpackaged}) has {lacks}{said}",
            "run its installer again to build the module, or remove it (`nvidia-uninstall`) and "
            "set NVIDIA_DRIVER to a branch such as 580-open to install Ubuntu's; a run installs "
            f"nothing over it{reboot}",
        )
    if found := parts(packages):
        return Trouble(
            f"parts of a driver ({' and '.join(found)}) are installed without its kernel module"
            f"{said}",
            "set NVIDIA_DRIVER to their branch to complete the driver, or to another branch to "
            "replace it; the plan names every package that will be removed",
        )
    return Trouble(
        f"no NVIDIA driver is installed{said}",
        "set NVIDIA_DRIVER to a branch such as 580-open to install one, or set GPU to optional or "
        "none",
        absent=True,
    )


def _free(gpu: GpuState) -> bool:
    """Whether there is a card that is not reserved for virtual machines."""
    if not gpu.pci:
        return bool(gpu.installed)
    return len(gpu.bound) < len(gpu.pci) or any(name != "vfio-pci" for name in gpu.bound)


def _passed_through(gpu: GpuState) -> Trouble:
    return Trouble(
        f"card {', '.join(dict.fromkeys(gpu.pci))} is bound to vfio-pci, which reserves it for "
        "virtual machines",
        "remove its ID from the options of vfio-pci (/etc/modprobe.d, the kernel command line) and "
        f"reboot, or {_NOTHING}",
        absent=True,
    )


def _plug_in() -> str:
    return (
        "check that the card is seated, powered, and enabled in the firmware, or passed to the "
        f"virtual machine (`lspci -d 10de:` lists it); or {_NOTHING}"
    )


def _refused(gpu: GpuState) -> bool:
    """Whether, as far as is known, the kernel rejects the installed module's signature."""
    if any(_REFUSED_LOG.search(line) for line in gpu.kernel_log):
        return True
    return gpu.signed_only and any("not enrolled" in said for _, said in gpu.keys)


def _last_words(gpu: GpuState) -> str:
    words = [line for line in gpu.kernel_log if _REFUSED_LOG.search(line)]
    return f"; the kernel reports: {words[-1]}" if words else ""


def _signing(gpu: GpuState) -> str:
    """Return the fix for a module whose signature the kernel does not trust."""
    otherwise = (
        ". Or use Ubuntu's signed modules (`apt install linux-modules-nvidia-BRANCH-$(uname -r)`), "
        "or turn off Secure Boot in the firmware"
    )
    key, said = gpu.keys[0] if gpu.keys else (KEYS[0], "")
    if "enrollment request" in said:
        return (
            f"the key {key} is waiting to be enrolled: reboot, and within ten seconds answer the "
            'blue screen titled "Perform MOK management" on the machine\'s own screen (SSH does '
            "not show it): Enroll MOK, Continue, Yes, and the password given to `mokutil --import`"
            + otherwise
        )
    if "already" in said:
        return (
            f"the key {key} is enrolled, so the module must be signed with another one: `modinfo "
            "-F signer nvidia` shows which; `dkms remove` and `dkms install` rebuild and sign it"
            + otherwise
        )
    if not gpu.keys:
        return (
            "this machine has no key of its own to sign modules: create one with "
            "`update-secureboot-policy --new-key` on Ubuntu or `dkms generate_mok` on Debian, sign "
            f"the module again, then {ENROLL.format(key=key)}{otherwise}"
        )
    return ENROLL.format(key=key) + otherwise
