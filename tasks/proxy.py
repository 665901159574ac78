"""The reverse proxy: an existing Traefik or our own; none if no stack needs one."""

from pyinfra import host

from workstation import context
from workstation.needs import PROXY
from workstation.operations import compose, tls, units
from workstation.traefik.tls import FILE as TLS_FILE

machine = context.load(host)

if machine.needs.proxy and machine.settings.proxy == "own":
    stack = machine.stack(PROXY)
    compose.laid_down(name="Files of the proxy", stack=stack)
    if machine.settings.tls == "internal":
        tls.internal(
            name="Certificate of the proxy",
            file=f"{stack.folder}/{TLS_FILE}",
            names=[machine.settings.domain, *machine.hosts()],
        )
        units.running(name="Certificate is renewed", units=[units.Unit(tls.TIMER)])
    compose.up(name="Proxy runs", stack=stack, secrets=[])
elif machine.needs.proxy:
    compose.network_exists(
        name="Network of the existing proxy", network=machine.settings.proxy_network
    )
