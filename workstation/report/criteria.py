"""The success criteria of a stack (``templates/stacks/<stack>/_criteria.yml``), and the checks of a
run that prove them.

The name of a check, after its subject, says which criterion it proves. A criterion stays open if it
applies to a service for which its check was not made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workstation import given_file, yaml_file
from workstation.compose.keys import reaches_host
from workstation.errors import UserError, expectation, nearest, shown
from workstation.findings import Finding, State, state_of, subject_of
from workstation.report.topology import DOCKER, Site, reads_models, uses, writes_outputs
from workstation.stack import Service, Stack
from workstation.stack_settings import STACKS


@dataclass(frozen=True)
class Criterion:
    """One criterion with its checks.

    ``remark`` says what is missing, or what would prove it.
    """

    number: int
    text: str
    findings: tuple[Finding, ...] = ()
    remark: str = ""

    @property
    def state(self) -> State:
        """The state of its checks together; ``not checked`` if something is missing."""
        state = state_of(self.findings)
        return "not checked" if state == "ok" and self.remark else state


class _Rule(BaseModel):
    """One criterion in a stack's criteria file, which explains the keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    proved_by: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    asked_of: str = ""
    otherwise: str

    def asks(self, service: Service, site: Site) -> bool:
        """Return whether it applies to a service."""
        if asks := _ASKS.get(self.asked_of):
            return asks(service, site)
        return service.name == self.asked_of


_ASKS: dict[str, Callable[[Service, Site], bool]] = {
    "all": lambda _service, _site: True,
    "route": lambda service, site: bool(service.host),
    "models": reads_models,
    "share": writes_outputs,
    "gpu": lambda service, site: service.gpu,
    "host": lambda service, site: reaches_host(service.keys),
    "docker": lambda service, site: DOCKER in uses(service, site),
    "built": lambda service, site: service.build is not None,
}


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    criteria: list[_Rule]


class CriteriaError(UserError):
    """A stack's criteria file is invalid."""

    id = "criteria-invalid"


def _rules(folder: Path) -> list[_Rule]:
    """Return the criteria of a stack; empty if it has no criteria file."""
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


def check(stack: Stack, templates: Path = STACKS) -> None:
    """Raise CriteriaError if the criteria file of a stack is invalid, or names a service that the
    stack does not have: acceptance would find out after everything has been changed.

    + templates: the folder of all stacks
    """
    known = [*_ASKS, *(service.name for service in stack.services)]
    for number, rule in enumerate(_rules(templates / stack.name)):
        if rule.asked_of not in ("", *known):
            raise CriteriaError(
                f"{templates / stack.name}/_criteria.yml: criteria.{number}.asked_of is "
                f"{shown(rule.asked_of)}{nearest(rule.asked_of, known)}, expected one of "
                f"{', '.join(known)}: correct it."
            )


def commit_finding(commit: str) -> Finding:
    """Return the proof that the run used the commit ``commit``, without changes."""
    return Finding(
        "the configuration is a commit",
        True,
        f"commit {commit}, without uncommitted changes",
        subject="run",
    )


def unchanged_finding(operations: int) -> Finding:
    """Return the proof that a run of the whole deploy changed nothing.

    + operations: the number of its operations
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

    + findings: those of the run, with :func:`commit_finding` if it used a commit
    + templates: the folder of all stacks

    Raises CriteriaError.
    """
    services = {
        stack.name: {f"{stack.name}/{service.name}": service for service in stack.running}
        for stack in stacks
    }
    known = {name: service for own in services.values() for name, service in own.items()}
    subjects = [(finding, subject_of(finding, known)) for finding in findings]
    rules = [(stack.name, rule) for stack in stacks for rule in _rules(templates / stack.name)]
    return tuple(
        _judged(number, rule, subjects, services[stack], site)
        for number, (stack, rule) in enumerate(rules, 1)
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
    """Return the name of a finding without its subject: ``sees the GPU``."""
    return finding.name.removeprefix(subject).removeprefix("'s").strip()
