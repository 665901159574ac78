"""Findings about an existing Docker, and about programs that use its API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fixtures.harness import settings
from workstation.facts.daemon import DaemonState
from workstation.facts.docker import Bridge, BridgesState, EngineState, Link
from workstation.facts.machine import MachineState
from workstation.facts.surroundings import RunningContainer
from workstation.findings import Finding, failed, noted
from workstation.preflight.docker import (
    daemon_findings,
    docker_findings,
    refuses_old_clients,
    traefik_findings,
    unanswered,
)
from workstation.preflight.neighbors import guard_findings, lets_neighbors_in
from workstation.preflight.versions import coming_finding

MACHINE = MachineState()
ICC = "com.docker.network.bridge.enable_icc"


def engine(version: str = "28.5.1", **changes: Any) -> EngineState:
    values = {"client": version, "server": version, "compose": "2.40.3", "buildx": "v0.29.1"}
    return EngineState(**{**values, **changes})


def daemon(content: Any = None, **changes: Any) -> DaemonState:
    """Return an Engine that runs as docker.service and answers."""
    given = {
        "pid": 17,
        "unit": "docker.service",
        "program": "/usr/sbin/dockerd",
        "answers": True,
        "loaded": "loaded",
        "data_root": "/var/lib/docker",
        "forwarding": True,
    }
    raw = content if isinstance(content, bytes) else json.dumps(content or {}).encode()
    return DaemonState(content=raw, **{**given, **changes})


def about(found: DaemonState, engine_: EngineState | None = None, **wanted: Any) -> list[Finding]:
    """Return the problems that stop a run, and the notes, about an Engine."""
    findings = list(daemon_findings(found, engine_ or engine(), wanted))
    assert all(finding.detail and finding.fix for finding in findings)
    return findings


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
    """The same is true of an empty daemon.json, and of a Docker for which this run installs
    Compose."""
    assert failed(docker_findings(MACHINE, found)) == []
    assert about(DaemonState() if not found.client else daemon(), found) == []


@pytest.mark.parametrize(
    ("system", "found"),
    [
        (MachineState(snap_docker=True), EngineState()),
        (MACHINE, EngineState(client="28.4.0", snap=True)),
        (MachineState(snap_docker=True), EngineState(client="24.0.5", compose="2.20.0", snap=True)),
    ],
)
def test_dockers_snap_is_refused(system: MachineState, found: EngineState):
    """No matter how it was detected; the volumes must be saved first, and its age does not
    matter."""
    findings = failed(docker_findings(system, found))
    assert [finding.name for finding in findings] == ["Docker"]
    assert "snap" in findings[0].detail
    assert findings[0].fix.startswith("back up its volumes")


@pytest.mark.parametrize(
    ("content", "reason"), [(b"{", "it is not JSON"), (b"[]", "it is not a JSON object")]
)
@pytest.mark.parametrize("found", [EngineState(), engine()])
def test_a_daemon_json_that_cannot_be_merged_is_told_before_a_change(
    found: EngineState, content: bytes, reason: str
):
    """Not if the Engine is half installed."""
    where = DaemonState(content=content) if not found.client else daemon(content)
    findings = failed(about(where, found))
    assert [finding.name for finding in findings] == ["/etc/docker/daemon.json"]
    assert reason in findings[0].detail


def test_what_must_be_in_daemon_json_and_cannot_is_told_before_a_change():
    """In the file that the Engine reads."""
    found = daemon({"features": {"cdi": False}}, path="/srv/docker.json")
    (finding,) = failed(about(found, features={"cdi": True}))
    assert finding.name == "/srv/docker.json"
    assert "features.cdi is false" in finding.detail


@pytest.mark.parametrize(
    ("system", "found", "words"),
    [
        (MACHINE, EngineState(podman=True, without_daemon=True), "Podman"),
        (MACHINE, EngineState("28.4.0", desktop=True, without_daemon=True), "Docker Desktop"),
        (MACHINE, EngineState(desktop=True), "Docker Desktop"),
    ],
)
def test_what_is_only_called_docker_is_refused(
    system: MachineState, found: EngineState, words: str
):
    """It would neither run our Compose files nor see the GPU."""
    findings = failed(docker_findings(system, found))
    assert [finding.name for finding in findings] == ["Docker"]
    assert words in findings[0].detail


def test_docker_desktop_beside_an_engine_is_left_alone():
    """It uses another context."""
    assert failed(docker_findings(MACHINE, engine(desktop=True))) == []


@pytest.mark.parametrize(
    ("found", "name", "words"),
    [
        (daemon(unit=""), "docker.service", "but as process 17"),
        (daemon(unit="session-1.scope"), "docker.service", "but as session-1.scope"),
        (daemon(pid=0, loaded="masked", answers=False), "docker.service", "it is masked"),
        (daemon(security=("name=seccomp", "name=userns")), "users of containers", "userns-remap"),
        (daemon(security=("name=rootless",)), "users of containers", "rootless"),
        (daemon({"iptables": False}), "Docker's iptables", "containers reach the internet only if"),
        (daemon(arguments=("--iptables=false",)), "Docker's iptables", "it is off"),
        (daemon({"ip-forward": False}, forwarding=False), "Docker's ip-forward", "nothing outside"),
        (daemon({"bridge": "none"}), "Docker's bridge", "images cannot be built"),
        (
            daemon({"default-network-opts": {"bridge": {ICC: "false"}}}),
            "Docker's default-network-opts",
            "services cannot reach each other",
        ),
    ],
)
def test_a_docker_that_could_not_serve_stops_the_run(found: DaemonState, name: str, words: str):
    """Each with its own reason, before anything is changed."""
    (finding,) = failed(about(found))
    assert finding.name == name
    assert words in finding.detail


@pytest.mark.parametrize(
    "found",
    [
        daemon(answers=False, arguments=("-H", "tcp://127.0.0.1:2375")),
        daemon({"hosts": ["unix:///run/theirs.sock"]}, answers=False),
    ],
)
def test_an_engine_that_listens_elsewhere_stops_the_run(found: DaemonState):
    """A restart would not help. It does not count as wedged if systemd holds the socket for it."""
    for finding in (*failed(about(found, engine(server=""))), unanswered(found)):
        assert finding.detail == "Docker is running but does not listen on /run/docker.sock"
        assert "-H fd://" in finding.fix


@pytest.mark.parametrize(
    "hosts", [(), ("-H", "fd://"), ("-H", "tcp://:1", "--host=unix:///var/run/docker.sock")]
)
def test_an_engine_that_listens_and_does_not_answer_stops_the_run(hosts: tuple[str, ...]):
    """For example one that is still starting."""
    (finding,) = failed(about(daemon(answers=False, arguments=hosts), engine(server="")))
    assert finding.detail == "Docker is running but does not answer on /run/docker.sock"


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (daemon(pid=0, answers=False), "docker.service"),
        (daemon(rootless="anna"), "rootless Docker"),
        (daemon(other="ci.service"), "another Docker Engine"),
        (daemon(swarm=True), "live-restore"),
        (daemon({"iptables": False}, masquerading=True), "Docker's iptables"),
        (daemon({"ip-masq": False}), "Docker's ip-masq"),
        (daemon({"log-driver": "none"}), "Docker's log-driver"),
        (daemon({"authorization-plugins": ["opa"]}), "Docker's authorization plugins"),
        (daemon({"data-root": "/srv/docker"}), "Docker's next start"),
    ],
)
def test_what_is_worth_knowing_of_a_docker_stops_nothing(found: DaemonState, name: str):
    """It works, or the run fixes it."""
    findings = about(found)
    assert failed(findings) == []
    assert [finding.name for finding in noted(findings)] == [name]


@pytest.mark.parametrize(
    "content",
    [
        {"icc": False},
        {"userland-proxy": False},
        {"bip": "10.9.0.1/16", "default-address-pools": [{"base": "10.8.0.0/16", "size": 24}]},
        {"ip-forward": False},
        {"bridge": "br0"},
        {"ipv6": True, "fixed-cidr-v6": "fd00:d0c::/64"},
        {"default-network-opts": {"bridge": {ICC: "true"}}, "no-new-privileges": True},
        {"exec-opts": ["native.cgroupdriver=cgroupfs"], "log-driver": "journald"},
    ],
)
def test_other_settings_of_somebodys_are_no_concern(content: dict[str, Any]):
    """Tried with Engine 26.1: services reach each other and the internet."""
    assert about(daemon(content)) == []


def test_a_wedged_engine_is_one_sentence():
    """It shows the commands to look for the cause."""
    finding = unanswered(daemon())
    assert not finding.ok
    assert finding.detail == "Docker does not answer within 60 s"
    assert "`systemctl status docker` and `journalctl -u docker`" in finding.fix


def test_an_engine_without_cdi_that_would_be_left_alone_is_refused():
    """The running Engine counts, not the client."""
    (finding,) = failed(docker_findings(MACHINE, engine(client="28.5.1", server="24.0.7")))
    assert finding.name == "Docker Engine"
    assert "24.0.7 is installed; 25.0 or newer is needed" in finding.detail
    assert "CDI" in finding.fix


def test_an_engine_that_gets_a_plugin_must_be_new_enough_too():
    """It is not replaced, whereas a client without an Engine gets a new one."""
    (finding,) = failed(docker_findings(MACHINE, engine("24.0.7", compose="")))
    assert finding.name == "Docker Engine"
    assert failed(docker_findings(MACHINE, engine("24.0.7", without_daemon=True))) == []


def test_an_old_compose_is_worth_knowing():
    """The run upgrades it from its own source, or stops when it plans that."""
    findings = list(docker_findings(MACHINE, engine(compose="2.20.2")))
    assert failed(findings) == []
    (finding,) = noted(findings)
    assert finding.name == "Docker Compose"
    assert "2.20.2 is installed; 2.24 or newer is needed" in finding.detail


def test_what_is_newer_than_all_that_were_tried_is_worth_knowing():
    """Docker's own packages are always the newest; this stops nothing."""
    assert noted(docker_findings(MACHINE, engine("28.5.9", compose="2.40.3+ds1-0ubuntu1"))) == []
    new = {"compose": "5.0.1", "buildx": "v0.30.1", "containerd": "v2.2.0"}
    # For a stopped Engine, its client reports the version.
    for changes in ({}, {"server": ""}):
        findings = list(docker_findings(MACHINE, engine("29.1.0", **new, **changes)))
        assert failed(findings) == []
        assert [one.detail.partition(",")[0] for one in noted(findings)] == [
            "29.1.0 is newer than 28.5",
            "5.0.1 is newer than 2.40",
            "v0.30.1 is newer than 0.29",
            "v2.2.0 is newer than 2.1",
        ]


@pytest.mark.parametrize(
    ("found", "newest", "ok"),
    [
        (EngineState(), True, False),
        (EngineState(), False, True),
        (engine("26.1.5"), True, True),
        # dockerd alone, without its client.
        (EngineState(package="docker.io"), True, True),
    ],
)
def test_an_engine_that_will_come_may_be_newer_than_any_tried(
    found: EngineState, newest: bool, ok: bool
):
    """Docker's own packages are installed in their newest version; the distribution's versions are
    known."""
    finding = coming_finding(found, newest)
    assert (finding.ok, finding.note) == (ok, True)
    assert "DOCKER_SOURCE=distribution" in finding.fix


@pytest.mark.parametrize("mode", ["routed", "isolated", "nat", "nat-unprotected"])
def test_networks_without_nat_by_default_publish_nothing(mode: str):
    """Our networks would be like that too, and nobody could reach the proxy."""
    options = {"bridge": {"com.docker.network.bridge.gateway_mode_ipv4": mode}}
    found = failed(about(daemon({"default-network-opts": options})))
    assert bool(found) == (mode in ("routed", "isolated"))
    assert all(mode in one.detail for one in found)


VM, VPN = Link("virbr0", "bridge"), Link("wg0", "wireguard")
THEIRS = container("nginx:1", name="wiki", networks=("site",))
SITE = Bridge("site", "br-0123456789ab"), Bridge("named", "named0")


@pytest.mark.parametrize(
    ("links", "changes", "named"),
    [
        ((VM, VPN, Link("tailscale0", "tun")), {}, "virbr0, wg0, tailscale0"),
        # The LAN, Docker's own bridges (one of a network that no longer exists), and interfaces of
        # virtual machines and containers.
        (
            (
                *(Link("eno1", uplink=True), Link("br0", "bridge", uplink=True)),
                *(Link("docker0", "bridge"), Link("named0", "bridge")),
                *(Link("br-beefbeefbeef", "bridge"), Link("vnet0", "tun", port=True)),
                *(Link("veth1", "veth"), Link("eno1.7", "vlan")),
            ),
            {},
            "",
        ),
        ((Link("br-vms", "bridge"),), {}, "br-vms"),
        ((VM, VPN), {"admitted": ("virbr0",)}, "wg0"),
        ((VPN,), {"admitted": ("wg0",)}, ""),
    ],
)
def test_who_reached_containers_by_their_addresses_is_told(
    links: tuple[Link, ...], changes: dict[str, Any], named: str
):
    """By name, with the rule that lets the interface in, which the user can add."""
    state = BridgesState(SITE, links=links, **changes)
    findings = list(guard_findings(state, [THEIRS], ["dhoch3"]))
    assert failed(findings) == []
    assert bool(findings) == bool(named)
    for finding in findings:
        assert f"{named} can reach only the published ports of wiki" in finding.detail
        first = named.partition(",")[0]
        assert f'iifname "{first}" accept' in finding.fix


@pytest.mark.parametrize("project", ["dhoch3", "other"])
@pytest.mark.parametrize("networks", [("site",), ("host",), ()])
def test_nobody_is_cut_off_from_containers_that_are_ours(project: str, networks: tuple[str, ...]):
    """The same is true of containers in no network with a bridge."""
    one = container("nginx:1", project=project, networks=networks)
    findings = list(guard_findings(BridgesState(SITE, links=(VM,)), [one], ["dhoch3"]))
    assert bool(findings) == (project == "other" and networks == ("site",))
    assert [lets_neighbors_in(engine(one)) for one in ("26.1.5", "28.0.0")] == [True, False]
    assert not lets_neighbors_in(EngineState())


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
    """Unless it is configured otherwise; Docker's own newest is such a version, Debian's is not."""
    assert refuses_old_clients(found, minimum_api, newest) is refuses


@pytest.mark.parametrize("tag", ["v3.6.1", "v3.7.15", "3.6.2", "v3.7", "v2.11.31"])
def test_a_pinned_traefik_that_speaks_to_docker_29_passes(tag: str):
    """For both major versions."""
    (finding,) = traefik_findings(settings(), own=tag, foreign=[], new_engine=True)
    assert finding.ok
    assert tag in finding.detail


@pytest.mark.parametrize("tag", ["v3.6.0", "v3.5", "v3.6.0-rc.1", "v2.11.30", "v1.7.34"])
def test_a_pinned_traefik_that_is_too_old_for_docker_29_is_refused(tag: str):
    """The error names the oldest suitable version."""
    (finding,) = failed(traefik_findings(settings(), own=tag, foreign=[], new_engine=True))
    assert finding.name == "pins.yml images.traefik"
    assert tag in finding.detail
    oldest = "2.11.31" if tag.startswith("v2") else "3.6.1"
    assert f"needs Traefik {oldest}" in finding.detail
    assert list(traefik_findings(settings(), own=tag, foreign=[], new_engine=False)) == []


def test_an_existing_traefik_is_judged_by_its_own_version():
    """Its image's label shows it, whatever its tag is; other containers are ignored."""
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
