"""Made-up stacks for the tests of acceptance, and a way to run its scripts on this machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from workstation import settings
from workstation.acceptance import Probe
from workstation.acceptance.services import service_probes
from workstation.compose.actions import Container, ProjectState
from workstation.findings import Finding
from workstation.settings import Settings
from workstation.stack import Stack, parse

ROOT = Path(__file__).parents[2]
PATHS = {"models_path": "/vol/models", "smb_mount": "/mnt/ki"}
LABELS = {"traefik.enable": "true", "traefik.http.routers.p.rule": "Host(`painter.example`)"}
PAINTER = {
    "image": "painter:1",
    "labels": LABELS,
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
STARTED = "2026-11-21T06:41:09.123456789Z"


def configured(**changes: Any) -> Settings:
    return settings.load({**settings.defaults(ROOT / "group_data/all.py"), **PATHS, **changes})


def made_up(**services: Any) -> Stack:
    return parse(yaml.safe_dump({"name": "s", "services": services}, sort_keys=False), "/opt/s")


def container(service: str, **changes: Any) -> Container:
    values = {"id": f"id-{service}", "image": "", "hash": "", "state": "running", **changes}
    return Container(service=service, **{"started": STARTED, **values})


def probes(stack: Stack, *containers: Container, **changes: Any) -> dict[str, Probe]:
    found = list(
        service_probes(stack, ProjectState(containers=containers), configured(**changes), "t0ken")
    )
    assert all(probe.fix and probe.asked for probe in found)
    assert {probe.subject for probe in found} <= {f"s/{one.name}" for one in stack.running}
    return {probe.name: probe for probe in found}


def one(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


# The scripts themselves, with a `docker` that runs its command on this machine.
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


def run(
    probe: Probe, tmp_path: Path, *arguments: str, docker: str = DOCKER, **others: str
) -> subprocess.CompletedProcess[str]:
    """Run a probe's script, as ``answers.sh`` does, with a stand-in for Docker, and for ``others``.
    The login at the proxy is anna's."""
    (tmp_path / "login").write_text('user = "anna:geheim"\n')
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name, text in {"docker": docker, **others}.items():
        file = programs / name.replace("_", "-")
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    return subprocess.run(
        ["sh", "-c", probe.script, "sh", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
    )
