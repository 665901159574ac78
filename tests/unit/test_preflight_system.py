"""Findings about the system itself, each with its evidence and its fix."""

from __future__ import annotations

from typing import Any

import pytest

from workstation.facts.firewall import FirewallState
from workstation.facts.machine import MachineState
from workstation.facts.packages import SourcesState
from workstation.findings import Finding, failed, noted
from workstation.preflight.system import (
    clock_findings,
    firewall_findings,
    package_findings,
    reach_findings,
    source_findings,
    system_findings,
)

UBUNTU = {"ID": "ubuntu", "VERSION_ID": "24.04", "VERSION_CODENAME": "noble"}
GIB = 2**30


def machine(**changes: Any) -> MachineState:
    values: dict[str, Any] = {"os_release": UBUNTU, "architecture": "x86_64", "systemd": True}
    return MachineState(**{**values, **changes})


def problems(*findings: Finding) -> dict[str, str]:
    """Return name -> detail of the problems that stop a run; each of these has a fix."""
    bad = failed(findings)
    assert all(finding.detail and finding.fix for finding in bad)
    return {finding.name: finding.detail for finding in bad}


@pytest.mark.parametrize(
    "release",
    [
        UBUNTU,
        {"ID": "debian", "VERSION_ID": "13", "VERSION_CODENAME": "trixie"},
    ],
)
def test_the_supported_systems_pass(release: dict[str, str]):
    """With the observed system as evidence."""
    findings = list(system_findings(machine(os_release=release)))
    assert problems(*findings) == {}
    assert f"{release['ID']} {release['VERSION_ID']}" in findings[0].detail


@pytest.mark.parametrize(
    ("release", "seen"),
    [
        ({"ID": "ubuntu", "VERSION_ID": "22.04"}, "ubuntu 22.04"),
        ({"ID": "ubuntu", "VERSION_ID": "24.10"}, "ubuntu 24.10"),
        ({"ID": "debian", "VERSION_ID": "12"}, "debian 12"),
        ({"ID": "debian"}, "debian"),
        ({"ID": "fedora", "VERSION_ID": "43"}, "fedora 43"),
        ({}, "unknown"),
    ],
)
def test_other_systems_are_refused_by_name(release: dict[str, str], seen: str):
    """Testing and unstable have no version, an unreadable os-release has no name."""
    found = problems(*system_findings(machine(os_release=release)))
    assert list(found) == ["operating system"]
    assert found["operating system"].endswith(seen)


def test_every_problem_of_a_machine_is_told_at_once():
    """Not only the first."""
    bad = MachineState(architecture="aarch64", user=1000, memory=GIB)
    found = problems(*system_findings(bad))
    assert set(found) == {"operating system", "architecture", "systemd", "sudo", "memory"}
    assert "aarch64" in found["architecture"]
    assert "1000" in found["sudo"]


def test_root_passes():
    """And says so."""
    finding = next(one for one in system_findings(machine()) if one.name == "sudo")
    assert finding.ok
    assert finding.detail == "commands run as user 0 (root)"


@pytest.mark.parametrize(
    ("gib", "ok", "stops"),
    [(15.6, True, False), (94.2, True, False), (5.8, False, False), (1.9, False, True)],
)
def test_little_memory_is_worth_knowing_and_next_to_none_is_refused(
    gib: float, ok: bool, stops: bool
):
    """A machine sold with 16 GB reports a little less."""
    finding = list(system_findings(machine(memory=round(gib * GIB))))[-1]
    assert (finding.name, finding.ok) == ("memory", ok)
    assert f"{gib:.1f} GiB" in finding.detail
    assert bool(failed([finding])) == stops


def test_memory_that_could_not_be_read_is_no_finding():
    """Unknown values are not reported."""
    assert "memory" not in [finding.name for finding in system_findings(machine())]


@pytest.mark.parametrize("ahead", [0, 119, -120])
def test_clocks_that_nearly_agree_pass(ahead: int):
    """The query itself takes some time."""
    (finding,) = clock_findings(ahead, "yes")
    assert finding.ok
    assert "a time service sets it" in finding.detail


@pytest.mark.parametrize(
    ("ahead", "seen"),
    [(121, "0:02:01 (h"), (-90061, "1 day, 1:01:01 (h")],
)
def test_a_wrong_clock_is_refused_with_the_difference(ahead: int, seen: str):
    """The error also says whether anything would set it."""
    (finding,) = failed(clock_findings(ahead, "no"))
    assert seen in finding.detail
    assert ("ahead of" if ahead > 0 else "behind") in finding.detail
    assert "no time service sets it" in finding.detail
    assert "timedatectl set-ntp" in finding.fix


def test_a_clock_without_a_time_service_is_no_problem_while_it_is_right():
    """A machine without internet may have none."""
    (finding,) = clock_findings(3, "no")
    assert finding.ok
    assert list(clock_findings(None, "")) == []


def test_another_package_manager_is_waited_for():
    """By name; and packages that it is installing do not count as broken."""
    busy = machine(
        package_managers=("apt-daily-upgrade.service", "unattended-upgr (1234)"),
        broken_packages=("libc6:amd64",),
    )
    findings = list(package_findings(busy, installs=True))
    assert problems(*findings) == {}
    (note,) = noted(findings)
    assert note.name == "apt"
    assert "unattended-upgr (1234)" in note.detail
    assert "10 minutes" in note.fix


def test_an_interrupted_dpkg_is_worth_knowing():
    """A run that installs something finishes it; the first packages are named."""
    names = tuple(f"package{number}" for number in range(7))
    findings = list(package_findings(machine(broken_packages=names), installs=False))
    assert problems(*findings) == {}
    (note,) = noted(findings)
    assert note.name == "dpkg"
    assert "package0, package1, package2, package3, package4 and 2 more" in note.detail
    assert "dpkg --configure -a" in note.fix


def test_packages_in_order_pass():
    """No other package manager is running."""
    findings = list(package_findings(machine(), installs=True))
    assert [finding.name for finding in findings] == ["apt", "dpkg"]
    assert all(finding.ok for finding in findings)


@pytest.mark.parametrize("installs", [True, False])
def test_needrestart_is_worth_knowing_where_something_is_installed(installs: bool):
    """It is kept from asking, so old libraries may remain in use afterward."""
    finding = list(package_findings(machine(needrestart=True), installs))[-1]
    assert finding.name == "needrestart"
    assert finding.ok is not installs
    assert failed([finding]) == []


REFUSED = ("Malformed entry 2 in list file /etc/apt/sources.list.d/x.list (Component)",)


@pytest.mark.parametrize("installs", [True, False])
def test_a_file_that_apt_cannot_read_stops_what_would_install(installs: bool):
    """The file is named; a run that needs no packages continues."""
    (finding,) = source_findings(SourcesState(REFUSED), installs)
    assert finding.detail == f"apt rejects all of them: {REFUSED[0]}"
    assert finding.fix == "correct /etc/apt/sources.list.d/x.list, or move it away"
    assert bool(failed([finding])) is installs
    assert [one.ok for one in source_findings(SourcesState(), installs)] == [True]


def test_an_active_ufw_is_told_what_it_does_not_cover():
    """It stops nothing."""
    (note,) = noted(firewall_findings(machine(ufw_active=True)))
    assert "Docker publishes" in note.detail
    assert "DOCKER-USER" in note.fix
    assert [finding.ok for finding in firewall_findings(machine())] == [True]


@pytest.mark.parametrize(
    ("firewall", "names", "words"),
    [
        (FirewallState(), [], ""),
        (FirewallState(ufw=True), [], ""),
        (FirewallState(ufw_at_boot=True), ["ufw at boot"], "after the next boot"),
        (FirewallState(firewalld=True), [], ""),
        (FirewallState(firewalld=True, zone="docker", target="ACCEPT"), [], ""),
        (FirewallState(firewalld=True, zone="public", target="default"), ["firewalld"], "public"),
        (
            FirewallState(dropping=("table inet mine, chain input",)),
            ["firewall"],
            "table inet mine, chain input: everything that no rule accepts is dropped there",
        ),
    ],
)
def test_what_keeps_containers_from_ollama_is_worth_knowing(
    firewall: FirewallState, names: list[str], words: str
):
    """By name and place; acceptance shows whether it really does."""
    findings = list(reach_findings(firewall, 11434))
    assert problems(*findings) == {}
    notes = noted(findings)
    assert [note.name for note in notes] == names
    assert all(words in note.detail and note.fix for note in notes)
