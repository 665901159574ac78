"""Acceptance: the probes of a service follow from its Compose entry alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from workstation import settings
from workstation.acceptance import (
    Probe,
    health_findings,
    host_probes,
    outputs,
    service_probes,
)
from workstation.project import Container, ProjectState
from workstation.settings import Settings
from workstation.stack import Stack, parse

ROOT = Path(__file__).parents[2]
PATHS = {"models_path": "/vol/models", "smb_mount": "/mnt/ki"}
PAINTER = {
    "image": "painter:1",
    "labels": {"traefik.enable": "true", "traefik.http.routers.p.rule": "Host(`painter.example`)"},
    "volumes": [
        "/vol/models:/models:ro",
        "/mnt/ki/Painter:/outputs",
        "painter:/data",
        "/srv/cache:/cache:ro",
    ],
    "extra_hosts": ["host.docker.internal:host-gateway"],
    "gpus": "all",
    "x-workstation": {"probe": "/api/health"},
}


def configured(**changes: Any) -> Settings:
    return settings.load({**settings.defaults(ROOT / "group_data/all.py"), **PATHS, **changes})


def made_up(**services: Any) -> Stack:
    return parse(yaml.safe_dump({"name": "s", "services": services}, sort_keys=False), "/opt/s")


def container(service: str, **changes: Any) -> Container:
    values = {"id": f"id-{service}", "image": "", "hash": "", "state": "running", **changes}
    return Container(service=service, **values)


def probes(stack: Stack, *containers: Container, **changes: Any) -> dict[str, Probe]:
    found = list(
        service_probes(stack, ProjectState(containers=containers), configured(**changes), "t0ken")
    )
    assert all(probe.fix for probe in found)
    return {probe.name: probe for probe in found}


def test_a_service_that_has_everything_gets_every_probe():
    """A new service is checked without new code."""
    found = probes(made_up(painter=PAINTER), container("painter"))
    assert {name: probe.arguments for name, probe in found.items()} == {
        "s/painter answers on painter.example": ("painter.example", "80", "/api/health"),
        "s/painter sees the GPU": ("id-painter",),
        "s/painter reads models, and only reads": ("id-painter", "/models"),
        "s/painter writes outputs": ("id-painter", "/outputs", "t0ken"),
        "s/painter reaches Ollama": ("id-painter", "11434"),
    }


def test_a_service_that_promises_nothing_is_not_probed():
    """A database, say."""
    assert probes(made_up(db={"image": "db:1", "volumes": ["db:/d"]}), container("db")) == {}


def test_a_service_without_a_container_is_asked_through_the_proxy_alone():
    """There is nothing to look into; that it is missing is a finding of its own."""
    assert list(probes(made_up(painter=PAINTER))) == ["s/painter answers on painter.example"]


def test_what_is_only_built_is_not_probed():
    """It has no container by design."""
    stack = made_up(base={**PAINTER, "profiles": ["build"]})
    assert probes(stack, container("base")) == {}
    assert list(health_findings(stack, ProjectState())) == []


@pytest.mark.parametrize(
    "extra_hosts",
    [["host.docker.internal:host-gateway"], {"host.docker.internal": "host-gateway"}],
)
def test_a_service_that_knows_the_host_must_reach_ollama(extra_hosts: Any):
    """Compose takes a list or a mapping."""
    stack = made_up(a={"image": "a:1", "extra_hosts": extra_hosts})
    assert list(probes(stack, container("a"))) == ["s/a reaches Ollama"]


def test_ports_follow_the_settings():
    """The proxy's and Ollama's."""
    found = probes(
        made_up(painter=PAINTER), container("painter"), proxy_http_port=8080, ollama_port=11500
    )
    assert found["s/painter answers on painter.example"].arguments[1] == "8080"
    assert found["s/painter reaches Ollama"].arguments[1] == "11500"
    assert {probe.arguments for probe in host_probes(configured(ollama_port=11500))} == {("11500",)}


def test_models_that_are_writable_and_outputs_that_are_not_are_no_probe():
    """A service that exists to write models has them read-write on purpose."""
    stack = made_up(
        a={
            "image": "a:1",
            "volumes": ["/vol/models:/models", "/mnt/ki/A:/o:ro", "/vol/models2:/x:ro"],
        }
    )
    assert probes(stack, container("a")) == {}


def test_the_container_of_docker_compose_run_is_not_the_services():
    """A stopped leftover would be asked instead of the one that serves."""
    leftover = container("painter", id="leftover", state="exited", oneoff=True)
    stack = made_up(painter=PAINTER)
    found = probes(stack, container("painter"), leftover)
    assert found["s/painter sees the GPU"].arguments == ("id-painter",)
    state = ProjectState(containers=(container("painter"), leftover))
    assert [finding.ok for finding in health_findings(stack, state)] == [True]


@pytest.mark.parametrize(
    ("containers", "ok", "detail"),
    [
        ([], False, "no container"),
        ([container("a")], True, "running"),
        ([container("a", health="healthy")], True, "running, healthy"),
        ([container("a", health="unhealthy")], False, "running, unhealthy"),
        ([container("a", health="starting")], False, "running, starting"),
        ([container("a", state="exited")], False, "exited"),
        ([container("a", state="restarting")], False, "restarting"),
        ([container("other")], False, "no container"),
    ],
)
def test_health_is_a_finding_with_evidence(containers: list[Container], ok: bool, detail: str):
    """What runs without a health check counts as it is."""
    state = ProjectState(containers=tuple(containers))
    (finding,) = health_findings(made_up(a={"image": "a:1"}), state)
    assert (finding.name, finding.ok, finding.detail) == ("s/a is healthy", ok, detail)
    assert "docker compose -p s logs a" in finding.fix


def test_outputs_are_the_writable_mounts_of_the_share():
    """Of every stack, with the folder as the server sees it."""
    first = made_up(
        painter=PAINTER,
        reader={"image": "r:1", "volumes": ["/mnt/ki/Painter:/in:ro"]},
        base={"image": "b:1", "profiles": ["build"], "volumes": ["/mnt/ki/No:/no"]},
    )
    second = made_up(trainer={"image": "t:1", "volumes": ["/mnt/ki/My Trainer/out:/o"]})
    assert outputs([first, second], configured()) == [
        ("s/painter", "Painter"),
        ("s/trainer", "My Trainer/out"),
    ]


# The scripts themselves, with a `docker` that runs its command right here.
DOCKER = """#!/bin/sh
verb=$1; shift
[ "$1" != --user ] || { export EXEC_USER="$2"; shift 2; }
[ "$1" = box ] || { echo "Error: No such container: $1" >&2; exit 1; }
shift
case $verb in
  top) printf 'UID PID\\n0 4711\\n2000 4712\\n100 4713\\n' ;;
  exec) exec "$@" ;;
esac
"""


def run(probe: Probe, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    return subprocess.run(
        ["sh", "-c", probe.script, "sh", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )


@pytest.fixture
def painter() -> dict[str, Probe]:
    return probes(made_up(painter=PAINTER), container("painter"))


def test_writing_leaves_the_token_in_a_hidden_file(painter: dict[str, Probe], tmp_path: Path):
    """For the second login to the server, written by the user that the service itself became."""
    folder = tmp_path / "my outputs"
    folder.mkdir()
    done = run(painter["s/painter writes outputs"], tmp_path, "box", str(folder), "t0ken")
    assert done.returncode == 0
    assert done.stdout == "written by uid 2000\n"
    assert (folder / ".acceptance-t0ken").read_text() == "t0ken"


def test_writing_where_it_is_refused_fails_with_the_reason(
    painter: dict[str, Probe], tmp_path: Path
):
    """The evidence is what the container said."""
    done = run(painter["s/painter writes outputs"], tmp_path, "box", f"{tmp_path}/none", "t0ken")
    assert done.returncode != 0
    assert "t0ken" in done.stdout


def test_a_writable_model_store_fails_and_is_left_clean(painter: dict[str, Probe], tmp_path: Path):
    """The test file is removed again."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models/a.safetensors").touch()
    probe = painter["s/painter reads models, and only reads"]
    done = run(probe, tmp_path, "box", str(tmp_path / "models"))
    assert done.returncode == 1
    assert "is writable" in done.stdout
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["a.safetensors"]


def test_a_read_only_model_store_passes_with_a_count(painter: dict[str, Probe]):
    """/proc/self is a folder in which even root makes no file."""
    probe = painter["s/painter reads models, and only reads"]
    done = subprocess.run(
        ["sh", "-c", 'docker() { shift 2; "$@"; }\n' + probe.script, "sh", "box", "/proc/self/fd"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "writing is refused" in done.stdout


def test_a_container_that_is_gone_fails_every_probe(painter: dict[str, Probe], tmp_path: Path):
    """None of them passes by accident."""
    for name, probe in painter.items():
        if "answers" not in name:
            assert run(probe, tmp_path, "gone", *probe.arguments[1:]).returncode != 0, name
