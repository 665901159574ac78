"""What a check found: preflight and acceptance speak the same form."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "FAILED", "note", "not checked"]
"""What checks say, in the words that a person reads."""

HOST = "host"
"""Subject of a finding about the machine itself."""


@dataclass(frozen=True)
class Finding:
    """One check's result. ``detail`` says what was seen, ``fix`` what a person can do,
    ``evidence`` is what was asked and what came back, in full. ``subject`` is what it is about:
    a service such as ``dhoch3/comfyui``, or ``host``; see :func:`subject_of` where it is empty.
    ``note``: one that is not ok is worth knowing, and stops nothing. ``id`` is the heading in
    docs/errors.md that explains it."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    evidence: str = ""
    subject: str = ""
    note: bool = False
    id: str = ""


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that are not ok and no notes."""
    return [finding for finding in findings if not finding.ok and not finding.note]


def noted(findings: Iterable[Finding]) -> list[Finding]:
    """Return the notes: those that are not ok and stop nothing."""
    return [finding for finding in findings if not finding.ok and finding.note]


def state_of(findings: Iterable[Finding]) -> State:
    """Return what findings say together, the worst first; of none, that nothing was checked."""
    findings = list(findings)
    if failed(findings):
        return "FAILED"
    if noted(findings):
        return "note"
    return "ok" if findings else "not checked"


def subject_of(finding: Finding, subjects: Iterable[str]) -> str:
    """Return what a finding is about: what it says itself, or that one of ``subjects`` with which
    its name begins (``dhoch3/forge sees the GPU``), or ``host``."""
    return finding.subject or next(
        (subject for subject in subjects if _begins_with(finding.name, subject)), HOST
    )


def _begins_with(name: str, subject: str) -> bool:
    """Whether ``subject`` is all of the word or path at the beginning of ``name``."""
    return re.match(re.escape(subject) + r"(?![\w.-])", name) is not None
