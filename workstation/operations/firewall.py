"""ufw, where somebody has it switched on: containers must still reach Ollama on the bridge."""

from __future__ import annotations

from pyinfra import host

from workstation.facts.asking import ask
from workstation.facts.docker import Bridges
from workstation.facts.firewall import Firewall
from workstation.facts.shell import script
from workstation.firewall import BRIDGES, shut, wanted
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together

# Before all others: the first rule that matches decides. ufw leaves one that it has where it is.
_ALLOW = """
ufw delete allow in on "$1" to any port "$2" proto tcp >/dev/null 2>&1 || true
ufw prepend allow in on "$1" to any port "$2" proto tcp
"""


@operation
def containers_reach(port: int) -> Changes:
    """
    Have an active ufw let containers reach a port of the host: what comes in on one of Docker's
    bridges, from whichever of Docker's address pools, IPv6 too.

    + port: TCP port

    A rule that keeps them from it stays, and comes behind ours, which is for these bridges alone.
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
    # Each is put before all that are there.
    commands = [script(_ALLOW, interface, port) for interface, _ in reversed(missing)]
    yield together(changes, commands)
