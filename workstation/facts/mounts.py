"""The folders on which a separate file system is mounted."""

from __future__ import annotations

import base64

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question
from workstation.mounts import mountinfo
from workstation.mounts.fstab import decode, printable

SILENT = "does not answer"
"""In place of a source: the folder cannot be used, whatever is mounted there."""


class Mounted(Fact[dict[str, str]]):
    """
    Returns folder -> source, such as ``/dev/nvme0n1p1``, for each folder that has something mounted
    or is a link to a folder on a disk other than the system's. If several are mounted on one
    folder, the last one counts.

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
