"""ufw's state."""

from __future__ import annotations

from pyinfra.api import FactBase, StringCommand

from workstation.facts.shell import script


class UfwRules(FactBase[list[str]]):
    """Returns the rules that were added to an active ufw, as ``ufw show added`` lists them."""

    @staticmethod
    def default() -> list[str]:
        return []

    def command(self) -> StringCommand:
        return script(
            """
            command -v ufw >/dev/null || exit 0
            ufw status | grep -q '^Status: active' || exit 0
            echo active
            ufw show added
            """
        )

    def process(self, output: list[str]) -> list[str]:
        return output
