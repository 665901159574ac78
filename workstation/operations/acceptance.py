"""Proving the machine: every probe is run, every result is shown, and only then is it judged."""

from __future__ import annotations

import secrets
import sys
import time

from pyinfra import host, state
from rich.console import Console
from rich.table import Table

from workstation import acceptance
from workstation.context import Context
from workstation.errors import UserError
from workstation.facts.acceptance import Answers
from workstation.facts.compose import Project
from workstation.facts.shell import HiddenText
from workstation.facts.smb import ShareFiles
from workstation.findings import Finding, failed
from workstation.operations.base import Commands, operation
from workstation.project import ProjectState, familiar
from workstation.render import RenderedStack
from workstation.settings import Settings


class AcceptanceError(UserError):
    """Something that the stacks promise does not hold on the machine."""


@operation
def verify(machine: Context) -> Commands:
    """
    Check all that the rendered stacks promise, show it as a table, fail if anything is not so.

    It changes nothing but its own test files on the share, which it removes, and so it counts
    as no change unless it fails.

    + machine: the host's context
    """
    if not state.is_executing:
        host.noop("acceptance looks at the machine when the run has ended")
        return
    findings = collect(machine)
    show(findings, machine.mirror.stand_ins)
    problems = failed(findings)
    if problems:
        raise AcceptanceError(f"{len(problems)} of {len(findings)} checks failed.")
    yield from ()


def collect(machine: Context) -> list[Finding]:
    """Return every finding about the host; an unreachable part fails its own check alone."""
    settings = machine.settings
    token = secrets.token_hex(4)
    findings: list[Finding] = []
    probes = list(acceptance.host_probes(settings))
    for stack in machine.stacks():
        found = _settled(stack)
        findings += acceptance.health_findings(stack.model, found)
        probes += acceptance.service_probes(stack.model, found, settings, token)
    answers = host.get_fact(Answers, probes=probes)
    findings += [
        Finding(probe.name, answer.ok, answer.output, probe.fix)
        for probe, answer in zip(probes, answers, strict=True)
    ]
    return [*findings, *_share_findings(machine, settings, token)]


def _settled(stack: RenderedStack, seconds: int = 600) -> ProjectState:
    """Return the project once no container is starting any more, or ``seconds`` are over: one
    that has just been started is not yet a broken promise."""
    deadline = time.monotonic() + seconds
    while True:
        found = project_state(stack)
        starting = [item.service for item in found.containers if item.health == "starting"]
        if not starting or time.monotonic() > deadline:
            return found
        host.log(f"waiting for {', '.join(sorted(starting))} to become healthy")
        time.sleep(5)


def project_state(stack: RenderedStack) -> ProjectState:
    """Return the stack's project as it is on the host."""
    found: ProjectState = host.get_fact(
        Project,
        project=stack.model.name,
        folder=stack.folder,
        images=sorted({familiar(service.image) for service in stack.model.services}),
        _stdin=stack.compose,
    )
    return found


def _share_findings(machine: Context, settings: Settings, token: str) -> list[Finding]:
    """Return whether the test files are seen by a second login to the server itself."""
    outputs = acceptance.outputs((stack.model for stack in machine.stacks()), settings)
    if not outputs:
        return []
    seen = host.get_fact(
        ShareFiles,
        server=settings.smb_server,
        share=settings.smb_share,
        user=settings.smb_user,
        domain=settings.smb_domain,
        file_name=f".acceptance-{token}",
        folders=[folder for _, folder in outputs],
        mount=settings.smb_mount,
        _stdin=HiddenText(settings.smb_password.get_secret_value() + "\n"),
    )
    return [
        Finding(
            f"{service}'s output is on the server",
            seen.get(folder) == token,
            f"{folder}: {'read back' if seen.get(folder) == token else 'the file is not there'}",
            "see whether the share is mounted: `findmnt " + settings.smb_mount + "`",
        )
        for service, folder in outputs
    ]


def show(findings: list[Finding], stand_ins: tuple[str, ...]) -> None:
    """Print the findings as a table, what failed with its fix, and what is not the real thing."""
    table = Table(box=None, pad_edge=False, title="Acceptance", title_justify="left")
    table.add_column("")
    table.add_column("check", overflow="fold")
    table.add_column("evidence", overflow="fold")
    for finding in findings:
        detail = finding.detail if finding.ok else f"{finding.detail}\n-> {finding.fix}"
        table.add_row("ok" if finding.ok else "FAILED", finding.name, detail)
    console = Console(file=sys.stderr)
    console.print(table)
    for name in stand_ins:
        console.print(f"stand-in, not the real thing: {name}")
