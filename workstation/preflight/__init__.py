"""What must be true of a host before anything on it is changed: one module a subject.

Each function takes what facts returned and yields findings; docs/preflight.md lists them all. A
finding that is not ok stops the run, unless it is a note.
"""

from __future__ import annotations

from collections.abc import Iterable

from workstation.errors import in_brackets
from workstation.findings import Finding


def line(finding: Finding) -> str:
    """Return a finding that is not ok as a person reads it."""
    words = f"{finding.name}: {finding.detail}. To fix it: {finding.fix}."
    return words + in_brackets(finding.id)


def summary(findings: Iterable[Finding]) -> str:
    """Return one line per finding that is not ok."""
    return "\n".join(f"  {line(finding)}" for finding in findings if not finding.ok)
