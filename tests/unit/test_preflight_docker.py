"""Findings about a Docker that is already there, and what has to speak to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fixtures.harness import settings
from workstation.facts.docker import EngineState
from workstation.facts.machine import MachineState
from workstation.facts.surroundings import RunningContainer
from workstation.findings import failed, noted
from workstation.preflight.docker import (
    docker_findings,
    is_traefik,
    refuses_old_clients,
    traefik_findings,
)

MACHINE = MachineState()


def engine(version: str = "28.5.1", **changes: Any) -> EngineState:
    values = {"client": version, "server": version, "compose": "2.40.3", "buildx": "v0.29.1"}
    return EngineState(**{**values, **changes})


def container(image: str, name: str = "theirs", **changes: Any) -> RunningContainer:
    return RunningContainer("f" * 64, name, image, **changes)


@pytest.mark.parametrize(
    "found",
    [
        EngineState(),
        engine(daemon_json=b'{"bip": "10.9.0.1/16"}'),
        EngineState(daemon_json=b""),
        engine("26.1.5+dfsg1", compose="2.26.1-4"),
        engine("25.0.0", compose="2.24.0"),
        engine("29.1.0", compose="v5.0.1"),
        engine(compose="", buildx=""),
    ],
)
def test_a_docker_that_is_absent_or_good_passes(found: EngineState):
    """An empty daemon.json, too, and one whose Compose this run installs."""
    assert failed(docker_findings(MACHINE, found)) == []


@pytest.mark.parametrize(
    ("system", "found"),
    [
        (MachineState(snap_docker=True), EngineState()),
        (MACHINE, EngineState(client="28.4.0", snap=True)),
        (MachineState(snap_docker=True), EngineState(client="24.0.5", compose="2.20.0", snap=True)),
    ],
)
def test_dockers_snap_is_refused(system: MachineState, found: EngineState):
    """Wherever it was noticed; the volumes are to be saved first, its age does not matter."""
    findings = failed(docker_findings(system, found))
    assert [finding.name for finding in findings] == ["Docker"]
    assert "snap" in findings[0].detail
    assert findings[0].fix.startswith("save what its volumes hold")


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "it is not JSON"), (b"[]", "it is not a JSON object")]
)
def test_a_daemon_json_that_cannot_be_merged_is_told_before_a_change(content: bytes, reason: str):
    """Not when the Engine is half installed."""
    findings = failed(docker_findings(MACHINE, EngineState(daemon_json=content)))
    assert [finding.name for finding in findings] == ["/etc/docker/daemon.json"]
    assert reason in findings[0].detail


def test_an_engine_without_cdi_that_would_be_left_alone_is_refused():
    """By what runs, not by the client beside it."""
    (finding,) = failed(docker_findings(MACHINE, engine(client="28.5.1", server="24.0.7")))
    assert finding.name == "Docker Engine"
    assert "24.0.7 is there, 25.0 or newer is needed" in finding.detail
    assert "CDI" in finding.fix


def test_an_engine_that_is_replaced_may_be_old():
    """It lacks Compose, so this run installs another."""
    assert failed(docker_findings(MACHINE, engine("24.0.7", compose=""))) == []


def test_an_old_compose_is_refused():
    """A package that is there is not upgraded, nor is a plugin that somebody put there."""
    (finding,) = failed(docker_findings(MACHINE, engine(compose="2.20.2")))
    assert finding.name == "Docker Compose"
    assert "2.20.2 is there, 2.24 or newer is needed" in finding.detail
    assert "cli-plugins" in finding.fix


@pytest.mark.parametrize(
    ("found", "minimum_api", "newest", "refuses"),
    [
        (engine("29.1.0"), "1.44", False, True),
        (engine("29.1.0"), "1.24", False, False),  # min-api-version in daemon.json
        (engine("28.5.1"), "1.24", True, False),
        (engine("29.1.0", server=""), "", False, True),
        (engine("28.5.1", server=""), "", True, False),
        (EngineState(), "", True, True),
        (EngineState(), "", False, False),
    ],
)
def test_docker_29_refuses_old_clients(
    found: EngineState, minimum_api: str, newest: bool, refuses: bool
):
    """Unless it was told otherwise; Docker's own newest is such a one, Debian's is not."""
    assert refuses_old_clients(found, minimum_api, newest) is refuses


@pytest.mark.parametrize(
    "image", ["traefik:v3", "192.168.0.5:80/docker.io/library/traefik@sha256:0"]
)
def test_a_traefik_is_known_by_its_image(image: str):
    """From whichever registry."""
    assert is_traefik(container(image))


@pytest.mark.parametrize("image", ["traefik/whoami:v1", "nginx:1", "me/traefik-errors", "sha256:1"])
def test_others_are_no_traefik(image: str):
    """Although their name begins like it."""
    assert not is_traefik(container(image))


@pytest.mark.parametrize("tag", ["v3.6.1", "v3.7.15", "3.6.2", "v3.7", "v2.11.31"])
def test_a_pinned_traefik_that_speaks_to_docker_29_passes(tag: str):
    """Of both major versions."""
    (finding,) = traefik_findings(settings(), own=tag, foreign=[], new_engine=True)
    assert finding.ok
    assert tag in finding.detail


@pytest.mark.parametrize("tag", ["v3.6.0", "v3.5", "v3.6.0-rc.1", "v2.11.30", "v1.7.34"])
def test_a_pinned_traefik_that_is_too_old_for_docker_29_is_refused(tag: str):
    """With the oldest that would do."""
    (finding,) = failed(traefik_findings(settings(), own=tag, foreign=[], new_engine=True))
    assert finding.name == "pins.yml images.traefik"
    assert tag in finding.detail
    oldest = "2.11.31" if tag.startswith("v2") else "3.6.1"
    assert f"needs Traefik {oldest}" in finding.detail
    assert list(traefik_findings(settings(), own=tag, foreign=[], new_engine=False)) == []


def test_an_existing_traefik_is_judged_by_its_own_version():
    """Which its image's label tells, whatever its tag is; other containers are not."""
    given = settings(proxy="existing")
    old = container("traefik:v3.6", name="edge", version="v3.6.0")
    good = container("traefik:latest", name="new", version="v3.6.4")
    findings = list(traefik_findings(given, "v3.0.0", [old, good, container("nginx:1")], True))
    assert [finding.name for finding in findings] == ["Traefik edge", "Traefik new"]
    assert [finding.name for finding in failed(findings)] == ["Traefik edge"]
    assert "min-api-version" in findings[0].fix


@pytest.mark.parametrize("image", ["traefik", "traefik:latest", "traefik:v3", "traefik:v3.6"])
def test_an_existing_traefik_of_no_known_version_is_worth_knowing(image: str):
    """It may be new enough."""
    findings = list(traefik_findings(settings(proxy="existing"), "", [container(image)], True))
    assert failed(findings) == []
    assert len(noted(findings)) == 1
