"""What a stack was asked to achieve (``templates/stacks/<stack>/_criteria.yml``), and which checks
of a run prove it.

A check belongs to a criterion by what its name says behind its subject. A service of which a
criterion asks something, and of which that was not checked, leaves the criterion open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from workstation import given_file, yaml_file
from workstation.compose.keys import reaches_host
from workstation.errors import UserError, expectation, shown
from workstation.findings import Finding, State, state_of, subject_of
from workstation.report.topology import Site, reads_models, writes_outputs
from workstation.stack import Service, Stack
from workstation.stack_kinds import STACKS


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


class _Rule(BaseModel):
    """One criterion of a stack's file of criteria, which says what its keys mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    proved_by: tuple[str, ...]
    asked_of: str = ""
    otherwise: str

    def asks(self, service: Service, site: Site) -> bool:
        """Whether it must be checked of a service."""
        if asks := _ASKS.get(self.asked_of):
            return asks(service, site)
        return service.name == self.asked_of


_ASKS: dict[str, Callable[[Service, Site], bool]] = {
    "route": lambda service, site: bool(service.host),
    "models": reads_models,
    "share": writes_outputs,
    "gpu": lambda service, site: service.gpu,
    "host": lambda service, site: reaches_host(service.keys),
    "built": lambda service, site: service.build is not None,
}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    criteria: list[_Rule]


class CriteriaError(UserError):
    """A stack's file of criteria that cannot be used."""


def _rules(folder: Path) -> list[_Rule]:
    """Return the criteria of a stack; none where its folder has no file of them."""
    file = folder / "_criteria.yml"
    if not given_file.is_there(file):
        return []
    content = yaml_file.read(file).content
    try:
        return _File.model_validate(content).criteria
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CriteriaError(
            f"{file}: {where} is {shown(first['input'])}, {expectation(first)}: correct it."
        ) from None


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
    findings: Iterable[Finding],
    stacks: Sequence[Stack],
    site: Site,
    templates: Path = STACKS,
) -> tuple[Criterion, ...]:
    """Return the criteria of all stacks in their order, each with the checks that prove it.

    + findings: of the run, and :func:`commit_finding` if it was one
    + templates: folder that has one of each stack

    Raises CriteriaError.
    """
    rules = [rule for stack in stacks for rule in _rules(templates / stack.name)]
    services = {
        f"{stack.name}/{service.name}": service for stack in stacks for service in stack.running
    }
    subjects = [(finding, subject_of(finding, services)) for finding in findings]
    return tuple(
        _judged(number, rule, subjects, services, site) for number, rule in enumerate(rules, 1)
    )


def _judged(
    number: int,
    rule: _Rule,
    findings: Sequence[tuple[Finding, str]],
    services: dict[str, Service],
    site: Site,
) -> Criterion:
    asked = {name for name, service in services.items() if rule.asks(service, site)}
    proof = [
        (finding, subject)
        for finding, subject in findings
        if claim(finding, subject).startswith(rule.proved_by)
        and (subject in asked or "/" not in subject)  # of the machine, or of the run
    ]
    missing = sorted(asked - {subject for _, subject in proof})
    remark = ""
    if missing:
        remark = f"not checked: {', '.join(missing)}"
    elif not (asked if rule.asked_of else proof):
        remark = rule.otherwise
    return Criterion(number, rule.text, tuple(finding for finding, _ in proof), remark)


def claim(finding: Finding, subject: str) -> str:
    """Return what the name of a finding says of its subject: ``sees the GPU``."""
    return finding.name.removeprefix(subject).removeprefix("'s").strip()
