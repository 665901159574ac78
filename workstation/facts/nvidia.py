"""NVIDIA on the host: cards, driver, Container Toolkit, CDI devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question
from workstation.nvidia.smi import row

PATIENCE = 60
"""Seconds that one NVIDIA program may take; without nvidia-persistenced each call initializes the
driver, which takes seconds per card."""

QUERY = "name,compute_cap,driver_version,memory.total,uuid"
# nvidia-smi of branch 470 does not know compute_cap and rejects the whole query.
OLD_QUERY = "name,driver_version,memory.total,uuid"

HUNG = 124
"""Exit status that stands for a program that did not answer in time."""

_MEANINGS = {
    2: "an argument is not valid",
    3: "the operation is not available on this card",
    4: "no permission",
    6: "no card was found",
    8: "a card's power cables are not attached",
    9: "the driver is not loaded",
    10: "the kernel has an interrupt issue with a card",
    12: "the library libnvidia-ml is missing",
    13: "the library libnvidia-ml is too old",
    14: "an infoROM is corrupted",
    15: "a card has fallen off the bus",
}
"""Exit status of nvidia-smi -> what it means (nvidia-smi(1), "RETURN VALUE")."""


@dataclass(frozen=True)
class Card:
    """One GPU as reported by ``nvidia-smi``; ``memory`` in MiB.

    ``compute_capability`` is empty if the driver is too old to report it.
    """

    name: str
    compute_capability: str
    driver: str
    memory: int
    uuid: str


@dataclass(frozen=True)
class Description:
    """A CDI file that describes NVIDIA GPUs. ``names``: of its devices; ``versions``: of the driver
    whose libraries it names; ``missing``: files that it names but that do not exist."""

    path: str
    names: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """If two files describe a device, the higher rank counts (CDI specification: the later
        folder; Docker lists /etc/cdi first)."""
        return 0 if self.path.startswith("/etc/") else 1


@dataclass(frozen=True)
class GpuState:
    """The state of NVIDIA's cards and software on a host.

    ``cards``: those that a working driver offers; ``error``: why there are none, as worded by
    ``nvidia-smi``; ``warnings``: what else it prints besides the cards; ``status``: its exit
    status, None if it is not installed. ``pci``: PCI ids of NVIDIA display devices
    (``10de:2bb1``), with or without a driver; ``bound``: the kernel driver of each, or empty.

    ``module``: version of the loaded kernel module, ``?`` if unknown; ``nvml``: version of the
    library that ``nvidia-smi`` uses; ``installed``: version of the module on disk for the running
    kernel; ``boot_kernel``, ``boot_module``: the kernel that boots next, and the version that it
    will load; ``next_kernel``: the same kernel, if it has no module but the running one does.
    ``signed_only``: the kernel only loads signed modules. If no module is loaded: ``kernels`` that
    have one; ``keys`` of this machine, each with mokutil's answer. ``kernel_log``: its latest
    messages about the driver, if something is wrong.

    ``cdi``: names of the devices that the toolkit has described; ``descriptions``: the files;
    ``probed``: the versions used in the last test.
    """

    cards: tuple[Card, ...] = ()
    error: str = ""
    warnings: tuple[str, ...] = ()
    status: int | None = None
    pci: tuple[str, ...] = ()
    bound: tuple[str, ...] = ()
    module: str = ""
    nvml: str = ""
    installed: str = ""
    kernels: tuple[str, ...] = ()
    running: str = ""
    next_kernel: str = ""
    boot_kernel: str = ""
    boot_module: str = ""
    signed_only: bool = False
    keys: tuple[tuple[str, str], ...] = ()
    kernel_log: tuple[str, ...] = ()
    cdi: tuple[str, ...] = ()
    descriptions: tuple[Description, ...] = ()
    probed: str = ""

    @property
    def hangs(self) -> bool:
        """Whether nvidia-smi did not answer in time."""
        return self.status == HUNG

    @property
    def description(self) -> Description | None:
        """The CDI file from which containers get ``nvidia.com/gpu=all``."""
        found = [one for one in self.descriptions if "all" in one.names]
        return max(found, key=lambda one: one.rank, default=None)


class Gpu(Fact[GpuState]):
    """Returns the ``GpuState`` of the host."""

    def command(self) -> StringCommand:
        return question(scripts.text("nvidia/gpu.sh"), PATIENCE, QUERY, OLD_QUERY)

    def read(self, lines: list[str]) -> GpuState:
        pairs = [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]

        def of(word: str) -> list[str]:
            return [rest.strip() for key, rest in pairs if key == word]

        def first(word: str) -> str:
            return "".join(of(word)[:1])

        status = int(first("status")) if of("status") else None
        cards, words = _sorted_out(of("said"))
        if status and not words:
            meaning = _MEANINGS.get(status, "an error of the driver")
            words = (f"nvidia-smi failed with exit status {status}: {meaning}",)
        error = ""
        if status is not None and not cards:
            error = words[0] if words else "nvidia-smi shows no card and gives no reason"
        if status == HUNG:
            cards, error = (), f"nvidia-smi does not answer within {PATIENCE} s"
        running, installed = first("running"), first("installed")
        boots = first("boots").split() or [first("next") or running]
        if boots == [running]:
            boots.append(installed)
        return GpuState(
            cards=cards,
            error=error,
            warnings=words if cards else words[1:],
            status=status,
            pci=tuple(text.split()[0] for text in of("pci")),
            bound=tuple("".join(text.split()[1:2]) for text in of("pci")),
            module=first("module"),
            nvml=first("library"),
            installed=installed,
            kernels=tuple(of("kernel")),
            running=running,
            next_kernel=first("next"),
            boot_kernel=boots[0],
            boot_module="".join(boots[1:2]),
            signed_only=bool(of("signed-only")),
            keys=tuple((key, said) for key, _, said in (text.partition(" ") for text in of("key"))),
            kernel_log=tuple(of("log")),
            cdi=tuple(of("cdi")),
            descriptions=tuple(_descriptions(pairs)),
            probed=first("probed"),
        )


def _sorted_out(said: list[str]) -> tuple[tuple[Card, ...], tuple[str, ...]]:
    """Return the cards in nvidia-smi's output for a query, and its other lines."""
    cards, words = [], []
    for line in said:
        if card := _card(line):
            cards.append(card)
        elif line:
            words.append(line[:300])
    return tuple(cards), tuple(dict.fromkeys(words))


def _card(line: str) -> Card | None:
    """Return the card of a row. Other lines may look like one, except for the driver's version."""
    found = row(line)
    if not found or not found.driver or not (found.compute or found.memory or found.uuid):
        return None
    memory = int(found.memory or 0)
    return Card(found.name, found.compute, found.driver, memory, found.uuid)


def _descriptions(pairs: Sequence[tuple[str, str]]) -> Iterator[Description]:
    """Yield the CDI files; each is reported by a line ``described`` and the lines after it."""
    parts: dict[str, list[str]] = {}
    path = ""
    for word, rest in [*pairs, ("described", "")]:
        if word == "described":
            if path:
                yield Description(
                    str(PurePosixPath(path)),
                    tuple(parts.get("names", ())),
                    tuple(parts.get("version", ())),
                    tuple(parts.get("missing", ())),
                )
            path, parts = rest, {}
        else:
            parts.setdefault(word, []).append(rest)
