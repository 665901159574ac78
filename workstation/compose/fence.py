"""The fence around our containers: each has a hardware address that says what it may reach.

The guard (``templates/docker/ai-workstation-guard.service.j2``) knows containers by that address,
because nothing else of a container is both known in advance and out of its reach: its IP address
and the bridge of a network change whenever somebody re-creates them, and the proxy's network may
belong to others. Compose sets it for each network (Compose 2.24, Engine 25: docker/compose#11208);
changing it, or sending with another one, takes NET_ADMIN or NET_RAW, which such a service must not
have.

The address is ``02:61:aX``, a locally administered one, and three bytes that differ between
services. X has bits 1 for ``egress: internet``, 2 for ``none``, and 4 for a service that uses the
host's Ollama.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from workstation.compose.forms import is_true
from workstation.compose.keys import reaches_host, replicas

Egress = Literal["lan", "internet", "none"]

EGRESS: tuple[str, ...] = get_args(Egress)
"""What a service may reach outside its own networks, each value less than the one before."""

_PREFIX = "02:61:a"
_OLLAMA = 4
_DANGEROUS = ("NET_ADMIN", "NET_RAW")


def address(project: str, service: str, egress: str, ollama: bool = False) -> str:
    """Return the hardware address of a service's container.

    + egress: one of ``EGRESS``
    + ollama: whether it uses the host's Ollama
    """
    bits = EGRESS.index(egress) | (_OLLAMA if ollama else 0)
    own = hashlib.sha256(f"{project}/{service}".encode()).hexdigest()
    return f"{_PREFIX}{bits:x}:{own[:2]}:{own[2:4]}:{own[4:6]}"


def is_ours(given: str) -> bool:
    """Return whether a hardware address is one of ``address``."""
    return given.lower().startswith(_PREFIX)


def addresses(keys: Mapping[str, Any]) -> dict[str, str]:
    """Return network -> hardware address that a service has there, or an empty string."""
    joined = keys.get("networks") or ()
    found = joined if isinstance(joined, Mapping) else dict.fromkeys(joined)
    return {name: str((how or {}).get("mac_address") or "") for name, how in found.items()}


def problems(project: str, name: str, egress: str, keys: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the fence would not hold a service, each with its fix.

    + egress: the service's, or an empty string if its Compose file does not say
    + keys: the service in its Compose file
    """
    given = addresses(keys)
    if not egress and not any(map(is_ours, given.values())):
        return
    wanted = address(project, name, egress or EGRESS[0], reaches_host(dict(keys)))
    if "network_mode" in keys:
        yield "`x-workstation.egress` needs `networks` instead of `network_mode`"
    elif not given or any(one.lower() != wanted for one in given.values()):
        yield (
            f"`x-workstation.egress` needs `mac_address: {wanted}` in each of its networks: use "
            "the macro `networks`"
        )
    if replicas(keys) > 1:
        yield "`x-workstation.egress` is for one container: remove it, or the replicas"
    if able := _able(keys):
        yield (
            f"`x-workstation.egress` would not hold a container that can change its address "
            f"({able}): drop NET_RAW or ALL with `cap_drop`, and add neither NET_RAW nor NET_ADMIN"
        )


def _able(keys: Mapping[str, Any]) -> str:
    """Return what lets a container have another hardware address, or an empty string. Docker's
    default capabilities include NET_RAW."""
    if is_true(keys.get("privileged")):
        return "privileged"
    dropped, added = (
        {str(one).upper().removeprefix("CAP_") for one in keys.get(key) or ()}
        for key in ("cap_drop", "cap_add")
    )
    if "ALL" in added:
        return "ALL"
    if found := sorted(added & set(_DANGEROUS)):
        return ", ".join(found)
    return "" if dropped & {"ALL", "NET_RAW"} else "NET_RAW"
