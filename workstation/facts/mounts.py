"""On which folders a file system of its own is mounted."""

from __future__ import annotations

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question


class Mounted(Fact[dict[str, str]]):
    """
    Returns folder -> source, such as ``/dev/nvme0n1p1``, of those on which something is mounted.

    + folders: absolute paths
    """

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def command(self, folders: list[str]) -> StringCommand:
        # Of several mounts on one folder the last one is seen.
        return question(
            """
            for folder; do
              source=$(findmnt -rn -o SOURCE -M "$folder" | tail -n 1)
              [ -z "$source" ] || echo "$folder $source"
            done
            """,
            *folders,
        )

    def read(self, lines: list[str]) -> dict[str, str]:
        return dict(line.partition(" ")[::2] for line in lines)
