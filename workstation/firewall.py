"""Whether a host's firewall lets containers reach a port of the host.

Pure: facts read the rules, and ``workstation.operations.firewall`` adds the missing ones.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

BRIDGES = ("docker0", "br-+")
"""Docker's bridges as ufw and iptables name them, whatever their address pool; bridges with a name
of the user's own are added to them."""

_ALLOWS, _BLOCKS = ("allow",), ("deny", "reject", "limit")


@dataclass(frozen=True)
class Rule:
    """A ufw rule for incoming traffic. ``interface``, ``source``, ``port`` and ``protocol`` are
    empty for any; ``port`` may be a list with ranges, or the name of an application."""

    action: str
    interface: str = ""
    source: str = ""
    port: str = ""
    protocol: str = ""

    @property
    def allows(self) -> bool:
        return self.action in _ALLOWS

    def covers(self, port: int) -> bool:
        """Return whether it applies to a TCP port."""
        if self.protocol not in ("", "tcp"):
            return False
        return not self.port or any(_within(part, port) for part in self.port.split(","))

    def is_about(self, interface: str) -> bool:
        """Return whether it applies to all traffic that comes in there."""
        return self.interface in ("", interface) or (
            self.interface.endswith("+") and interface.startswith(self.interface[:-1])
        )

    def touches(self, interface: str) -> bool:
        """Return whether it applies to some of the traffic that comes in there."""
        wider = interface.endswith("+") and self.interface.startswith(interface[:-1])
        return self.is_about(interface) or wider


def _within(part: str, port: int) -> bool:
    first, _, last = part.partition(":")
    if first.isdigit():
        return int(first) <= port <= int(last or first)
    # An application profile may have any port: /etc/ufw/applications.d.
    return "ollama" in part.lower()


def parse(line: str) -> Rule | None:
    """Return the rule in a line of ``ufw show added``; None for a rule about something else.

    Source: ufw(8), "RULE SYNTAX"; ufw 0.36 prints each rule in its shortest form.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    if len(words) < 3 or words[0] != "ufw" or words[1] == "route":
        return None
    fields: dict[str, str] = {}
    side = "to"
    place = 2
    while place < len(words):
        word = words[place]
        value = words[place + 1] if place + 1 < len(words) else ""
        if word == "out":
            return None
        if word in ("on", "from", "to", "port", "proto", "app", "comment"):
            if word in ("from", "to"):
                side = word
            fields[f"{side} {word}" if word in ("port", "app") else word] = value
            place += 2
            continue
        if word not in ("in", "log", "log-all"):
            service, _, protocol = word.partition("/")
            fields.setdefault("to port", service)
            if protocol:
                fields.setdefault("proto", protocol)
        place += 1
    source = fields.get("from", "any")
    return Rule(
        action=words[1],
        interface=fields.get("on", ""),
        # A source port narrows the rule just as an address does.
        source=fields.get("from port", "") or ("" if source == "any" else source),
        port=fields.get("to port", "") or fields.get("to app", ""),
        protocol=fields.get("proto", ""),
    )


def wanted(interface: str, port: int) -> str:
    """Return the rule, in ufw's words, that lets traffic on an interface reach a TCP port."""
    return f"allow in on {interface} to any port {port} proto tcp"


def shut(rules: Sequence[str], interfaces: Iterable[str], port: int) -> Iterator[tuple[str, str]]:
    """Yield each interface whose containers cannot reach the port, with the rule that blocks them;
    the rule is empty if there is just none that lets them in.

    + rules: lines of ``ufw show added``; the first matching rule decides
    """
    parsed = [(line, rule) for line in rules if (rule := parse(line)) and rule.covers(port)]
    for interface in interfaces:
        for line, rule in parsed:
            if rule.allows and rule.is_about(interface) and not rule.source:
                break
            if rule.action in _BLOCKS and rule.touches(interface):
                yield interface, line.removeprefix("ufw ")
                break
        else:
            yield interface, ""
