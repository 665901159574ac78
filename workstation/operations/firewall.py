"""ufw, where somebody has it switched on: containers must still reach Ollama on the bridge."""

from __future__ import annotations

from pyinfra import host

from workstation.facts.firewall import UfwRules
from workstation.facts.shell import script
from workstation.operations.base import Commands, operation
from workstation.operations.plan import tell

# Where Docker takes addresses for bridges from first (moby: libnetwork/ipamutils). A packet from
# there that arrives on another interface is dropped by the guard's table, see ollama-docker-guard.
_BRIDGES = ("172.16.0.0/12",)


@operation
def containers_reach(port: int) -> Commands:
    """
    Have an active ufw let Docker's bridges reach a port of the host.

    + port: TCP port
    """
    rules = host.get_fact(UfwRules)
    if not rules:
        host.noop("ufw is not active")
        return
    missing = [
        network
        for network in _BRIDGES
        if not any(f"from {network} to any port {port} proto tcp" in rule for rule in rules)
    ]
    if not missing:
        host.noop(f"ufw lets containers reach port {port}")
        return
    for network in missing:
        tell("+", f"ufw allows {network} to reach port {port}", "Docker's bridges")
    for network in missing:
        yield script('ufw allow from "$1" to any port "$2" proto tcp', network, port)
