"""The receipt of a run: who changed what, when, from which commit, and the result of acceptance.

Pure: ``workstation.operations.receipts`` fills it and stores it on the host, ``tasks/history.py``
shows it. It contains no file contents and no secrets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workstation.errors import HostError
from workstation.findings import Finding, failed, noted
from workstation.plan import Step
from workstation.report.page import Report, duration
from workstation.visible import visible

Outcome = Literal["unchanged", "changed", "failed", "interrupted"]


class Accepted(BaseModel):
    """The result of acceptance at the end of a run: checks by name, with their detail."""

    model_config = ConfigDict(frozen=True)

    checks: int
    failed: dict[str, str]
    notes: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def of(cls, report: Report) -> Accepted:
        """Return the summary of a report."""

        def told(findings: Sequence[Finding]) -> dict[str, str]:
            return {finding.name: finding.detail for finding in findings}

        return cls(
            checks=len(report.findings),
            failed=told(failed(report.findings)),
            notes=told(noted(report.findings)),
            versions=dict(report.versions),
        )

    def __str__(self) -> str:
        return f"{len(self.failed)} failed" if self.failed else f"{self.checks} passed"


class Receipt(BaseModel):
    """One run on one host. ``plan`` and ``done``: name of a step -> its lines, as in the plan but
    without diffs; ``seconds``: part of the run -> the time it took."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    host: str
    who: str
    commit: str
    changed: bool = Field(description="Whether the checkout had uncommitted changes.")
    arguments: list[str]
    started: datetime
    finished: datetime
    outcome: Outcome
    failed: str = Field(default="", description="The step that failed.")
    plan: dict[str, list[str]]
    done: dict[str, list[str]]
    seconds: dict[str, float]
    remote_commands: int
    acceptance: Accepted | None = None

    @property
    def file_name(self) -> str:
        """Return a name that sorts by time; the host's lock keeps two runs apart."""
        return f"{self.started.astimezone(UTC):%Y%m%dT%H%M%SZ}.json"

    @property
    def duration(self) -> str:
        return duration((self.finished - self.started).total_seconds())

    @property
    def result(self) -> str:
        """Return the result in a few words."""
        if self.outcome == "changed":
            count = sum(map(len, self.done.values()))
            return "1 change" if count == 1 else f"{count} changes"
        _, _, step = self.failed.rpartition(" | ")
        return f"failed: {step}" if step else self.outcome

    @property
    def version(self) -> str:
        """Return the commit, with a plus where the checkout had changes."""
        return (self.commit or "unknown") + ("+" if self.changed and self.commit else "")


def lines_of(steps: Sequence[Step]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the planned and the completed changes, by the name of the step; steps without changes
    are left out."""
    plan = {step.name: [str(change) for change in step.changes] for step in steps}
    done = {step.name: [str(one) for one in step.done if one.is_change] for step in steps}
    return {k: v for k, v in plan.items() if v}, {k: v for k, v in done.items() if v}


def read(text: str, name: str) -> Receipt:
    """Return the receipt in a file, made ``visible``: older versions left names as they were.

    + name: name of the file, for the error

    Raises HostError if the file contains something else.
    """
    try:
        found = Receipt.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise HostError(
            f"{name} is not a receipt of a run ({where or 'JSON'}: {first['msg']}): remove it.",
            id="receipt-invalid",
        ) from None
    return Receipt.model_validate(_visible(found.model_dump()))


def _visible(value: Any) -> Any:
    """Return a value of a receipt with every text in it made visible."""
    if isinstance(value, dict):
        return {_visible(name): _visible(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_visible(one) for one in value]
    return visible(value) if isinstance(value, str) else value


def differences(before: Receipt, after: Receipt) -> Iterator[str]:
    """Yield one line for each difference between two runs."""
    for name, old, new in (
        ("who", before.who, after.who),
        ("commit", before.version, after.version),
        ("arguments", " ".join(before.arguments), " ".join(after.arguments)),
        ("result", before.result, after.result),
        ("duration", before.duration, after.duration),
    ):
        if old != new:
            yield f"~ {name}: {old} -> {new}"
    yield from _lists(before.done, after.done)
    old_proof, new_proof = before.acceptance, after.acceptance
    if old_proof is None or new_proof is None:
        if old_proof != new_proof:
            yield f"~ acceptance: {old_proof or 'none'} -> {new_proof or 'none'}"
        return
    yield from _mapping("version of ", old_proof.versions, new_proof.versions)
    yield from _mapping("failed: ", old_proof.failed, new_proof.failed)
    yield from _mapping("note: ", old_proof.notes, new_proof.notes)


def _lists(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> Iterator[str]:
    for step in dict.fromkeys([*before, *after]):
        old, new = before.get(step, []), after.get(step, [])
        yield from (f"- {step}: {line}" for line in old if line not in new)
        yield from (f"+ {step}: {line}" for line in new if line not in old)


def _mapping(what: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            yield f"- {what}{name}: {before[name]}"
        elif name not in before:
            yield f"+ {what}{name}: {after[name]}"
        elif before[name] != after[name]:
            yield f"~ {what}{name}: {before[name]} -> {after[name]}"
