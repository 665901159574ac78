"""NVIDIA's rules: which chip a card has, which cards a build runs on, which driver it needs.

Compute capabilities and driver versions are tuples of numbers, such as ``(12, 0)``; an empty one is
unknown and passes every check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workstation.version import Version, version

if TYPE_CHECKING:  # what the fact returns; this module itself needs no pyinfra
    from workstation.facts.nvidia import GpuState

BLACKWELL = (10,)
BLACKWELL_DRIVER = "570"
"""Blackwell came with CUDA 12.8, whose driver is 570.26 (CUDA 12.8 release notes, table 3)."""

# First compute capability of a family (developer.nvidia.com/cuda-gpus).
_FAMILIES: tuple[tuple[Version, str], ...] = (
    ((), "unknown"),
    ((0,), "Kepler or older"),
    ((5,), "Maxwell"),
    ((6,), "Pascal"),
    ((7,), "Volta"),
    ((7, 5), "Turing"),
    ((8,), "Ampere"),
    ((8, 9), "Ada"),
    ((9,), "Hopper"),
    (BLACKWELL, "Blackwell"),
    ((13,), "unknown"),
)

# First device ID -> lowest compute capability of the chips from there on. Source: pci.ids of
# 2026-10-24 (Debian package pci.ids), whose IDs of audio devices and bridges do not matter here.
_CHIPS: tuple[tuple[int, Version], ...] = (
    (0x0000, (0,)),
    (0x1340, (5, 0)),  # GM10x, GM20x
    (0x15C0, (6, 0)),  # GP100
    (0x1600, (5, 2)),  # GM20x
    (0x1720, (6, 0)),  # GP100
    (0x1740, (5, 0)),  # GM10x, GM20x
    (0x1B00, (6, 1)),  # GP10x
    (0x1D80, (7, 0)),  # GV100
    (0x1E00, (7, 5)),  # TU10x, TU117
    (0x2080, (8, 0)),  # GA100
    (0x2180, (7, 5)),  # TU116
    (0x2200, (8, 6)),  # GA10x
    (0x2300, (9, 0)),  # GH100
    (0x2400, (8, 6)),  # GA10x
    (0x2680, (8, 9)),  # AD10x
    (0x2900, (10, 0)),  # GB100, GB102
    (0x2B00, ()),  # Thor, which is not a card
    (0x2B80, (12, 0)),  # GB20x
    (0x2F90, ()),
    (0x3180, (10, 3)),  # GB110: B300, GB300
    (0x3200, ()),  # unknown
)

# First CUDA version -> oldest driver under minor-version compatibility.
_DRIVERS: tuple[tuple[Version, str], ...] = (
    ((11,), "450.80.02"),
    ((12,), "525.60.13"),
    ((13,), "580"),
)


@dataclass(frozen=True)
class Device:
    """A card: its name, and its compute capability (from the PCI ID, the chip's lowest)."""

    name: str
    compute: Version

    @property
    def family(self) -> str:
        return family(self.compute)

    @property
    def blackwell(self) -> bool:
        """Whether it is a Blackwell card or a later one."""
        return self.compute >= BLACKWELL

    def __str__(self) -> str:
        return f"{self.name} ({self.family})"


def family(compute: Version) -> str:
    """Return the name of NVIDIA's architecture, such as ``Ada``, or ``unknown``."""
    return [name for first, name in _FAMILIES if first <= compute][-1]


def by_pci_id(pci: str) -> Version:
    """Return the lowest compute capability of a chip by its PCI ID (``10de:2bb1``)."""
    device = int(pci.partition(":")[2], 16)
    return [compute for first, compute in _CHIPS if first <= device][-1]


def devices(state: GpuState) -> tuple[Device, ...]:
    """Return the cards, each kind once: as the driver reports them, or else by their PCI IDs.

    The driver's report is ignored if it is too old to include compute capabilities. Cards reserved
    for virtual machines (vfio-pci) do not count.
    """
    if state.cards and all(version(card.compute_capability) for card in state.cards):
        found = [Device(card.name, version(card.compute_capability)) for card in state.cards]
    else:
        kept = {number for number, bound in enumerate(state.bound) if bound == "vfio-pci"}
        found = [
            Device(f"card {pci}", by_pci_id(pci))
            for number, pci in enumerate(state.pci)
            if number not in kept
        ]
    return tuple(dict.fromkeys(found))


def runs_on(span: str, compute: Version) -> bool:
    """Whether a build for a span of compute capabilities (``7.5-12.0``) runs on ``compute``.

    Machine code runs on its own and later minor versions, but not on the next major version, so
    12.0 runs on 12.1 (CUDA C++ Programming Guide, "Binary Compatibility").
    """
    low, high = (version(end) for end in span.split("-"))
    return not compute or low <= compute < (high[0] + 1,)


def families_of(span: str) -> str:
    """Return ``Turing (7.5) to Blackwell (12.0)`` for ``7.5-12.0``."""
    return " to ".join(f"{family(version(end))} ({end})" for end in span.split("-"))


def oldest_driver(cuda: str) -> str:
    """Return the oldest driver on which a program for a CUDA version, such as ``12.8``, runs.

    Any driver for the same major version of CUDA is enough (CUDA Compatibility, "Minor Version
    Compatibility"; exact versions: CUDA release notes, table 2): 525.60.13 for CUDA 12.x, 580 for
    13.x. To use all features, the toolkit's own driver is needed: 570 for CUDA 12.8. Newer drivers
    also run programs for older versions.
    """
    return [driver for first, driver in _DRIVERS if first <= version(cuda)][-1]


def suffices(driver: str, oldest: str) -> bool:
    """Whether a driver's version, or the newest of a branch (``580-open``), is new enough."""
    found = version(driver)
    return found >= version(oldest)[: len(found)]


def is_open(branch: str) -> bool:
    """Whether a branch has the open kernel modules.

    They support Turing and later cards, and only they support Blackwell (NVIDIA Linux driver
    README, "Open Linux Kernel Modules").
    """
    return branch.endswith("-open")
