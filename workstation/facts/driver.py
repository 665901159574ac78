"""Sources of an NVIDIA driver: what apt's lists have of a branch, and what it would remove."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.packages import Simulated, SimulatedState
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class DriverSourceState:
    """What apt's lists have of a branch. ``version``: of its driver; ``modules``: the package of
    Ubuntu's signed modules for the running kernel, if it fits that version; ``headers``: the
    package with which DKMS builds modules; ``plan``: what apt would do. Fields are empty if the
    lists know none; on a new machine the lists are still empty."""

    version: str = ""
    modules: str = ""
    headers: str = ""
    plan: SimulatedState = field(default_factory=SimulatedState, hash=False)


class DriverSource(Fact[DriverSourceState]):
    """
    Returns the ``DriverSourceState`` of a branch.

    + branch: such as ``580-open``
    """

    def command(self, branch: str) -> StringCommand:
        return question(scripts.text("driver/driver_source.sh"), branch)

    def read(self, lines: list[str]) -> DriverSourceState:
        found = {line.split(" ")[0]: line.split(" ")[1:] for line in lines}
        return DriverSourceState(
            version="".join(found.get("version", [])[1:2]),
            modules="".join(found.get("modules", [])[:1]),
            headers="".join(found.get("headers", [])[:1]),
            plan=Simulated().read(lines),
        )
