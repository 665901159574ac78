"""Sample reports: the real stacks and the real probes, with made-up answers."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from workstation import pins, settings
from workstation.acceptance import Answer, Probe
from workstation.acceptance.containers import container_probe, image_findings
from workstation.acceptance.machine import host_probes, name_probe
from workstation.acceptance.ports import port_probe
from workstation.acceptance.services import outputs, service_probes
from workstation.compose.actions import Container, ProjectState
from workstation.docker.references import familiar
from workstation.findings import Finding
from workstation.mirror import Mirror
from workstation.render import StackRenderer
from workstation.report import criteria
from workstation.report.page import Origin, Phase, Report
from workstation.report.topology import Site
from workstation.settings import Settings
from workstation.stack import Stack, parse

ROOT = Path(__file__).parents[2]
STARTED = datetime(2026, 11, 21, 7, 50, 12, tzinfo=timezone(timedelta(hours=1)))
SITE = Site(
    address="192.168.0.20",
    models_path="/vol/service/cw/storage-models/models",
    share="//192.168.0.6/ki_Daten",
    share_mount="/mnt/ki_Daten",
    gpu="NVIDIA RTX PRO 6000 Blackwell",
    login="anna@192.168.0.20",
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
    """Return the settings for SITE."""
    values = settings.defaults(ROOT / "group_data/all.py")
    return settings.load(
        {**values, "smb_server": "192.168.0.6", "smb_share": "ki_Daten", **changes}
    )


def dhoch3(gpu: bool = True) -> Stack:
    """Return the rendered stack."""
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


def project(stack: Stack) -> ProjectState:
    """Return the state of a stack in which everything is running as expected."""
    images = {
        service.image: f"sha256:{number:064x}" for number, service in enumerate(stack.running)
    }
    return ProjectState(
        docker=True,
        containers=tuple(
            Container(
                f"{number:064x}",
                service.name,
                images[service.image],
                "",
                "running",
                "healthy",
                UP_SINCE,
            )
            for number, service in enumerate(stack.running)
        ),
        images={familiar(name): image for name, image in images.items()},
    )


def checked(stack: Stack) -> Iterator[Finding]:
    """Yield acceptance's findings for a machine on which everything is fine, by subject."""
    state, configured = project(stack), host_settings()
    names = name_probe([stack])
    probes = [
        *host_probes(configured, [stack]),
        port_probe(configured, [stack], 22),
        *([names] if names else []),
        *service_probes(stack, state, configured, "t0ken"),
        container_probe([(stack, state)]),
    ]
    found = [one for probe in probes for one in probe.findings(Answer(True, told(probe, stack), 0))]
    found += image_findings([(stack, state)])
    for service, folder in outputs([stack], configured):
        name, seen = f"{service}'s output is on the server", f"{folder}: read back"
        found.append(Finding(name, True, seen, "-", "", service))
    yield from sorted(found, key=lambda finding: finding.subject != "host")


def told(probe: Probe, stack: Stack) -> str:
    """Return the output of a probe if everything is fine."""
    if probe.name == "units":
        block = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled"
        return "\n\n".join(f"Id={unit}\n{block}" for unit in probe.arguments[1:])
    if probe.name == "names resolve":
        found = "".join(f"name {name} {SITE.address}\n" for name in probe.arguments)
        return f"own {SITE.address}\n{found}"
    if probe.name == "containers run":
        return "\n".join(f"state {one} running healthy {UP_SINCE} 0" for one in probe.arguments[1:])
    return next(text for claim, text in ANSWERS.items() if claim in probe.name)


UP_SINCE = "2026-11-21T06:41:09.123456789Z"
ANSWERS = {
    "Ollama runs the pinned release": "process 812 of ollama is /opt/ollama/0.32.15/bin/ollama",
    "Ollama answers on the host": "it is version 0.32.15",
    "does not answer on the LAN": "port 11434 does not answer on 192.168.0.20\n"
    'LISTEN 0 4096 127.0.0.1:11434 0.0.0.0:* users:(("ollama",pid=812,fd=3))',
    "closed to neighbors": "traffic from other machines is dropped",
    "speaks plain HTTP": "its address is http://127.0.0.1:8188, https:// there fails",
    "asks for a login": "HTTP 401 without a login\nHTTP 404 for a page of another origin",
    "has an administrator": "its set-up page is closed",
    "cannot manage Ollama": "172.17.0.1:11434/api/delete answers 403",
    "fenced in": "their rules are loaded",
    "answers on": "HTTP 200\nHTTP/1.1 200 OK",
    "takes websockets": "HTTP 101\nHTTP/1.1 101 Switching Protocols",
    "sees the GPU": "name, memory.total [MiB], compute_cap\n"
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition, 97887 MiB, 12.0",
    "reads models": "/models has 15 entries, writing is refused",
    "writes outputs": "written by uid 2000",
    "reaches Ollama": '{"version":"0.32.15"}',
    "the model store": "214 files, mode and group 2775 ai",
    "the share is mounted": "//192.168.0.6/ki_Daten",
    "free space": "/dev/nvme0n1p2 976762584 412345678 514733850 45% /",
    "'s log": "log INFO: Listening on 5001",
    "ports open to the LAN": 'listen tcp LISTEN 0 9 *:22 *:* users:(("sshd",pid=7,fd=3))',
}


def report(
    stacks: tuple[Stack, ...] | None = None,
    broken: str = "dhoch3/forge answers on",
    stand_ins: tuple[str, ...] = STAND_INS,
    more: tuple[Finding, ...] = (),
) -> Report:
    """Return the report of a run in which every finding whose name begins with ``broken``
    failed."""
    stacks = (dhoch3(),) if stacks is None else stacks
    findings = [finding for stack in stacks for finding in checked(stack)]
    findings = [
        replace(finding, ok=False, detail="HTTP 502", evidence="$ curl …\nHTTP 502\nexit status 1")
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
