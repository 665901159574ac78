"""What a check found: preflight and acceptance speak the same form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check's result. ``detail`` says what was seen, ``fix`` what a person can do,
    ``evidence`` is what was asked and what came back, in full."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    evidence: str = ""


def failed(findings: Iterable[Finding]) -> list[Finding]:
    """Return those that are not ok."""
    return [finding for finding in findings if not finding.ok]
