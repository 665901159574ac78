"""How much data folders and Docker volumes hold, and when it last changed."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.daemon import refuse_wedged
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class Loss:
    """``size`` in bytes, number of files, and Unix time of the last change, 0 without files. All
    are -1 if the place does not respond or takes too long to count."""

    size: int
    files: int
    newest: int


class Losses(Fact[dict[str, Loss]]):
    """
    Returns what each place holds; a missing place has no entry.

    + places: absolute paths of folders, and names of Docker volumes
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
