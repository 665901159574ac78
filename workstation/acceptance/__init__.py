"""Probes that check what a machine promises, and how their answers are judged.

A probe is a small shell script that runs on the host. A stack's promises are read from its Compose
file. No code here names a service, so a new one is checked without new code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from workstation.findings import HOST, Finding

LIMIT = 4096
"""Approximate maximum length of a finding's evidence, in characters."""

_LONGEST_DETAIL = 160


@dataclass(frozen=True)
class Answer:
    """The output of a probe, and whether it succeeded. ``status``: its exit status, None if it has
    none; comparisons ignore it because ``ok`` says the same."""

    ok: bool
    output: str
    status: int | None = field(default=None, compare=False)

    @property
    def detail(self) -> str:
        """The first line of its output, shortened."""
        first = self.output.strip().partition("\n")[0].strip()
        if not first:
            return "no output" if self.ok or self.status is None else f"exit status {self.status}"
        return first if len(first) <= _LONGEST_DETAIL else f"{first[:_LONGEST_DETAIL]}…"


@dataclass(frozen=True)
class Probe:
    """A script with its arguments. Its exit status decides, the first line of its output is the
    detail, and all of its output is the evidence.

    + asked: the command as a person could run it
    + seconds: how long it may take, if that is longer than for others
    + read: makes findings from the answer if more than the exit status matters
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    fix: str
    asked: str = ""
    subject: str = HOST
    read: Callable[[Probe, Answer], Iterable[Finding]] | None = None
    seconds: int = 0

    def findings(self, answer: Answer) -> list[Finding]:
        """Return the findings of an answer. An unreadable answer fails the probe, not the run."""
        if self.read is None:
            return [self.finding(answer.ok, answer.detail, answer)]
        try:
            return list(self.read(self, answer))
        except (LookupError, ValueError):
            return [self.finding(False, f"unexpected answer: {answer.detail}", answer)]

    def finding(self, ok: bool, detail: str, answer: Answer) -> Finding:
        """Return a finding with the whole answer as its evidence."""
        told = evidence(self.asked, answer.output, answer.status)
        return Finding(self.name, ok, detail, self.fix, told, self.subject)


def evidence(asked: str, said: str, status: int | None = None) -> str:
    """Return the command and its output as a terminal would show them, within LIMIT."""
    said = said.strip("\n")
    if len(said) > LIMIT:
        left_out = f"\n… {len(said) - LIMIT} characters omitted …\n"
        said = said[: LIMIT * 3 // 4] + left_out + said[-LIMIT // 4 :]
    lines = [f"$ {asked}", said, "" if status is None else f"exit status {status}"]
    return "\n".join(line for line in lines if line)
