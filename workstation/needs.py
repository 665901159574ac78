"""What a host needs for its stacks besides Docker: the only place that decides it.

Anything that is not needed is neither set up nor checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workstation.compose.keys import reaches_host
from workstation.settings import Settings
from workstation.stack import Stack

PROXY = "proxy"
"""The stack of the proxy, if it is our own."""


@dataclass(frozen=True)
class Needs:
    """Whether the host needs the proxy, the share for outputs and native Ollama. ``disks`` are the
    folders where a separate disk must be mounted, sorted."""

    proxy: bool
    share: bool
    ollama: bool
    disks: list[str]


def needs(settings: Settings, stacks: Sequence[Stack]) -> Needs:
    """Return what the running services need.

    + stacks: those of one host, without the proxy's

    A route or the proxy's network means that the proxy is needed, a mount of the share the share,
    and a name for the host Ollama, because services look for nothing else there.
    """
    running = [service for stack in stacks for service in stack.running]
    return Needs(
        proxy=any(settings.proxy_network in stack.external_networks for stack in stacks)
        or any(service.host for service in running),
        share=any(stack.uses(settings.smb_mount) for stack in stacks),
        ollama=any(reaches_host(service.keys) for service in running),
        disks=sorted({disk for stack in stacks for disk in stack.disks}),
    )
