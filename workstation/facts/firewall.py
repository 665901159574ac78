"""The host's firewall: ufw, firewalld, or custom rules."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class FirewallState:
    """``ufw``: it is active; ``rules``: as listed by ``ufw show added``, in order;
    ``ufw_at_boot``: it is inactive, but will be active after the next boot. ``zone``, ``target``:
    of Docker's default bridge if firewalld runs. ``dropping``: chains of unknown origin that drop
    by default and have no rule that admits containers."""

    ufw: bool = False
    rules: tuple[str, ...] = ()
    ufw_at_boot: bool = False
    firewalld: bool = False
    zone: str = ""
    target: str = ""
    dropping: tuple[str, ...] = ()


class Firewall(Fact[FirewallState]):
    """
    Returns the ``FirewallState`` of the host.

    + port: TCP port of the host that containers must reach
    """

    def command(self, port: int) -> StringCommand:
        return question(scripts.text("firewall/firewall.sh"), port)

    def read(self, lines: list[str]) -> FirewallState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        return FirewallState(
            ufw="ufw" in words,
            rules=tuple(rest for word, rest in pairs if word == "rule"),
            ufw_at_boot="ufw-at-boot" in words,
            firewalld="firewalld" in words,
            zone=words.get("zone", ""),
            target=words.get("target", ""),
            dropping=tuple(rest for word, rest in pairs if word == "dropping"),
        )
