"""Everything that one run knows and does, in one object. Pure: ``workstation.hooks`` connects it to
pyinfra.

A pyinfra process is one run. Each test begins a fresh one.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workstation.findings import Finding
from workstation.plan import Step
from workstation.report.page import Report


@dataclass
class Run:
    """One run on all of its hosts; the data of a host are stored under its name.

    + options: click's parameters of ``pyinfra``; empty if pyinfra is used as a library
    + steps: what each operation planned and did, by host and pyinfra's hash of the operation
    + findings: the findings of preflight
    + accepted: the report of acceptance
    + reasons: why the run failed on a host
    + answers: answers of facts, which are valid until a command has run on the host
    + expected: answers that facts will give after the changes planned so far; only while planning
    + commands: number of commands, files and locks sent to the host
    + contexts: see ``workstation.context``
    + seconds: time taken so far by the plan and by each task
    + locks: locks of the hosts that no other run may change now
    + prepared: when preparation of the first host began, as ``time.monotonic``
    + shown: whether the plan was shown
    + began: when it began to change hosts
    + interrupted: whether somebody interrupted it at the keyboard
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    findings: dict[str, list[Finding]] = field(default_factory=dict)
    accepted: dict[str, Report] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[Any, Any]] = field(default_factory=dict)
    expected: dict[str, dict[Any, Any]] = field(default_factory=dict)
    commands: dict[str, int] = field(default_factory=dict)
    contexts: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    locks: dict[str, ExitStack] = field(default_factory=dict)
    prepared: float = 0.0
    shown: bool = False
    began: datetime | None = None
    interrupted: bool = False

    def step(self, host: str, operation: str, name: str = "") -> Step:
        """Return the step of an operation on a host; the same object each time."""
        return self.steps.setdefault((host, operation), Step(name))

    def count(self, host: str) -> None:
        """Count one command to a host."""
        self.commands[host] = self.commands.get(host, 0) + 1

    def written(self, host: str) -> set[str]:
        """Return the paths of the files that the plan writes on a host, as far as it is made."""
        steps = [step for (name, _), step in self.steps.items() if name == host]
        return {change.writes for step in steps for change in step.planned if change.writes}

    def forget(self, host: str = "") -> None:
        """Forget the answers of a host, or of all hosts."""
        if host:
            self.answers.pop(host, None)
        else:
            self.answers.clear()

    @property
    def is_asked_for(self) -> bool:
        """Whether it may change hosts without a question (``-y``)."""
        return bool(self.options.get("yes")) and not self.only_looks

    @property
    def only_looks(self) -> bool:
        """Whether it must not change anything."""
        return any(self.options.get(name) for name in ("dry", "debug_facts", "debug_operations"))

    @property
    def is_shown_late(self) -> bool:
        """Whether the plan is shown at the end (``--dry -y``): pyinfra shows it only without
        ``-y``."""
        return self.only_looks and bool(self.options.get("yes")) and not self.is_for_programs

    @property
    def is_for_programs(self) -> bool:
        """Whether standard output is JSON."""
        return bool(self.options.get("json_output"))


_current = Run()


def current() -> Run:
    """Return the run of this process."""
    return _current


def fresh() -> Run:
    """Begin a new, empty run and return it."""
    global _current
    _current = Run()
    return _current
