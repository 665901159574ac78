"""On which folders a file system of its own is mounted."""

from __future__ import annotations

import base64

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question
from workstation.mounts import mountinfo
from workstation.mounts.fstab import decode, printable

SILENT = "does not answer"
"""Instead of a source: the folder is not to be used, whatever is mounted there."""


class Mounted(Fact[dict[str, str]]):
    """
    Returns folder -> source, such as ``/dev/nvme0n1p1``, of those on which something is mounted, or
    which are a link to a folder on another disk than the system's. Of several mounts on one folder
    the last one is told.

    + folders: absolute paths
    """

    def command(self, folders: list[str]) -> StringCommand:
        return question(scripts.text("mounts/mounted.sh"), *folders)

    def read(self, lines: list[str]) -> dict[str, str]:
        pairs = [line.partition(" ")[::2] for line in lines]
        listed = mountinfo.parse(decode(base64.b64decode(dict(pairs).get("mounts", ""))))
        found = {rest: SILENT for word, rest in pairs if word == "silent"}
        for real, _, folder in (rest.partition("\t") for word, rest in pairs if word == "real"):
            *_, holder = [None, *mountinfo.passed(listed, real)]
            linked = real != folder
            if holder and (holder.target == real or (linked and holder.target != "/")):
                found[folder] = printable(holder.source)
        return found
