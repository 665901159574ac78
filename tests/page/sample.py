"""Reports to test with: the real stacks and the real probes, with answers that are made up."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from workstation import acceptance, criteria, pins, settings
from workstation.findings import Finding
from workstation.mirror import Mirror
from workstation.project import Container, ProjectState
from workstation.render import StackRenderer
from workstation.report import Origin, Phase, Report
from workstation.settings import Settings
from workstation.stack import Stack, parse
from workstation.topology import Site

ROOT = Path(__file__).parents[2]
STARTED = datetime(2026, 11, 21, 7, 50, 12, tzinfo=timezone(timedelta(hours=1)))
SITE = Site(
    address="192.168.0.20",
    models_path="/vol/service/cw/storage-models/models",
    share="//192.168.0.6/ki_Daten",
    share_mount="/mnt/ki_Daten",
    gpu="NVIDIA RTX PRO 6000 Blackwell",
)
STAND_INS = (
    "ComfyUI (yanwk/comfyui-boot): a small program with its first start, flags and HTTP answers",
    "Forge, AI-Toolkit: repositories with programs of the same entry points and web answers, "
    "without models or image generation",
    "Ollama: a small program that serves its version and an empty model list",
)
PHASES = (
    *(Phase("preflight", 3.4), Phase("docker", 94), Phase("nvidia", 41), Phase("ollama", 73)),
    *(Phase("storage", 1.2), Phase("smb", 6.1), Phase("proxy", 12), Phase("stacks", 1543)),
    Phase("acceptance", 38),
)
VERSIONS = {
    "System": "Ubuntu 24.04.3 LTS",
    "Kernel": "6.8.0-88-generic",
    "NVIDIA driver": "580.95.05",
    "Docker": "29.1.2",
    "Compose": "2.40.3",
    "Ollama": "0.32.15",
    "Traefik": "3.7.9",
}


def host_settings(**changes: object) -> Settings:
    """Return the settings that belong to SITE."""
    values = settings.defaults(ROOT / "group_data/all.py")
    return settings.load(
        {**values, "smb_server": "192.168.0.6", "smb_share": "ki_Daten", **changes}
    )


def dhoch3(gpu: bool = True) -> Stack:
    """Return the stack as it is rendered."""
    data = runpy.run_path(str(ROOT / "group_data/dhoch3.py"))["dhoch3"]
    pinned = pins.load(ROOT / "pins.yml")
    return StackRenderer("dhoch3", host_settings(), pinned, Mirror(), data, gpu).render().model


def made_up(names: list[str], **keys: Any) -> Stack:
    """Return a stack of services that all use the share, the store, the GPU and Ollama."""
    services = {
        name: {
            "image": f"registry.example/{name}:1",
            "labels": {
                "traefik.enable": "true",
                f"traefik.http.routers.{name}.rule": f"Host(`{name}.example`)",
            },
            "volumes": [
                f"{SITE.models_path}:/models:ro",
                f"{SITE.share_mount}/{name}:/outputs",
                f"{name}:/data",
            ],
            "extra_hosts": ["host.docker.internal:host-gateway"],
            "gpus": "all",
            **keys,
        }
        for name in names
    }
    return parse(yaml.safe_dump({"name": "made-up", "services": services}, sort_keys=False), "/opt")


def checked(stack: Stack) -> Iterator[Finding]:
    """Yield what acceptance finds where all is well."""
    state = ProjectState(
        containers=tuple(
            Container(f"id-{service.name}", service.name, "", "", "running", "healthy")
            for service in stack.running
        )
    )
    configured = host_settings()
    yield from acceptance.health_findings(stack, state)
    probes = acceptance.service_probes(stack, state, configured, "t0ken")
    for probe in [*acceptance.host_probes(configured), *probes]:
        answer = next(text for claim, text in ANSWERS.items() if claim in probe.name)
        asked = f"$ sh -c '{probe.script.strip()}' sh {' '.join(probe.arguments)}"
        yield Finding(probe.name, True, answer, probe.fix, f"{asked}\n{answer}\nexit status 0")
    for service, folder in acceptance.outputs([stack], configured):
        yield Finding(f"{service}'s output is on the server", True, f"{folder}: read back", "-")


ANSWERS = {
    "answers on the host": '{"version":"0.32.15"}',
    "does not answer on the LAN": "192.168.0.20:11434 does not answer",
    "answers on": "HTTP 200",
    "takes websockets": "HTTP 101",
    "sees the GPU": "NVIDIA RTX PRO 6000 Blackwell Workstation Edition, 12.0, 97887 MiB",
    "reads models": "/models has 15 entries, writing is refused",
    "writes outputs": "written by uid 2000",
    "reaches Ollama": '{"version":"0.32.15"}',
}


def report(
    stacks: tuple[Stack, ...] | None = None,
    broken: str = "dhoch3/forge answers on",
    stand_ins: tuple[str, ...] = STAND_INS,
    more: tuple[Finding, ...] = (),
) -> Report:
    """Return the report of a run in which what begins with ``broken`` failed."""
    stacks = (dhoch3(),) if stacks is None else stacks
    findings = [finding for stack in stacks for finding in checked(stack)]
    findings = [
        Finding(finding.name, False, "HTTP 502", finding.fix, "$ curl …\nHTTP 502\nexit status 1")
        if broken and finding.name.startswith(broken)
        else finding
        for finding in findings
    ]
    findings += more
    commit = criteria.commit_finding("6e19a44c")
    return Report(
        host="ki-server",
        started=STARTED,
        finished=STARTED + timedelta(seconds=1814),
        findings=tuple(findings),
        origin=Origin("anna@laptop", "6e19a44c", False, ("./provision", "-y")),
        versions=VERSIONS,
        phases=PHASES,
        stand_ins=stand_ins,
        stacks=stacks,
        site=SITE,
        criteria=criteria.judge([*findings, commit], stacks, SITE),
    )
