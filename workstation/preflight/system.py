"""Check the system itself: distribution, user, memory, clock, packages and firewall."""

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

# Names shown in a sentence.
_SHOWN = 5
# Docker, the toolkit and Ollama's release were tried on these; other systems' packages differ.
_SYSTEMS = {"ubuntu": ("24.04",), "debian": ("13",)}
_ARCHITECTURES = ("x86_64",)

_GIB = 2**30
# A checkpoint passes through memory on its way to the GPU (7 GB for SDXL), next to those of other
# services. A machine sold with 16 GB reports a little less.
_COMFORTABLE_MEMORY = 15 * _GIB
# Enough for Docker, Traefik and one web interface without a model.
_LEAST_MEMORY = 2 * _GIB

# The question takes time to reach the host, and a few seconds do not matter.
_CLOCK_SECONDS = 120


def system_findings(machine: MachineState) -> Iterator[Finding]:
    """Yield the findings about distribution, architecture, init system, privileges and memory."""
    system = f"{machine.distribution} {machine.version}"
    yield Finding(
        "operating system",
        machine.version in _SYSTEMS.get(machine.distribution, ()),
        f"it is {system.strip() or 'unknown'}",
        "install Ubuntu 24.04 (or Debian 13)",
        id="system-unsupported",
    )
    yield Finding(
        "architecture",
        machine.architecture in _ARCHITECTURES,
        f"it is {machine.architecture or 'unknown'}",
        "use a machine with an x86_64 processor: the pinned images and Ollama are built for it",
        id="architecture-unsupported",
    )
    yield Finding(
        "systemd",
        machine.systemd,
        "it is not the init system" if not machine.systemd else "it is the init system",
        "use a physical or virtual machine that boots with systemd, not a container",
        id="systemd-missing",
    )
    yield Finding(
        "sudo",
        machine.user == 0,
        f"commands run as user {machine.user}" + (" (root)" if machine.user == 0 else ", not root"),
        "connect as root, or as a user who may become root with sudo, and do not override _sudo "
        "from inventory.py",
        id="not-root",
    )
    if machine.memory:
        yield Finding(
            "memory",
            machine.memory >= _COMFORTABLE_MEMORY,
            f"{machine.memory / _GIB:.1f} GiB",
            "give the machine 16 GB or more: a large model passes through memory in full while it "
            "is loaded into the GPU",
            note=machine.memory >= _LEAST_MEMORY,
            id="memory-too-small",
        )


def package_findings(machine: MachineState, installs: bool) -> Iterator[Finding]:
    """Yield what may delay or break the installation of packages.

    + installs: whether this run certainly installs some

    Our apt waits up to 600 s for another one, and keeps needrestart from prompting or restarting
    anything (``workstation/operations/packages.py``).
    """
    managers = machine.package_managers
    yield Finding(
        "apt",
        not managers,
        f"in use by {', '.join(managers)}" if managers else "not in use by anything else",
        "wait until it is done, or let the run wait: it waits up to 10 minutes before it installs "
        "packages",
        note=True,
        id="apt-busy",
    )
    # Packages that another process is installing right now look half installed, too.
    broken = () if managers else machine.broken_packages
    yield Finding(
        "dpkg",
        not broken,
        f"it was interrupted while installing {some(broken)}"
        if broken
        else "no package is half installed",
        "a run that installs packages finishes them; otherwise run `dpkg --configure -a` on the "
        "host, then `apt-get -f install`",
        note=True,
        id="dpkg-interrupted",
    )
    if machine.needrestart:
        yield Finding(
            "needrestart",
            not installs,
            "it is installed; during this run it will not prompt or restart services",
            "run `needrestart` afterward to see which services still use old libraries",
            note=True,
            id="needrestart-held",
        )


def source_findings(sources: SourcesState, installs: bool) -> Iterator[Finding]:
    """Yield whether apt can read its sources: a single malformed line makes it reject all of them.

    + installs: whether this run certainly installs packages
    """
    seen, fix = refusal(sources.refused, sources.entries)
    yield Finding(
        "apt sources",
        not sources.refused,
        f"apt rejects all of them: {seen}" if sources.refused else "apt reads all of them",
        fix,
        note=not installs,
        id="apt-sources",
    )


def firewall_findings(machine: MachineState) -> Iterator[Finding]:
    """Yield whether ufw is active, which does not filter the ports that Docker publishes.

    Source: docs.docker.com/engine/network/packet-filtering-firewalls, "Docker and ufw".
    """
    yield Finding(
        "ufw",
        not machine.ufw_active,
        "it is active, but it does not filter ports that Docker publishes: the proxy's port is "
        "open whatever ufw's rules say"
        if machine.ufw_active
        else "it is not active",
        "to block the proxy from the LAN, add rules to Docker's chain DOCKER-USER",
        note=True,
        id="ufw-bypassed",
    )


def reach_findings(firewall: FirewallState, port: int) -> Iterator[Finding]:
    """Yield what may block containers from reaching Ollama on the host. A run opens ufw itself.

    + port: Ollama's

    Docker puts its bridges into firewalld's zone ``docker``, whose target is ACCEPT
    (docs.docker.com/engine/network/packet-filtering-firewalls, "Docker and firewalld").
    """
    if firewall.ufw_at_boot:
        yield Finding(
            "ufw at boot",
            False,
            "ufw is enabled but not running; after the next boot it will block containers from "
            "Ollama",
            "run `ufw --force enable`, then run this again, which adds the rules they need; or run "
            "`ufw disable`",
            note=True,
            id="ufw-at-boot",
        )
    if firewall.firewalld:
        shut = firewall.zone and firewall.target != "ACCEPT"
        zone = firewall.zone or "docker"
        seen = "it is active; Docker's bridges get a zone of their own that accepts everything"
        if firewall.zone:
            seen = (
                f"it is active, and Docker's bridge is in the zone {zone} with the target "
                f"{firewall.target}"
            )
        yield Finding(
            "firewalld",
            not shut,
            seen,
            f"if containers cannot reach Ollama, run `firewall-cmd --permanent --zone={zone} "
            f"--add-port={port}/tcp`, then `firewall-cmd --reload`",
            note=True,
            id="firewalld-zone",
        )
    if firewall.dropping:
        chains = " and ".join(firewall.dropping)
        yield Finding(
            "firewall",
            False,
            f"{chains}: everything that no rule accepts is dropped there, and no rule names "
            f"Docker's bridges or port {port}, so containers will not reach Ollama",
            f'add a rule there, such as `iifname {{ "docker0", "br-*" }} tcp dport {port} accept`',
            note=True,
            id="firewall-drops",
        )


def clock_findings(ahead: int | None, synchronised: str) -> Iterator[Finding]:
    """Yield whether the host's clock agrees with this machine's: TLS and apt reject what is not yet
    valid, or no longer valid.

    + ahead: seconds by which the host's clock is ahead; None if unknown
    + synchronised: ``yes``, ``no`` or empty, as reported by ``timedatectl``
    """
    if ahead is None:
        return
    side = "ahead of" if ahead > 0 else "behind"
    seen = f"it is {timedelta(seconds=abs(ahead))} (hours, minutes, seconds) {side} this machine's"
    time_service = {"yes": "; a time service sets it", "no": "; no time service sets it"}
    yield Finding(
        "clock",
        abs(ahead) <= _CLOCK_SECONDS,
        seen + time_service.get(synchronised, ""),
        "set the clock that is wrong; on the host, run `timedatectl set-ntp true`",
        id="clock-wrong",
    )


def some(names: Sequence[str]) -> str:
    """Return names for a sentence; of many, only the first ones."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
