"""Preflight: reads the host, collects every problem, and stops the run before any change."""

from __future__ import annotations

from typing import Any

from workstation import preflight
from workstation.context import PROXY, Context
from workstation.errors import UserError
from workstation.facts.docker import Engine
from workstation.facts.nvidia import Gpu
from workstation.findings import Finding, failed
from workstation.operations.acceptance import project_state
from workstation.operations.smb import explain, login_answer


class PreflightError(UserError):
    """The host, or what is known of it, is not ready; the message lists every finding."""


def check(host: Any, machine: Context) -> None:
    """Read the host and raise PreflightError if anything stands against the run.

    Called while pyinfra prepares, so it stops the run before its first change, with ``-y`` too.
    """
    settings = machine.settings
    settings.require("smb_server", "smb_share", "smb_user", "smb_password")
    stacks = machine.stacks()
    system = machine.system
    engine = host.get_fact(Engine)
    gpu = host.get_fact(Gpu)
    pins_used = {key for stack in stacks for key in stack.pins_used}
    findings = [
        *preflight.machine_findings(settings, system),
        *preflight.docker_findings(system, engine),
        *preflight.gpu_findings(settings, gpu),
        *preflight.card_findings(settings, gpu),
        *preflight.pin_findings(settings, gpu, machine.pins, pins_used),
    ]
    for stack in stacks:
        findings += preflight.xformers_findings(settings, gpu, stack.model)
    if settings.proxy == "own" and settings.proxy_http_port in system.listeners:
        own = any(
            container.state == "running"
            for container in project_state(machine.stack(PROXY)).containers
        )
        findings += preflight.proxy_findings(settings, system, own)
    if any(stack.model.folders_below(settings.smb_mount) for stack in stacks):
        refusal = explain(login_answer(settings), settings.smb_unc)
        findings.append(Finding("share", not refusal, refusal or "accepted", "see above"))
    problems = failed(findings)
    if problems:
        raise PreflightError(
            f"{host.name} is not ready, nothing was changed:\n{preflight.summary(problems)}"
        )
