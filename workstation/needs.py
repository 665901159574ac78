"""What a host must have for its stacks besides Docker: the one place that decides it.

What nothing here asks for is neither made nor looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workstation.compose.keys import reaches_host
from workstation.settings import Settings
from workstation.stack import Stack

PROXY = "proxy"
"""The stack of the proxy, where it is our own."""


@dataclass(frozen=True)
class Needs:
    """Whether the host needs the proxy, the share for outputs and native Ollama; ``disks`` are the
    folders on which a disk of its own must be mounted, sorted."""

    proxy: bool
    share: bool
    ollama: bool
    disks: list[str]


def needs(settings: Settings, stacks: Sequence[Stack]) -> Needs:
    """Return what the services that run need.

    + stacks: those of one host, without the proxy's

    The proxy: a route, or its network. The share: a mount of it. Ollama: a name for the host, where
    services look for nothing else.
    """
    running = [service for stack in stacks for service in stack.running]
    return Needs(
        proxy=any(settings.proxy_network in stack.external_networks for stack in stacks)
        or any(service.host for service in running),
        share=any(stack.uses(settings.smb_mount) for stack in stacks),
        ollama=any(reaches_host(service.keys) for service in running),
        disks=sorted({disk for stack in stacks for disk in stack.disks}),
    )
