"""Releases of a stack's worker on the host."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class WorkerState:
    """``releases``: names of the completely installed ones; ``current``: name of the one that the
    unit runs; ``present``: whether its unit or folder exists."""

    releases: tuple[str, ...] = ()
    current: str = ""
    present: bool = False


class WorkerReleases(Fact[WorkerState]):
    """
    Returns the ``WorkerState``.

    + folder: of the releases
    + unit: path of the unit
    """

    def command(self, folder: str, unit: str) -> StringCommand:
        return question(scripts.text("worker/worker_releases.sh"), folder, unit)

    def read(self, lines: list[str]) -> WorkerState:
        pairs = [line.partition(" ")[::2] for line in lines]
        return WorkerState(
            # The link to the current release looks like a release.
            releases=tuple(
                sorted(rest for word, rest in pairs if word == "release" and rest != "current")
            ),
            current="".join(rest for word, rest in pairs if word == "current"),
            present=any(word == "present" for word, _ in pairs),
        )
