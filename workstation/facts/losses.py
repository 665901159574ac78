"""How much lies in folders and in Docker's volumes, and since when."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.daemon import refuse_wedged
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class Loss:
    """``size`` in bytes, number of files, and Unix time at which the newest was changed, 0 for
    none. Of a place that does not answer, or takes too long to be counted, all are -1."""

    size: int
    files: int
    newest: int


class Losses(Fact[dict[str, Loss]]):
    """
    Returns what each place holds; one that is not there has no entry.

    + places: absolute paths of folders, and names of Docker's volumes
    """

    def command(self, places: list[str]) -> StringCommand:
        return question(
            scripts.text("losses/losses.sh"),
            scripts.text("losses/count.sh"),
            *places,
            limit=1800,  # folders of terabytes, on slow disks
        )

    def read(self, lines: list[str]) -> dict[str, Loss]:
        refuse_wedged(lines)
        found = {}
        for line in lines:
            size, files, newest, place = line.split(" ", 3)
            found[place] = Loss(int(size) * 1024 if size != "-1" else -1, int(files), int(newest))
        return found
