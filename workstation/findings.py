"""The result of a check, in the form that preflight and acceptance share."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from workstation.visible import visible

State = Literal["ok", "FAILED", "note", "not checked"]
"""The result of checks, in the words that a person reads."""

HOST = "host"
"""The subject of a finding about the machine itself."""


@dataclass(frozen=True)
class Finding:
    """The result of one check. ``detail`` says what was seen, ``fix`` what a person can do;
    ``evidence`` is the query and its answer, in full. ``subject`` is what it is about: a service
    such as ``dhoch3/comfyui``, or ``host``; if empty, see :func:`subject_of`. ``note``: if it is
    not ok, it is worth knowing but stops nothing. ``id`` is the heading in docs/errors.md that
    explains it. What comes from the host is made ``visible``, except in the evidence."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    evidence: str = ""
    subject: str = ""
    note: bool = False
    id: str = ""

    def __post_init__(self) -> None:
        for name in ("name", "detail", "fix"):
            object.__setattr__(self, name, visible(getattr(self, name)))


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that are not ok, without the notes."""
    return [finding for finding in findings if not finding.ok and not finding.note]


def noted(findings: Iterable[Finding]) -> list[Finding]:
    """Return the notes: those that are not ok but stop nothing."""
    return [finding for finding in findings if not finding.ok and finding.note]


def state_of(findings: Iterable[Finding]) -> State:
    """Return the worst state among findings; ``not checked`` if there are none."""
    findings = list(findings)
    if failed(findings):
        return "FAILED"
    if noted(findings):
        return "note"
    return "ok" if findings else "not checked"


def subject_of(finding: Finding, subjects: Iterable[str]) -> str:
    """Return what a finding is about: its own subject, or the one of ``subjects`` that its name
    begins with (``dhoch3/forge sees the GPU``), or ``host``."""
    return finding.subject or next(
        (subject for subject in subjects if _begins_with(finding.name, subject)), HOST
    )


def _begins_with(name: str, subject: str) -> bool:
    """Return whether ``subject`` is the whole word or path at the beginning of ``name``."""
    return re.match(re.escape(subject) + r"(?![\w.-])", name) is not None
