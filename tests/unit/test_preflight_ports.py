"""Findings about ports: their holders, and foreign Traefiks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.fixtures.harness import settings
from workstation.facts.machine import Listener, MachineState
from workstation.facts.surroundings import RunningContainer
from workstation.findings import Finding, failed, noted
from workstation.preflight.ports import (
    foreign_proxy_findings,
    ollama_findings,
    port_findings,
)
from workstation.stack import Stack, parse

OURS = RunningContainer("a" * 64, "proxy-traefik-1", "traefik:v3.7.15", "proxy", ports=(80,))
THEIRS = RunningContainer(
    "b" * 64, "edge", "traefik:v3.1", "web", ports=(80, 443), networks=("base",)
)
NGINX = RunningContainer("c" * 64, "site", "nginx:1", ports=(80,))
DOCKER = Listener("*", 80, "docker-proxy", "docker.service")
BRIDGE = "172.17.0.1"


def stack(name: str = "proxy", ports: str = "['80:80']") -> Stack:
    return parse(f"name: {name}\nservices: {{web: {{image: a, ports: {ports}}}}}")


def machine(*listeners: Listener) -> MachineState:
    return MachineState(listeners=listeners)


def about_80(
    *containers: RunningContainer,
    listeners: tuple[Listener, ...] = (DOCKER,),
    listed: bool = True,
    **of: str,
) -> Finding:
    (finding,) = port_findings(machine(*listeners), containers, [stack(**of)], listed)
    assert finding.name == "port 80"
    return finding


@pytest.mark.parametrize(
    ("listeners", "containers"),
    [
        ((), ()),
        ((Listener("*", 22, "sshd"), Listener("*", 8080, "apache2")), ()),
        ((DOCKER,), (OURS,)),
        ((DOCKER, Listener("*", 80, "docker-proxy")), (RunningContainer("d", "x", "y"), OURS)),
        # With the host's network, the container itself listens.
        ((Listener("*", 80, "traefik", f"docker-{OURS.id}.scope"),), (OURS,)),
        # With "userland-proxy": false, nothing listens.
        ((), (OURS,)),
    ],
)
def test_a_port_that_is_free_or_ours_passes(
    listeners: tuple[Listener, ...], containers: tuple[RunningContainer, ...]
):
    """However Docker holds it."""
    assert about_80(*containers, listeners=listeners).ok


def test_a_taken_port_names_who_holds_it():
    """With the possible fixes, by the names of the settings."""
    finding = about_80(listeners=(Listener("*", 80, "apache2", "apache2.service"),))
    assert failed([finding])
    assert finding.detail == "it is held by apache2 (apache2.service)"
    assert "PROXY=existing" in finding.fix
    assert "PROXY_HTTP_PORT" in finding.fix


def test_a_port_that_docker_keeps_for_nobody_is_noted():
    """A run restarts Docker for it."""
    finding = about_80(replace(OURS, ports=()))
    assert noted([finding])
    assert "after a power failure" in finding.detail


def test_a_port_of_an_engine_that_is_down_may_be_ours():
    """Containers keep running without it, and nothing else knows which; the run starts it."""
    finding = about_80(listeners=(DOCKER,), listed=False)
    assert noted([finding])
    assert "is not running and cannot say for which container" in finding.detail
    assert not about_80(listeners=(Listener("*", 80, "nginx"),), listed=False).note


@pytest.mark.parametrize("address", ["*", "127.0.0.1", "192.168.0.15"])
def test_a_port_for_all_addresses_is_taken_by_any(address: str):
    """Linux refuses to bind it."""
    assert not about_80(listeners=(Listener(address, 80, "nginx"),)).ok


def test_a_port_of_one_address_is_taken_there_or_everywhere():
    """Other addresses do not matter."""
    of = {"name": "s", "ports": "['127.0.0.1:80:80']"}
    assert about_80(listeners=(Listener("192.168.0.15", 80, "nginx"),), **of).ok
    for address in ("*", "127.0.0.1"):
        finding = about_80(listeners=(Listener(address, 80, "nginx"),), **of)
        assert not finding.ok
        assert "templates/stacks/s/compose.yaml.j2" in finding.fix


@pytest.mark.parametrize("listeners", [(DOCKER,), ()])
def test_a_port_that_docker_holds_names_the_container(listeners: tuple[Listener, ...]):
    """docker-proxy does not show its container; without docker-proxy, nothing listens at all."""
    finding = about_80(NGINX, listeners=listeners)
    assert not finding.ok
    assert "the container site (nginx:1)" in finding.detail


def test_a_port_that_a_foreign_traefik_holds_names_its_network():
    """PROXY=existing needs that network."""
    finding = about_80(THEIRS)
    assert "the container edge (traefik:v3.1)" in finding.detail
    assert "PROXY_NETWORK=base" in finding.fix


def test_a_container_of_another_project_is_not_ours():
    """It publishes the same port, but ours runs without it."""
    moved = RunningContainer(OURS.id, OURS.name, OURS.image, "proxy", ports=(8080,))
    assert not about_80(moved, NGINX).ok


def judged(
    *listeners: Listener, containers: tuple[RunningContainer, ...] = (), **of: Any
) -> Finding:
    (finding,) = ollama_findings(settings(**of), machine(*listeners), containers, BRIDGE)
    return finding


def test_a_container_that_publishes_ollamas_port_is_in_the_way():
    """Nothing listens there if Docker uses no helper program."""
    other = RunningContainer("d" * 64, "ollama", "ollama/ollama:0.5", ports=(11434,))
    finding = judged(containers=(other,))
    assert (finding.ok, finding.detail) == (
        False,
        "it is held by the container ollama (ollama/ollama:0.5)",
    )
    elsewhere = Listener("192.168.0.15", 11434, "docker-proxy", "docker.service")
    assert judged(elsewhere, containers=(other,)).ok


@pytest.mark.parametrize(
    "listeners",
    [
        (),
        (
            Listener("127.0.0.1", 11434, "ollama", "ollama.service"),
            Listener(BRIDGE, 11434, "systemd", "init.scope"),
        ),
        (Listener(BRIDGE, 11434, "systemd-socket-", "ollama-docker.service"),),
        (Listener("*", 11434, "ollama", "ollama.service"),),  # install.sh, OLLAMA_HOST=0.0.0.0
        (Listener("127.0.0.1", 11434, "ollama"), Listener(BRIDGE, 11434, "systemd")),
        (Listener("192.168.0.15", 11434, "nginx"),),
        (Listener("127.0.0.1", 11435, "nginx"),),
    ],
)
def test_ollamas_port_that_is_free_or_ollamas_passes(listeners: tuple[Listener, ...]):
    """Ours, and the one from install.sh, which is taken over."""
    finding = judged(*listeners)
    assert finding.ok
    assert finding.name == "port 11434"


@pytest.mark.parametrize(
    "holder",
    [
        Listener("*", 11434, "nginx", "nginx.service"),
        Listener("127.0.0.1", 11434, "ollama", "session-3.scope"),
        Listener(BRIDGE, 11434, "python3"),
        Listener("127.0.0.1", 11434, "ollama", "snap.ollama.listener.service"),
    ],
)
def test_ollamas_port_that_is_taken_names_who_holds_it(holder: Listener):
    """This includes an Ollama that somebody started by hand, because ours could not start."""
    finding = judged(holder)
    assert failed([finding])
    assert str(holder) in finding.detail
    assert "OLLAMA_PORT" in finding.fix


def test_an_ollama_in_a_container_is_named():
    """It uses Ollama's port, but is not ours."""
    theirs = RunningContainer("e" * 64, "llm", "ollama/ollama", ports=(11434,))
    finding = judged(Listener("*", 11434, "docker-proxy", "docker.service"), containers=(theirs,))
    assert "docker-proxy for the container llm (ollama/ollama)" in finding.detail


def test_another_port_of_ollama_is_the_one_that_counts():
    """The setting changes it."""
    assert judged(Listener("*", 11434, "nginx"), ollama_port=11500).name == "port 11500"


def test_a_foreign_traefik_on_our_port_is_refused():
    """With its name, its ports and the network to join."""
    (finding,) = failed(foreign_proxy_findings(settings(), [OURS, THEIRS, NGINX]))
    assert finding.name == "foreign Traefik"
    assert "edge (traefik:v3.1) is running (published ports: 80, 443)" in finding.detail
    assert "PROXY=existing" in finding.fix
    assert "PROXY_NETWORK=base" in finding.fix


def test_of_two_foreign_traefiks_each_is_told_with_its_own_network():
    """And a port with the network of its holder."""
    inner = replace(THEIRS, id="2", name="inner", ports=(), networks=("hidden",))
    fixes = [one.fix for one in foreign_proxy_findings(settings(), [THEIRS, inner])]
    assert ["PROXY_NETWORK=base)" in fix for fix in fixes] == [True, False]
    assert ["PROXY_NETWORK=hidden)" in fix for fix in fixes] == [False, True]
    assert "PROXY_NETWORK=base)" in about_80(THEIRS, inner).fix


def test_a_foreign_traefik_on_other_ports_is_worth_knowing():
    """Both can run, but one would be enough."""
    findings = list(foreign_proxy_findings(settings(proxy_http_port=8080), [THEIRS]))
    assert failed(findings) == []
    assert len(noted(findings)) == 1


def test_our_own_traefik_is_not_foreign():
    """With PROXY=existing, no Traefik is foreign."""
    (finding,) = foreign_proxy_findings(settings(), [OURS, NGINX])
    assert finding.ok
    assert list(foreign_proxy_findings(settings(proxy="existing"), [THEIRS])) == []
