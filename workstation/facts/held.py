"""How much lies in folders and in Docker's volumes, and since when."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.daemon import ENGINE, refuse_wedged
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class Holding:
    """``size`` in bytes, number of files, and Unix time at which the newest was changed, 0 for
    none."""

    size: int
    files: int
    newest: int


class Held(Fact[dict[str, Holding]]):
    """
    Returns what each place holds; one that is not there has no entry.

    + places: absolute paths of folders, and names of Docker's volumes
    """

    @staticmethod
    def default() -> dict[str, Holding]:
        return {}

    def command(self, places: list[str]) -> StringCommand:
        return question(
            ENGINE
            + """
            for place; do
              folder=$place
              case $place in
                /*) ;;
                *) folder=$(engine volume inspect -f '{{.Mountpoint}}' "$place" 2>/dev/null)
                  [ ! -e "$answers/wedged" ] || break ;;
              esac
              [ -d "$folder" ] || continue
              folder=$(readlink -f -- "$folder")
              size=$(du -skx -- "$folder" | cut -f 1)
              find "$folder" -xdev -type f -printf '%T@\\n' | awk -v "size=$size" '
                $1 > newest {newest = $1}
                END {printf "%d %d %d ", size, NR, newest}'
              echo "$place"
            done
            cat "$answers/wedged" 2>/dev/null
            true
            """,
            *places,
            limit=1800,  # folders of terabytes, on slow disks
        )

    def read(self, lines: list[str]) -> dict[str, Holding]:
        refuse_wedged(lines)
        found = {}
        for line in lines:
            size, files, newest, place = line.split(" ", 3)
            found[place] = Holding(int(size) * 1024, int(files), int(newest))
        return found
