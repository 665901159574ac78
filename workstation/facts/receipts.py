"""The receipts that runs left on the host."""

from __future__ import annotations

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question

FOLDER = "/var/lib/ai-workstation/runs"


class Receipts(Fact[dict[str, str]]):
    """
    Returns the receipts as file -> text, oldest first.

    + folder: on the host
    """

    def command(self, folder: str = FOLDER) -> StringCommand:
        return question(scripts.text("receipts/receipts.sh"), folder)

    def read(self, lines: list[str]) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in lines)
