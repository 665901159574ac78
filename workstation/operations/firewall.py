"""ufw, if it is enabled: containers must still reach Ollama on the bridge."""

from __future__ import annotations

from pyinfra import host

from workstation.facts.asking import ask
from workstation.facts.docker import Bridges
from workstation.facts.firewall import Firewall
from workstation.facts.shell import script
from workstation.firewall import BRIDGES, shut, wanted
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together

# Ahead of all others, since the first match decides. ufw does not move a rule that it already has.
_ALLOW = """
ufw delete allow in on "$1" to any port "$2" proto tcp >/dev/null 2>&1 || true
ufw prepend allow in on "$1" to any port "$2" proto tcp
"""


@operation
def containers_reach(port: int) -> Changes:
    """
    Let containers reach a port of the host through an active ufw: whatever comes in on one of
    Docker's bridges, from any of Docker's address pools, including IPv6.

    + port: TCP port

    A rule that blocks them stays, behind ours, which only apply to these bridges.
    """
    found = ask(host, Firewall, port=port)
    if not found.ufw:
        host.noop("ufw is not active")
        return
    interfaces = (*BRIDGES, *ask(host, Bridges).interfaces)
    missing = list(shut(found.rules, interfaces, port))
    if not missing:
        host.noop(f"ufw lets containers reach port {port}")
        return
    changes = [
        Change(
            "+",
            f"ufw {wanted(interface, port)}",
            f"before `{rule}`" if rule else "Docker's bridges",
        )
        for interface, rule in missing
    ]
    # Each is inserted ahead of all existing rules.
    commands = [script(_ALLOW, interface, port) for interface, _ in reversed(missing)]
    yield together(changes, commands)
