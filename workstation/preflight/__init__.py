"""Checks that a host must pass before anything on it is changed, one module per subject.

Each function takes the results of facts and yields findings; docs/preflight.md lists them all. A
failed finding stops the run unless it is a note.
"""

from __future__ import annotations

from collections.abc import Iterable

from workstation.errors import in_brackets
from workstation.findings import Finding


def line(finding: Finding) -> str:
    """Return a failed finding as one line for the user."""
    words = f"{finding.name}: {finding.detail}. To fix it: {finding.fix}."
    return words + in_brackets(finding.id)


def summary(findings: Iterable[Finding]) -> str:
    """Return one line per failed finding."""
    return "\n".join(f"  {line(finding)}" for finding in findings if not finding.ok)
