"""What is wrong with an NVIDIA driver, what a run may do about it, and what only a person can.

A driver that is there is never installed over: a loaded kernel module means that there is one,
whatever ``nvidia-smi`` says of it, and so does any package or file that only a driver has.
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
"""What a run does: ``install`` a driver where there is none; ``complete`` one that has no kernel
module for the running kernel; ``replace`` one of another branch, or what there is of one; ``load``
the module; install the ``utilities``, nvidia-smi among them, of the driver that is there."""

LOG = "`dmesg | grep -i -e NVRM -e Xid`"

ENROLL = (
    "run `mokutil --import {key}` and choose a password for this one time, then reboot. At the "
    "machine's own screen (a console of its BMC will do, SSH will not) a blue screen, "
    '"Perform MOK management", waits ten seconds for a key press: choose Enroll MOK, Continue, '
    "Yes, type that password, and Reboot. Then run again"
)
"""How a key of this machine comes to be trusted (shim's MokManager)."""

KEYS = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub")
"""With which DKMS signs what it builds: on Ubuntu, on Debian (dkms 3, ``prepare_mok``)."""

REFUSALS = (
    "Key was rejected",  # EKEYREJECTED: module.sig_enforce
    "Required key not available",  # ENOKEY
    "Operation not permitted",  # EPERM: kernel_lockdown(7)
    "Key has expired",
    "Key has been revoked",
)
"""What modprobe says of a module whose signature the kernel does not take (errno(3))."""

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
    """What stands between a card and those who would use it: what was ``seen``, and the ``fix``.
    ``absent``: there is no card, or no driver, so that nothing of it is broken."""

    seen: str
    fix: str
    absent: bool = False
    mismatch: bool = False

    def __str__(self) -> str:
        return f"{self.seen}. To fix it: {self.fix}."


def packaged(gpu: GpuState, packages: Packages) -> bool:
    """Return whether the driver that is loaded, or on the disk for the running kernel, came as
    Ubuntu's packages. Where others lie about beside one that came otherwise, versions differ."""
    version = gpu.cards[0].driver if gpu.cards else gpu.module.strip("?") or gpu.installed
    return not foreign(packages) and bool(modules(packages)) and of_version(version, packages)


def action(branch: str, gpu: GpuState, packages: Packages, required: bool = True) -> Action:
    """Return what a run does about the driver.

    + branch: of ``NVIDIA_DRIVER``, or empty
    + required: whether a GPU is; one that nobody asks for is left as it is

    One that nvidia-smi complains of is not replaced: what is wrong comes first.
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
    """Return what is there of a driver that did not come as packages: of NVIDIA's ``.run`` file, or
    of the machine's image. Installing over it would mix the two."""
    if foreign(packages):
        return ""
    if gpu.nvml and not of_version(gpu.nvml, packages):
        return f"the library libnvidia-ml.so.{gpu.nvml}"
    return f"a module for {gpu.kernels[-1]}" if gpu.kernels and not parts(packages) else ""


def trouble(gpu: GpuState, packages: Packages) -> Trouble | None:
    """Return why the host offers no card, and the way out; None if it offers one."""
    if gpu.cards:
        return None
    if gpu.hangs:
        return Trouble(
            f"{gpu.error}: the card or its driver hangs",
            f"see {LOG}, reboot the machine, and power it off if that does not help",
        )
    return _with_module(gpu, packages) if _loaded(gpu) else _without_module(gpu, packages)


def load_advice(said: str) -> str:
    """Return the way out where the kernel module cannot be loaded, or does not work.

    + said: what ``files/nvidia/load.sh`` printed, with the words of modprobe (kmod's, and
      those of errno(3)), of nvidia-smi and of the kernel
    """
    if said.startswith("nvidia-smi fails"):
        if f"exit status {_HUNG}" in said:
            return (
                "nvidia-smi does not answer: the card or its driver hangs. See "
                f"{LOG}, reboot the machine, and power it off if that does not help."
            )
        if _MISMATCH in said:
            return (
                "The driver was replaced under the running kernel: reboot this host, then run "
                "again."
            )
        return (
            "The kernel module is loaded, and nvidia-smi fails: reboot this host, then run again; "
            f"if that was done already, {LOG} names the reason."
        )
    if any(words in said for words in REFUSALS):
        key = next((one for one in KEYS if one in said), KEYS[0])
        return (
            "The kernel refuses the module, which must be signed by a key that it trusts (Secure "
            f"Boot): {ENROLL.format(key=key)}. Or turn Secure Boot off in the firmware."
        )
    if "not found in directory" in said:
        return (
            "There is no module for the running kernel: `dkms status` and "
            "/var/lib/dkms/nvidia/*/build/make.log say whether and why DKMS could not build it. "
            "Where the kernel was upgraded, reboot this host; then run again."
        )
    if re.search(
        r"Exec format|Invalid module format|Unknown symbol|Invalid argument|Bad message|corrupted",
        said,
    ):
        return (
            "The module was built for another kernel than the running one, or is damaged: where "
            "the kernel was upgraded, reboot this host, else build the module again with `dkms "
            "autoinstall --force`; then run again."
        )
    if "nouveau holds the card" in said:
        return (
            "nouveau holds the card: reboot this host, then run again; where nouveau is back after "
            "a reboot, run `update-initramfs -u` and reboot again."
        )
    if "No such device" in said:
        return (
            "The driver finds no card that it drives; the kernel's own words, if any, stand above. "
            "Blackwell needs a branch that ends in -open, cards before Turing one that does not."
        )
    return (
        "The module cannot be loaded, modprobe's own words stand above: reboot this host, then run "
        f"again; if that was done already, {LOG} names the reason."
    )


def warning_fix(words: str) -> str:
    """Return what to do about a warning of nvidia-smi's beside cards that work."""
    if _LOST.search(words):
        return f"see {LOG}, and reboot the machine; power it off if that does not help"
    if "inforom" in words.lower():
        return (
            "the card works; if power-off does not end the warning, its vendor can restore the "
            "infoROM"
        )
    return f"see `nvidia-smi -q` and {LOG}"


def _loaded(gpu: GpuState) -> bool:
    """Whether a kernel module is loaded; NVML may know of one that it finds of another version."""
    return bool(gpu.module) or _MISMATCH in gpu.error


def _with_module(gpu: GpuState, packages: Packages) -> Trouble:
    said = " ".join((gpu.error, *gpu.warnings))
    version = gpu.module.strip("?")
    module = version or "of unknown version"
    shown = f"the driver {module} is loaded, and nvidia-smi says: {gpu.error}"
    if _MISMATCH in said or (gpu.status and gpu.nvml and version not in ("", gpu.nvml)):
        return Trouble(
            f"{version or 'another version'} is loaded, nvidia-smi and its library are of "
            f"{gpu.nvml or 'another'}" + (f" ({gpu.error})" if gpu.error else ""),
            _one_version(gpu),
            mismatch=True,
        )
    if gpu.status is None:
        wanted = utilities(packages) or f"nvidia-utils-{gpu.module.partition('.')[0]}"
        return Trouble(
            f"the driver {module} is loaded, and nvidia-smi is not installed",
            f"install nvidia-smi of the same version, on Ubuntu the package {wanted}",
        )
    if gpu.status == 12:
        return Trouble(
            shown,
            f"install the driver's libraries of the same version, on Ubuntu the package "
            f"libnvidia-compute-{gpu.module.partition('.')[0]}, or run `ldconfig`",
        )
    if gpu.status == 8 or "External Power" in said:
        return Trouble(shown, "power the machine off and attach the card's power cables")
    if gpu.status == 4 or "Insufficient Permissions" in said:
        return Trouble(shown, "see `ls -l /dev/nvidia*`: root must be allowed to open them")
    if gpu.status in (10, 14, 15) or _LOST.search(said):
        return Trouble(
            shown,
            f"see {LOG}, and reboot the machine; if the card does not come back, power it off and "
            "check its seat and its power cables. Another driver would not help",
        )
    if gpu.status == 6 or "no devices" in said.lower():
        return _no_devices(gpu, shown)
    return Trouble(
        shown, f"see {LOG}, and reboot the machine; nothing is installed over a loaded driver"
    )


def _one_version(gpu: GpuState) -> str:
    """Return the way out where module and libraries differ: a reboot, if that loads another one."""
    kernel, loads = gpu.boot_kernel, gpu.boot_module
    if not gpu.nvml or loads in ("", gpu.nvml):
        return "reboot the host: its driver was upgraded under the running kernel"
    return (
        f"a reboot alone does not help, {kernel} would load {loads}: install the module of "
        f"{gpu.nvml} for it (`apt-cache policy linux-modules-nvidia-BRANCH-{kernel}`, "
        f"`dkms status`), or the libraries of {loads} (`apt-mark showhold`), then reboot"
    )


def _no_devices(gpu: GpuState, shown: str) -> Trouble:
    if not gpu.pci:
        return Trouble(f"{shown}; the machine has no NVIDIA card", _plug_in(), absent=True)
    if not _free(gpu):
        return _passed_through(gpu)
    log = f" (the kernel says: {gpu.kernel_log[-1]})" if gpu.kernel_log else ""
    return Trouble(
        shown + log,
        "the loaded driver does not drive this card: remove it, reboot, and set NVIDIA_DRIVER to a "
        "branch that does. Blackwell needs one that ends in -open, cards before Turing one that "
        f"does not, and those before Maxwell 470 or older; see {LOG}",
    )


def _without_module(gpu: GpuState, packages: Packages) -> Trouble:
    if not gpu.pci and not gpu.installed:
        return Trouble("there is no NVIDIA card in this machine", _plug_in(), absent=True)
    if not _free(gpu):
        return _passed_through(gpu)
    said = f" (nvidia-smi says: {gpu.error})" if gpu.error else ""
    if gpu.installed:
        if _refused(gpu):
            return Trouble(
                f"the driver {gpu.installed} is installed, and the kernel refuses its module, "
                f"which must be signed by a key that it trusts (Secure Boot){_last_words(gpu)}",
                _signing(gpu),
            )
        if "nouveau" in gpu.bound:
            return Trouble(
                f"the driver {gpu.installed} is installed, and nouveau holds the card",
                "reboot the host; where nouveau is back after a reboot, its blacklist is not in "
                "the initramfs: run `update-initramfs -u` and reboot again",
            )
        return Trouble(
            f"the driver {gpu.installed} is installed, and its kernel module is not loaded{said}",
            f"run `modprobe nvidia` on the host; what it says, and {LOG}, name the reason",
        )
    kernels, latest = ", ".join(gpu.kernels), gpu.kernels[-1:]
    only = f", only for {kernels}" if kernels else ""
    lacks = f"no module for the running kernel {gpu.running}{only}"
    reboot = "".join(f"; or reboot into {kernel}" for kernel in latest)
    if found := [*branches(packages), *foreign(packages), *modules(packages)]:
        return Trouble(
            f"{found[0]} is installed, and has {lacks}",
            "install the module for it: `apt install linux-headers-$(uname -r)` lets DKMS build "
            "one (`dkms status`), `apt install linux-modules-nvidia-BRANCH-$(uname -r)` has "
            f"Ubuntu's{reboot}",
        )
    if unpackaged := _unpackaged(gpu, packages):
        return Trouble(
            f"a driver that did not come as packages is installed ({unpackaged}), and has {lacks}"
            f"{said}",
            "run its installer again, which builds the module, or remove it (`nvidia-uninstall`) "
            "and set NVIDIA_DRIVER to a branch such as 580-open to have Ubuntu's; a run installs "
            f"nothing over it{reboot}",
        )
    if found := parts(packages):
        return Trouble(
            f"{' and '.join(found)}, of a driver, are installed without its kernel module{said}",
            "set NVIDIA_DRIVER to their branch to have the driver completed, or to another one to "
            "have it replaced; the plan names each package that is removed",
        )
    return Trouble(
        f"no NVIDIA driver is installed{said}",
        "set NVIDIA_DRIVER to a branch such as 580-open to have one installed, or GPU to optional "
        "or none",
        absent=True,
    )


def _free(gpu: GpuState) -> bool:
    """Whether there is a card that is not kept for virtual machines."""
    if not gpu.pci:
        return bool(gpu.installed)
    return len(gpu.bound) < len(gpu.pci) or any(name != "vfio-pci" for name in gpu.bound)


def _passed_through(gpu: GpuState) -> Trouble:
    return Trouble(
        f"card {', '.join(dict.fromkeys(gpu.pci))} is bound to vfio-pci, which keeps it for "
        "virtual machines",
        "take its id out of the options of vfio-pci (/etc/modprobe.d, the kernel command line) and "
        f"reboot, or {_NOTHING}",
        absent=True,
    )


def _plug_in() -> str:
    return (
        "see that the card is in its slot, has power, and is enabled in the firmware, and that a "
        f"virtual machine is given it (`lspci -d 10de:` lists it); or {_NOTHING}"
    )


def _refused(gpu: GpuState) -> bool:
    """Whether the kernel refuses the installed module for its signature, as far as is known."""
    if any(_REFUSED_LOG.search(line) for line in gpu.kernel_log):
        return True
    return gpu.signed_only and any("not enrolled" in said for _, said in gpu.keys)


def _last_words(gpu: GpuState) -> str:
    words = [line for line in gpu.kernel_log if _REFUSED_LOG.search(line)]
    return f"; the kernel says: {words[-1]}" if words else ""


def _signing(gpu: GpuState) -> str:
    """Return the way out where the kernel does not trust a module's signature."""
    otherwise = (
        ". Or use Ubuntu's signed modules, `apt install linux-modules-nvidia-BRANCH-$(uname -r)`, "
        "or turn Secure Boot off in the firmware"
    )
    key, said = gpu.keys[0] if gpu.keys else (KEYS[0], "")
    if "enrollment request" in said:
        return (
            f"the key {key} waits to be enrolled: reboot, and answer the blue screen, "
            '"Perform MOK management", at the machine\'s own screen within ten seconds (SSH does '
            "not show it): Enroll MOK, Continue, Yes, and the password given to `mokutil --import`"
            + otherwise
        )
    if "already" in said:
        return (
            f"the key {key} is enrolled, so the module is not signed with it: `modinfo -F signer "
            "nvidia` shows by whom; `dkms remove` and `dkms install` build and sign it again"
            + otherwise
        )
    if not gpu.keys:
        return (
            "this machine has no key of its own to sign modules with: "
            "`update-secureboot-policy --new-key` makes one on Ubuntu, `dkms generate_mok` on "
            f"Debian; sign the module again, then {ENROLL.format(key=key)}{otherwise}"
        )
    return ENROLL.format(key=key) + otherwise
