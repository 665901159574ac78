"""A service's own checks (``check`` in its ``x-workstation``): a command in its container, which
prints a line of JSON for each."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from workstation import scripts
from workstation.acceptance import Answer, Probe, evidence
from workstation.findings import Finding
from workstation.stack import Check, Service, Stack

_MARGIN = 30
"""Seconds that Docker may take to start and to end a command."""

_LONGEST_NAME = 200
_TIMED_OUT = (124, 137)
"""Exit status of timeout(1) after its first signal, and after the second."""


@dataclass(frozen=True)
class _Said:
    """One line of a check."""

    name: str
    ok: bool
    evidence: str
    fix: str


def check_probe(stack: Stack, service: Service, check: Check, container: str) -> Probe:
    """Return the probe that runs a service's own checks.

    + container: its ID
    """
    name = f"{stack.name}/{service.name}"
    return Probe(
        f"{name}'s own check",
        scripts.text("acceptance/check.sh"),
        (container, str(check.timeout), *check.command),
        f"read its log: `docker compose -p {stack.name} logs {service.name}`",
        shlex.join(["docker", "compose", "-p", stack.name, "exec", "-T"])
        + f" {shlex.join([service.name, *check.command])}",
        name,
        lambda probe, answer: _findings(probe, answer, check),
        check.timeout + _MARGIN,
    )


def _findings(probe: Probe, answer: Answer, check: Check) -> Iterator[Finding]:
    """Yield a finding for each line, and a failed one if the command itself failed: it took too
    long, printed nothing or anything else, or failed although all of its lines are good."""
    # Text in JSON may contain other characters that Python takes for the end of a line.
    lines = [line.partition(" ")[::2] for line in answer.output.split("\n")]
    printed = [text for word, text in lines if word == "out" and text.strip()]
    errors = [text for word, text in lines if word == "err" and text.strip()]
    said = [_said(line) for line in printed]
    for one in said:
        if one:
            yield _finding(probe, one)
    last = (errors or printed or [answer.detail])[-1]
    wrong = next((line for line, one in zip(printed, said, strict=True) if one is None), "")
    if answer.status in _TIMED_OUT:
        yield _failed(probe, answer, f"it took longer than {check.timeout} s; {_ends(last)}")
    elif wrong:
        yield _failed(probe, answer, f"it printed something else than its results: {wrong}")
    elif not printed:
        yield _failed(probe, answer, f"it printed no result; {_ends(last)}")
    elif not answer.ok and all(one.ok for one in said if one):
        yield _failed(probe, answer, f"it failed (exit status {answer.status}); {_ends(last)}")


def _ends(line: str) -> str:
    return f"its last line: {line.strip()}"


def _said(line: str) -> _Said | None:
    """Return what a line says, or None if it is not an object with exactly typed values."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    name, ok, seen, fix = (said.get(key) for key in ("name", "ok", "evidence", "fix"))
    if not isinstance(ok, bool):
        return None
    if not (isinstance(name, str) and isinstance(seen, str) and isinstance(fix, str)):
        return None
    return _Said(name.strip()[:_LONGEST_NAME], ok, seen, fix) if name.strip() else None


def _finding(probe: Probe, said: _Said) -> Finding:
    shown = evidence(probe.asked, said.evidence)
    seen = Answer(said.ok, said.evidence).detail
    return Finding(said.name, said.ok, seen, said.fix or probe.fix, shown, probe.subject)


def _failed(probe: Probe, answer: Answer, detail: str) -> Finding:
    return probe.finding(False, Answer(False, detail).detail, answer)
