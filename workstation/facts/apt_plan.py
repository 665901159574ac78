"""What apt would do, asked beforehand."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question

# Inst docker-buildx [0.13.1-3] (0.29.1-4 Debian:forky [amd64]) []
_INSTALL = re.compile(r"Inst (?P<name>\S+)(?: \[(?P<old>[^\]]+)\])? \((?P<new>\S+)")


@dataclass(frozen=True)
class SimulatedState:
    """``known``: apt knows all these packages; ``installed``: what it would install, name to
    versions before (empty for none) and afterwards; ``removed``: what it would remove."""

    known: bool = False
    installed: dict[str, tuple[str, str]] = field(default_factory=dict)
    removed: tuple[str, ...] = ()


class Simulated(Fact[SimulatedState]):
    """
    Returns the ``SimulatedState`` of an installation, by the package lists as they are.

    + packages: names, with ``=version`` where it is to be that one
    """

    @staticmethod
    def default() -> SimulatedState:
        return SimulatedState()

    def command(self, packages: list[str]) -> StringCommand:
        return question(
            scripts.text("apt_plan/simulated.sh"),
            *packages,
        )

    def read(self, lines: list[str]) -> SimulatedState:
        found = [match for line in lines if (match := _INSTALL.match(line))]
        return SimulatedState(
            known="known" in lines,
            installed={one["name"]: (one["old"] or "", one["new"]) for one in found},
            removed=tuple(line.split()[1] for line in lines if line.startswith(("Remv ", "Purg "))),
        )
