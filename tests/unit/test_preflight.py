"""Preflight: every finding on its own, with what was seen and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workstation import settings
from workstation.facts.docker import EngineState
from workstation.facts.machine import MachineState
from workstation.facts.nvidia import Card, GpuState
from workstation.findings import Finding, failed
from workstation.preflight import (
    docker_findings,
    gpu_findings,
    machine_findings,
    proxy_findings,
    summary,
)
from workstation.settings import Settings

ROOT = Path(__file__).parents[2]
UBUNTU = {"ID": "ubuntu", "VERSION_ID": "24.04", "VERSION_CODENAME": "noble"}
CARD = Card("NVIDIA RTX PRO 6000 Blackwell", "12.0", "580.95.05", 97887, "GPU-1")


def configured(**changes: Any) -> Settings:
    return settings.load({**settings.defaults(ROOT / "group_data/all.py"), **changes})


def machine(**changes: Any) -> MachineState:
    values: dict[str, Any] = {"os_release": UBUNTU, "architecture": "x86_64", "systemd": True}
    return MachineState(**{**values, **changes})


def problems(*findings: Finding) -> dict[str, str]:
    """Return name -> detail of what is not ok; each of these has a way out."""
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
    """With evidence of what was seen."""
    findings = list(machine_findings(configured(), machine(os_release=release)))
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
    """Testing and unstable have no version, an unreadable os-release no name."""
    found = problems(*machine_findings(configured(), machine(os_release=release)))
    assert list(found) == ["operating system"]
    assert found["operating system"].endswith(seen)


def test_every_problem_of_a_machine_is_told_at_once():
    """Not only the first."""
    found = problems(*machine_findings(configured(), MachineState(architecture="aarch64")))
    assert set(found) == {"operating system", "architecture", "systemd"}
    assert "aarch64" in found["architecture"]


@pytest.mark.parametrize(
    "engine",
    [
        EngineState(),
        EngineState(client="28.5.1", daemon_json=b'{"bip": "10.9.0.1/16"}'),
        EngineState(daemon_json=b""),
    ],
)
def test_a_docker_that_is_absent_or_there_passes(engine: EngineState):
    """An empty daemon.json, too."""
    assert problems(*docker_findings(machine(), engine)) == {}


@pytest.mark.parametrize(
    ("system", "engine"),
    [
        (machine(snap_docker=True), EngineState()),
        (machine(), EngineState(client="28.4.0", snap=True)),
        (machine(snap_docker=True), EngineState(client="28.4.0", snap=True)),
    ],
)
def test_dockers_snap_is_refused(system: MachineState, engine: EngineState):
    """Wherever it was noticed; the volumes are to be saved first."""
    findings = failed(docker_findings(system, engine))
    assert [finding.name for finding in findings] == ["Docker"]
    assert "snap" in findings[0].detail
    assert findings[0].fix.startswith("save what its volumes hold")


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "it is not JSON"), (b"[]", "it is not a JSON object")]
)
def test_a_daemon_json_that_cannot_be_merged_is_told_before_a_change(content: bytes, reason: str):
    """Not when the Engine is half installed."""
    found = problems(*docker_findings(machine(), EngineState(daemon_json=content)))
    assert list(found) == ["/etc/docker/daemon.json"]
    assert reason in found["/etc/docker/daemon.json"]


def test_a_taken_port_names_who_holds_it():
    """And the ways out, by the names of the settings."""
    system = machine(listeners={22: "sshd", 80: "apache2"})
    finding = failed(proxy_findings(configured(), system, False))[0]
    assert finding.name == "port 80"
    assert "apache2" in finding.detail
    assert "PROXY=existing" in finding.fix
    assert "PROXY_HTTP_PORT" in finding.fix


@pytest.mark.parametrize(
    ("changes", "listeners", "own"),
    [
        ({}, {22: "sshd"}, False),
        ({}, {8080: "apache2"}, False),
        ({}, {80: "docker-proxy"}, True),
        ({"proxy": "existing"}, {80: "docker-proxy"}, False),
        ({"proxy_http_port": 8080}, {80: "apache2"}, False),
    ],
)
def test_a_port_that_is_free_or_ours_passes(
    changes: dict[str, Any], listeners: dict[int, str], own: bool
):
    """An existing proxy is expected to hold its port."""
    system = machine(listeners=listeners)
    assert problems(*proxy_findings(configured(**changes), system, own)) == {}


@pytest.mark.parametrize(
    ("gpu", "seen"),
    [
        (GpuState(), "nvidia-smi is not installed"),
        (
            GpuState(error="Failed to initialize NVML: Driver/library version mismatch"),
            "Driver/library version mismatch",
        ),
    ],
)
def test_a_required_gpu_without_a_driver_says_why(gpu: GpuState, seen: str):
    """With the driver's own words."""
    finding = failed(gpu_findings(configured(), gpu))[0]
    assert seen in finding.detail
    assert "NVIDIA_DRIVER" in finding.fix


@pytest.mark.parametrize(
    ("changes", "gpu"),
    [
        ({}, GpuState(cards=(CARD,))),
        ({"gpu": "optional"}, GpuState()),
        ({"gpu": "none"}, GpuState()),
        ({"nvidia_driver": "580-open"}, GpuState()),
    ],
)
def test_a_gpu_that_works_or_is_not_required_passes(changes: dict[str, Any], gpu: GpuState):
    """One whose driver this run installs, too."""
    assert problems(*gpu_findings(configured(**changes), gpu)) == {}


def test_the_summary_has_one_line_for_each_problem():
    """What is ok is not in it."""
    text = summary(
        [
            Finding("a", True, "good"),
            Finding("b", False, "it is bad", "make it good"),
            Finding("c", False, "it is worse", "leave"),
        ]
    )
    assert text == "  b: it is bad. To fix it: make it good.\n  c: it is worse. To fix it: leave."
