"""The system itself: what it is, who we are on it, its memory, clock, packages and firewall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from workstation.apt.failures import refusal
from workstation.findings import Finding

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.firewall import FirewallState
    from workstation.facts.machine import MachineState
    from workstation.facts.packages import SourcesState

# Docker, the toolkit and Ollama's release are tried there; packages of other systems differ.
# Names in a sentence.
_SHOWN = 5
_SYSTEMS = {"ubuntu": ("24.04",), "debian": ("13",)}
_ARCHITECTURES = ("x86_64",)

_GIB = 2**30
# A program that loads a checkpoint holds it in memory on its way to the GPU, 7 GB for SDXL, beside
# those of the other services. A machine sold with 16 GB shows a little less.
_COMFORTABLE_MEMORY = 15 * _GIB
# Docker, Traefik and one interface without a model.
_LEAST_MEMORY = 2 * _GIB

# The question takes its time to get there, and a few seconds matter to nobody.
_CLOCK_SECONDS = 120


def system_findings(machine: MachineState) -> Iterator[Finding]:
    """Yield the findings about system, architecture, init system, privileges and memory."""
    system = f"{machine.distribution} {machine.version}"
    yield Finding(
        "operating system",
        machine.version in _SYSTEMS.get(machine.distribution, ()),
        f"it is {system.strip() or 'unknown'}",
        "install Ubuntu 24.04 (or Debian 13)",
    )
    yield Finding(
        "architecture",
        machine.architecture in _ARCHITECTURES,
        f"it is {machine.architecture or 'unknown'}",
        "use a machine with an x86_64 processor: the pinned images and Ollama are made for it",
    )
    yield Finding(
        "systemd",
        machine.systemd,
        "it is not the init system" if not machine.systemd else "it is the init system",
        "use a machine or virtual machine that boots with systemd, not a container",
    )
    yield Finding(
        "sudo",
        machine.user == 0,
        f"commands run as user {machine.user}" + (" (root)" if machine.user == 0 else ", not root"),
        "connect as root, or as a user whom sudo lets be root, and leave _sudo to inventory.py",
    )
    if machine.memory:
        yield Finding(
            "memory",
            machine.memory >= _COMFORTABLE_MEMORY,
            f"{machine.memory / _GIB:.1f} GiB",
            "give the machine 16 GB or more: loading a large model into the GPU takes as much "
            "memory on the way",
            note=machine.memory >= _LEAST_MEMORY,
        )


def package_findings(machine: MachineState, installs: bool) -> Iterator[Finding]:
    """Yield what may hold up or break the installation of packages.

    + installs: whether this run surely installs some

    Our apt waits up to 600 s for another, and keeps needrestart from asking or restarting anything
    (``workstation/operations/packages.py``).
    """
    managers = machine.package_managers
    yield Finding(
        "apt",
        not managers,
        f"at work: {', '.join(managers)}" if managers else "no other is at work",
        "wait for it, or let this run wait: it does so for 10 minutes where it installs packages",
        note=True,
    )
    # What another one is just installing looks half done, too.
    broken = () if managers else machine.broken_packages
    yield Finding(
        "dpkg",
        not broken,
        f"it was interrupted over {some(broken)}" if broken else "nothing is half installed",
        "let this run do it, where it installs packages; else finish it on the host with "
        "`dpkg --configure -a`, then `apt-get -f install`",
        note=True,
    )
    if machine.needrestart:
        yield Finding(
            "needrestart",
            not installs,
            "it is installed, and is kept from asking and from restarting services in this run",
            "see afterwards with `needrestart` which services still run with old libraries",
            note=True,
        )


def source_findings(sources: SourcesState, installs: bool) -> Iterator[Finding]:
    """Yield whether apt reads its sources: for one line that it cannot read it refuses all.

    + installs: whether this run surely installs packages
    """
    seen, fix = refusal(sources.refused, sources.entries)
    yield Finding(
        "apt sources",
        not sources.refused,
        f"apt refuses all of them: {seen}" if sources.refused else "apt reads all of them",
        fix,
        note=not installs,
    )


def firewall_findings(machine: MachineState) -> Iterator[Finding]:
    """Yield whether there is a ufw, which does not cover what Docker publishes.

    Source: docs.docker.com/engine/network/packet-filtering-firewalls, "Docker and ufw".
    """
    yield Finding(
        "ufw",
        not machine.ufw_active,
        "it is active, and does not filter ports that Docker publishes: the proxy's is open "
        "whatever its rules are"
        if machine.ufw_active
        else "it is not active",
        "put rules for these ports into Docker's chain DOCKER-USER, if the LAN is not to reach "
        "the proxy",
        note=True,
    )


def reach_findings(firewall: FirewallState, port: int) -> Iterator[Finding]:
    """Yield what may keep containers from Ollama on the host, beside ufw, which a run tells.

    + port: Ollama's

    Docker puts its bridges into firewalld's zone ``docker``, whose target is ACCEPT
    (docs.docker.com/engine/network/packet-filtering-firewalls, "Docker and firewalld").
    """
    if firewall.ufw_at_boot:
        yield Finding(
            "ufw at boot",
            False,
            "ufw is switched on and not at work: with the next boot it will keep containers from "
            "Ollama",
            "run `ufw --force enable` and run again, which lets them in, or `ufw disable`",
            note=True,
        )
    if firewall.firewalld:
        shut = firewall.zone and firewall.target != "ACCEPT"
        zone = firewall.zone or "docker"
        seen = "it is active; Docker's bridges get a zone of their own, which accepts all"
        if firewall.zone:
            seen = f"it is active, Docker's bridge is in the zone {zone}, target {firewall.target}"
        yield Finding(
            "firewalld",
            not shut,
            seen,
            f"where containers do not reach Ollama run `firewall-cmd --permanent --zone={zone} "
            f"--add-port={port}/tcp`, then `firewall-cmd --reload`",
            note=True,
        )
    if firewall.dropping:
        chains = " and ".join(firewall.dropping)
        yield Finding(
            "firewall",
            False,
            f"{chains}: what no rule accepts is dropped there, and none names Docker's bridges or "
            f"port {port}, so that containers will not reach Ollama",
            f'accept it there, as by `iifname {{ "docker0", "br-*" }} tcp dport {port} accept`',
            note=True,
        )


def clock_findings(ahead: int | None, synchronised: str) -> Iterator[Finding]:
    """Yield whether the host's clock agrees with this machine's: TLS and apt refuse what is not
    valid yet or any more.

    + ahead: seconds by which the host's is ahead; None if it did not tell
    + synchronised: ``yes``, ``no`` or empty, as ``timedatectl`` says
    """
    if ahead is None:
        return
    side = "ahead of" if ahead > 0 else "behind"
    seen = f"it is {timedelta(seconds=abs(ahead))} (hours, minutes, seconds) {side} this machine's"
    time_service = {"yes": ", a time service sets it", "no": ", no time service sets it"}
    yield Finding(
        "clock",
        abs(ahead) <= _CLOCK_SECONDS,
        seen + time_service.get(synchronised, ""),
        "set the one that is wrong, on the host with `timedatectl set-ntp true`",
    )


def some(names: Sequence[str]) -> str:
    """Return names for a sentence, the first of many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
