"""On which folders a file system of its own is mounted."""

from __future__ import annotations

from pyinfra.api import FactBase, StringCommand

from workstation.facts.shell import script


class Mounted(FactBase[dict[str, str]]):
    """
    Returns folder -> source, such as ``/dev/nvme0n1p1``, of those on which something is mounted.

    + folders: absolute paths
    """

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def command(self, folders: list[str]) -> StringCommand:
        # Of several mounts on one folder the last one is seen.
        return script(
            """
            for folder; do
              source=$(findmnt -rn -o SOURCE -M "$folder" | tail -n 1)
              [ -z "$source" ] || echo "$folder $source"
            done
            """,
            *folders,
        )

    def process(self, output: list[str]) -> dict[str, str]:
        return dict(line.partition(" ")[::2] for line in output)
