"""The reverse proxy: an existing Traefik or our own; none if no stack needs one."""

from pyinfra import host

from workstation import context
from workstation.needs import PROXY
from workstation.operations import compose

machine = context.load(host)

if machine.needs.proxy and machine.settings.proxy == "own":
    stack = machine.stack(PROXY)
    compose.laid_down(name="Files of the proxy", stack=stack)
    compose.up(name="Proxy runs", stack=stack, secrets=[])
elif machine.needs.proxy:
    compose.network_exists(
        name="Network of the existing proxy", network=machine.settings.proxy_network
    )
