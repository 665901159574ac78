"""Acceptance: run every probe, show every result, and only then decide."""

from __future__ import annotations

import getpass
import secrets
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import click
from pyinfra import host, state
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workstation.acceptance import Answer, Probe, evidence
from workstation.acceptance.containers import (
    container_probe,
    fence_probe,
    image_findings,
    table_probe,
)
from workstation.acceptance.gpu import driver_findings
from workstation.acceptance.machine import host_probes, name_probe
from workstation.acceptance.ports import port_probe
from workstation.acceptance.services import (
    certificate_probe,
    outputs,
    proxy_entrance,
    service_probes,
)
from workstation.acceptance.versions import Versions, version_probe, versions
from workstation.compose.actions import ProjectState
from workstation.context import ROOT, Context
from workstation.errors import UserError
from workstation.facts.acceptance import Answers
from workstation.facts.asking import ask
from workstation.facts.nvidia import Gpu, GpuState
from workstation.facts.packages import Packages, PackageState
from workstation.facts.shell import HiddenText
from workstation.facts.smb import ShareFiles
from workstation.findings import HOST, Finding, failed, state_of
from workstation.needs import PROXY
from workstation.operations.base import operation
from workstation.operations.compose import project_state
from workstation.operations.smb import login_options
from workstation.plan import Changes
from workstation.rendered import RenderedStack
from workstation.report import records
from workstation.report.criteria import commit_finding, judge, unchanged_finding
from workstation.report.origin import origin
from workstation.report.page import Origin, Phase, Report, plain
from workstation.report.topology import Site
from workstation.run import current
from workstation.settings import Settings
from workstation.stack import Stack
from workstation.traefik import login

PATIENCE = 300
"""Seconds that one of our commands other than a probe may take."""

_LIMIT = 1800
"""Seconds that all probes may take, besides those that say how long they take."""

_PATIENT = {"_timeout": PATIENCE, "_ignore_errors": True}

_STYLES = {"ok": "green", "FAILED": "bold red", "note": "yellow"}


class AcceptanceError(UserError):
    """The machine does not do everything that its stacks promise."""

    id = "checks-failed"


@operation
def verify(machine: Context, phases: Mapping[str, float] | None = None) -> Changes:
    """
    Check everything that the rendered stacks promise, show the results as a table, write the
    report, and fail if any check failed.

    It only writes test files of its own to the share and removes them, so it does not count as a
    change unless it fails.

    + machine: the host's context
    + phases: part of the run -> seconds it took
    """
    if not state.is_executing:
        host.noop("acceptance checks the machine at the end of the run")
        return ()
    begun = datetime.now().astimezone()
    report = reported(machine, collect(machine), begun, phases or {})
    current().accepted[host.name] = report
    show(report)
    record(report)
    problems = failed(report.findings)
    if problems:
        raise AcceptanceError(f"{len(problems)} of {len(report.findings)} checks failed.")
    return ()


@dataclass(frozen=True)
class Proof:
    """The results of acceptance on one host."""

    findings: tuple[Finding, ...]
    versions: Versions


def collect(machine: Context) -> Proof:
    """Return every finding about the host; an unreachable part only fails its own check."""
    current().forget(host.name)
    settings = machine.settings
    token = secrets.token_hex(4)
    stacks = machine.stacks()
    models = [stack.model for stack in stacks]
    proxy = [machine.stack(PROXY)] if machine.needs.proxy and settings.proxy == "own" else []
    projects = [(stack.model, _settled(stack)) for stack in (*proxy, *stacks)]
    some = [
        name_probe(models),
        certificate_probe(settings, models),
        fence_probe(projects),
    ]
    probes = [
        version_probe(settings),
        *host_probes(settings, models, _units(machine), machine.pins.downloads["ollama"].version),
        port_probe(settings, [model for model, _ in projects], _entered(machine)),
        *filter(None, some),
        *(
            probe
            for model, found in projects[len(proxy) :]
            for probe in service_probes(model, found, settings, token)
        ),
        table_probe([model for model, _ in projects]),
        container_probe(projects),
    ]
    limit = _LIMIT + sum(probe.seconds for probe in probes)
    answers = _answers(probes, login.credentials(settings), limit)
    gpu = _gpu(machine, models)
    installed: dict[str, PackageState] = ask(host, Packages, **_PATIENT) if gpu else {}
    findings = [
        *(
            finding
            for probe, answer in zip(probes, answers, strict=True)
            for finding in probe.findings(answer)
        ),
        *image_findings(projects),
        *_share_findings(settings, models, token),
        *(driver_findings(gpu, installed) if gpu else ()),
    ]
    order = [HOST, *(f"{model.name}/{one.name}" for model, _ in projects for one in model.running)]
    findings.sort(key=lambda finding: order.index(finding.subject))
    return Proof(tuple(findings), versions(answers[0]))


def _gpu(machine: Context, stacks: Sequence[Stack]) -> GpuState | None:
    """Return the state of the GPU after the run; None if no service uses it."""
    used = any(service.gpu for stack in stacks for service in stack.running)
    return ask(host, Gpu, **_PATIENT) if machine.gpu and used else None


def _units(machine: Context) -> dict[str, str]:
    """Return the units that only this host must run -> the task that creates each."""
    return {worker.unit: "worker" for worker in machine.workers if worker.repository}


def _answers(probes: list[Probe], login: str, limit: int) -> list[Answer]:
    """Return the answers; all of them are failures if the machine did not respond.

    + login: the configuration of curl with which probes log in
    + limit: seconds that all of them may take
    """
    answers: list[Answer] = ask(
        host,
        Answers,
        probes=probes,
        limit=limit,
        _stdin=HiddenText(login),
        _timeout=limit + PATIENCE,
        _ignore_errors=True,
    )
    if len(answers) != len(probes):
        return [Answer(False, "the machine did not answer")] * len(probes)
    return answers


def _entered(machine: Context) -> int:
    """Return the SSH port that this run uses, 0 on the machine itself."""
    local = machine.host.name.startswith("@")
    return 0 if local else int(machine.host.data.get("ssh_port") or 22)


def _settled(stack: RenderedStack, seconds: int = 1200, unwell: int = 150) -> ProjectState:
    """Return the project once no container is starting anymore, or after ``seconds``.

    A container that has just started has not failed yet. Nor has an unhealthy one until its next
    health check, which comes within ``unwell`` seconds and may succeed.
    """
    begun = time.monotonic()
    while True:
        current().forget(host.name)
        found = project_state(stack, _timeout=PATIENCE, _ignore_errors=True)
        passed = time.monotonic() - begun
        awaited = ["starting"] * (passed <= seconds) + ["unhealthy"] * (passed <= unwell)
        ours = {one.name for one in stack.model.running}
        waiting = [
            item.service
            for item in found.containers
            if item.health in awaited and item.service in ours
        ]
        if not waiting:
            return found
        host.log(f"waiting for {', '.join(sorted(waiting))} to become healthy")
        time.sleep(5)


def _share_findings(settings: Settings, stacks: Sequence[Stack], token: str) -> Iterator[Finding]:
    """Yield whether a second login to the server sees the test files."""
    written = outputs(stacks, settings)
    if not written:
        return
    name = f".acceptance-{token}"
    seen = ask(
        host,
        ShareFiles,
        server=settings.smb_server,
        share=settings.smb_share,
        user=settings.smb_user,
        domain=settings.smb_domain,
        file_name=name,
        folders=[folder for _, folder in written],
        mount=settings.smb_mount,
        options=login_options(settings),
        _stdin=HiddenText(settings.smb_password.get_secret_value() + "\n"),
        _timeout=PATIENCE,
        _ignore_errors=True,
    )
    for service, folder in written:
        there = seen.get(folder) == token
        asked = ["smbclient", settings.smb_unc, "-U", settings.smb_user]
        yield Finding(
            f"{service}'s output is on the server",
            there,
            f"{folder}: {'read back' if there else 'the file is not there'}",
            f"check whether the share is mounted: `findmnt {settings.smb_mount}`",
            evidence(
                shlex.join([*asked, "-c", f"get {folder}/{name} -"]),
                token if there else "\n".join(f"{at}: {text}" for at, text in seen.items()),
            ),
            service,
        )


def reported(
    machine: Context, proof: Proof, begun: datetime, phases: Mapping[str, float]
) -> Report:
    """Return the report of a run that ends now.

    + begun: when acceptance began
    + phases: part of the run before it -> seconds
    """
    finished = datetime.now().astimezone()
    who = origin(ROOT)
    findings = [*proof.findings, *_of_the_run(machine.host.name, who)]
    stacks = tuple(stack.model for stack in machine.stacks())
    site = _site(machine, proof.versions)
    return Report(
        host=machine.host.name,
        started=begun - timedelta(seconds=sum(phases.values())),
        finished=finished,
        findings=tuple(findings),
        origin=who,
        versions=proof.versions.shown,
        phases=(
            *(Phase(name, seconds) for name, seconds in phases.items()),
            Phase("acceptance", (finished - begun).total_seconds()),
        ),
        stand_ins=machine.mirror.stand_ins,
        stacks=stacks,
        site=site,
        criteria=judge(findings, stacks, site),
    )


def _of_the_run(name: str, who: Origin) -> Iterator[Finding]:
    """Yield what the run itself shows, and what its preflight found about the hardware."""
    for finding in current().findings.get(name, ()):
        if finding.name.startswith("pins.yml sources."):
            yield replace(finding, subject="preflight")
    if who.commit and not who.changed:
        yield commit_finding(who.commit)
    if any(Path(argument).name == "deploy.py" for argument in who.arguments):
        before = [data.operation_meta for data in state.ops[host].values()]
        done = [meta for meta in before if meta.is_complete()]
        if done and not any(meta.did_change() for meta in done):
            yield unchanged_finding(len(done))


def _site(machine: Context, seen: Versions) -> Site:
    settings = machine.settings
    scheme, port = proxy_entrance(settings)
    return Site(
        address=seen.address,
        proxy=settings.proxy,
        scheme=scheme,
        port=port,
        models_path=settings.models_path,
        share=settings.smb_unc if settings.smb_server and settings.smb_share else "",
        share_mount=settings.smb_mount,
        ollama_port=settings.ollama_port,
        gpu=seen.gpu,
        login=_login(machine, seen.address),
    )


def _login(machine: Context, address: str) -> str:
    """Return the arguments of ssh(1) that log in to the host from another machine."""
    data = machine.host.data
    local = machine.host.name.startswith("@")
    name = address or "localhost" if local else data.get("ssh_hostname") or machine.host.name
    user = data.get("ssh_user") or getpass.getuser()
    port = 22 if local else int(data.get("ssh_port") or 22)
    return f"{user}@{name}" if port == 22 else f"-p {port} {user}@{name}"


def show(report: Report) -> None:
    """Print the findings as a table with a fix for each that is not ok, then the criteria, then
    the stand-ins."""
    console = Console(file=sys.stderr)
    table = Table(
        box=None, pad_edge=False, title=f"Acceptance of {report.host}", title_justify="left"
    )
    table.add_column("", min_width=6)
    table.add_column("check", overflow="fold", min_width=34)
    table.add_column("seen", overflow="fold")
    for finding in report.findings:
        state = state_of([finding])
        detail = finding.detail if finding.ok else f"{finding.detail}\n-> {finding.fix}"
        table.add_row(Text(state, _STYLES[state]), Text(plain(finding.name)), Text(plain(detail)))
    console.print(table)
    for subject, group in report.groups.items():
        if group.tunnel:
            link = f"http://{group.link.partition('://')[2]}" if group.link else "no page"
            console.print(
                Text(plain(f"tunnel to {subject}: {group.tunnel}   ({link})")), soft_wrap=True
            )
    criteria = Table(
        box=None,
        pad_edge=False,
        show_header=False,
        title="Success criteria" if report.criteria else None,
        title_justify="left",
    )
    for criterion in report.criteria:
        told = criterion.text + (f" ({criterion.remark})" if criterion.remark else "")
        state = criterion.state
        criteria.add_row(
            Text(f"{criterion.number:2}"), Text(state, _STYLES.get(state, "")), Text(plain(told))
        )
    console.print(criteria)
    for name in report.stand_ins:
        console.print(Text(f"stand-in, not the real thing: {plain(name)}"))


def record(report: Report) -> None:
    """Write the report and print its location, or why it could not be written."""
    try:
        folder = records.folder(report.host)
        records.write(folder / "acceptance.json", report.to_json())
        records.write(folder / "acceptance.html", report.to_html())
    except OSError as error:
        told = f"The report could not be written to {error.filename}: {error.strerror}."
        click.echo(click.style(told, fg="yellow"), err=True)
    else:
        click.echo(f"report: {folder / 'acceptance.html'}", err=True)
