"""ufw's state."""

from __future__ import annotations

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question


class UfwRules(Fact[list[str]]):
    """Returns the rules that were added to an active ufw, as ``ufw show added`` lists them."""

    @staticmethod
    def default() -> list[str]:
        return []

    def command(self) -> StringCommand:
        return question(
            """
            command -v ufw >/dev/null || exit 0
            ufw status | grep -q '^Status: active' || exit 0
            echo active
            ufw show added
            """
        )

    def read(self, lines: list[str]) -> list[str]:
        return lines
