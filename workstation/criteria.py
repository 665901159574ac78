"""What the stack dhoch3 was asked to achieve, and which checks of a run prove it.

The ten criteria are those of its requirement, in our words. A check belongs to a criterion by what
its name says behind its subject. A service of which a criterion asks something, and of which that
was not checked, leaves the criterion open.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from workstation.findings import Finding, State, state_of, subject_of
from workstation.stack import Service, Stack
from workstation.topology import Site, reaches_host, reads_models, writes_outputs

STACK = "dhoch3"
"""The stack of whose requirement they are."""


@dataclass(frozen=True)
class Criterion:
    """One criterion with the checks that were made for it.

    ``remark`` says what is missing, or what would prove it.
    """

    number: int
    text: str
    findings: tuple[Finding, ...] = ()
    remark: str = ""

    @property
    def state(self) -> State:
        """What its checks say together; ``not checked`` if something is missing."""
        state = state_of(self.findings)
        return "not checked" if state == "ok" and self.remark else state


@dataclass(frozen=True)
class _Rule:
    """``claims``: how names of checks that prove it go on behind their subject. ``asks``: of which
    services it must be checked; None where it is no matter of single services. ``otherwise``: the
    remark if there is nothing to ask, or nothing was."""

    text: str
    claims: str
    asks: Callable[[Service, Site], bool] | None
    otherwise: str


_RULES = (
    _Rule(
        "Every service answers under a name of its own",
        "answers on |takes websockets|name resolves",
        lambda service, site: bool(service.host),
        "no service has a route",
    ),
    _Rule(
        "All services read the same model store",
        "reads models|the model store ",
        reads_models,
        "no service reads the model store",
    ),
    _Rule(
        "Each service has a folder of the share and writes its outputs there",
        "writes outputs|output is on the server|the share is mounted",
        writes_outputs,
        "no service writes to the share",
    ),
    _Rule(
        "Every AI service can use the GPU",
        "sees the GPU",
        lambda service, site: service.gpu,
        "no service is given a GPU",
    ),
    _Rule(
        "Containers reach Ollama",
        "reaches Ollama|Ollama answers on the host",
        lambda service, site: reaches_host(service),
        "no service knows the host by name",
    ),
    _Rule(
        "Containers are easy to manage, in Dockge",
        "is healthy|answers on |takes websockets",
        lambda service, site: service.name == "dockge",
        "no stack runs Dockge",
    ),
    _Rule(
        "The configuration is in version control",
        "the configuration is a commit",
        None,
        "what ran is no commit: it was changed since, or is not in Git",
    ),
    _Rule(
        "Scripts can repeat the setup",
        "a second run changes nothing",
        None,
        "./provision lab shows it: the second run on a machine that was wiped changes nothing",
    ),
    _Rule(
        "The images that are made here build, and their services start",
        "is healthy|runs the pinned image",
        lambda service, site: service.build is not None,
        "no service has an image of its own",
    ),
    _Rule(
        "Images that are made here suit the hardware",
        r"pins\.yml sources\.",
        None,
        "preflight compares each build with the card and its driver; its findings are not here",
    ),
)


def commit_finding(commit: str) -> Finding:
    """Return the proof that what ran is the commit ``commit``, without changes."""
    return Finding(
        "the configuration is a commit",
        True,
        f"commit {commit}, nothing changed since",
        subject="run",
    )


def unchanged_finding(operations: int) -> Finding:
    """Return the proof that a run of the whole deploy had nothing to change.

    + operations: how many it had
    """
    return Finding(
        "a second run changes nothing",
        True,
        f"none of {operations} operations changed anything",
        subject="run",
    )


def judge(
    findings: Iterable[Finding], stacks: Sequence[Stack], site: Site
) -> tuple[Criterion, ...]:
    """Return the ten criteria in their order, each with the checks that prove it; none where the
    stack does not run of whose requirement they are.

    + findings: of the run, and :func:`commit_finding` if it was one
    """
    if all(stack.name != STACK for stack in stacks):
        return ()
    services = {
        f"{stack.name}/{service.name}": service for stack in stacks for service in stack.running
    }
    subjects = [(finding, subject_of(finding, services)) for finding in findings]
    return tuple(
        _judged(number, rule, subjects, services, site) for number, rule in enumerate(_RULES, 1)
    )


def _judged(
    number: int,
    rule: _Rule,
    findings: Sequence[tuple[Finding, str]],
    services: dict[str, Service],
    site: Site,
) -> Criterion:
    asked = {name for name, service in services.items() if rule.asks and rule.asks(service, site)}
    proof = [
        (finding, subject)
        for finding, subject in findings
        if re.match(rule.claims, claim(finding, subject))
        and (subject in asked or "/" not in subject)  # of the machine, or of the run
    ]
    missing = sorted(asked - {subject for _, subject in proof})
    remark = ""
    if missing:
        remark = f"not checked: {', '.join(missing)}"
    elif not (asked if rule.asks else proof):
        remark = rule.otherwise
    return Criterion(number, rule.text, tuple(finding for finding, _ in proof), remark)


def claim(finding: Finding, subject: str) -> str:
    """Return what the name of a finding says of its subject: ``sees the GPU``."""
    return finding.name.removeprefix(subject).removeprefix("'s").strip()
