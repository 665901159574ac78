"""The plan of a run: what it will change, shown before anything is changed.

A change is one object: the line that names it and the commands that carry it out. An operation
yields changes; ``workstation.operations.base`` puts their lines into the plan and runs their
commands, and ``workstation.hooks`` shows the plan or writes it as JSON. Pure: commands are opaque.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workstation.visible import visible

Sign = Literal["+", "~", "-", "=", "?"]

_VERBS: dict[Sign, str] = {
    "+": "create",
    "~": "change",
    "-": "remove",
    "=": "keep",
    "?": "depends",
}

# Twelve digits identify a digest or commit; all of them would fill a line.
_LONG_HASH = re.compile(r"\b(?P<start>[0-9a-f]{12})(?:[0-9a-f]{52}|[0-9a-f]{28})\b")


class PlanError(Exception):
    """One of our operations does something that its plan does not show, or the reverse."""


@dataclass(frozen=True)
class Change:
    """One line of the plan, and the commands that carry it out.

    ``sign``: + is created, ~ is changed, - is removed, = stays, ? is not known until the run gets
    there. ``subject``: what; ``cause``: why, or in which respect; ``diff``: lines of a unified
    diff. ``commands``: in the order in which they run; none for = and ?, and none for a change
    that is made ``together`` with others. ``writes``: path of the file on the host that gets
    another content, for programs that read it when they start.

    What comes from the host, such as a file's name, is made ``visible``.
    """

    sign: Sign
    subject: str
    cause: str = ""
    diff: tuple[str, ...] = ()
    commands: Sequence[Any] = field(default=(), repr=False, compare=False)
    writes: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", visible(self.subject))
        object.__setattr__(self, "cause", visible(self.cause))
        object.__setattr__(self, "diff", tuple(map(visible, self.diff)))

    @property
    def is_change(self) -> bool:
        """Whether the line announces a change."""
        return self.sign in ("+", "~", "-")

    @property
    def lines(self) -> tuple[Change, ...]:
        """The change itself, as a tuple, because a group has several."""
        return (self,)

    def __str__(self) -> str:
        return f"{self.sign} {self.subject}" + (f" ({self.cause})" if self.cause else "")

    def as_json(self) -> dict[str, object]:
        """Return it as JSON types: ``change``, ``subject``, ``cause`` and ``diff``."""
        return {
            "change": _VERBS[self.sign],
            "subject": self.subject,
            "cause": self.cause,
            "diff": list(self.diff),
        }


@dataclass(frozen=True)
class Group:
    """Several lines of the plan, and the commands that carry them out; see ``together``."""

    lines: tuple[Change, ...]
    commands: Sequence[Any] = field(repr=False)


Changes = Iterable[Change | Group]
"""What an operation yields or returns, in the order of the plan and of the commands."""


def together(changes: Changes, commands: Iterable[Any] = (), before: Iterable[Any] = ()) -> Group:
    """Return a group of changes made by the same commands, such as five packages by one apt call.

    + changes: in the order of the plan; a change with its own commands keeps them
    + commands: run after the changes' own
    + before: run before the changes' own
    """
    parts = list(changes)
    return Group(
        lines=tuple(line for part in parts for line in part.lines),
        commands=(*before, *(command for part in parts for command in part.commands), *commands),
    )


def checked(change: Change | Group) -> Change | Group:
    """Return a change of an operation after checking that its lines and commands match.

    Raises PlanError for a line that announces a change without commands, for commands that no line
    announces, and for anything that is not a change, such as a bare command.
    """
    if not isinstance(change, Change | Group):
        raise PlanError(
            f"a {type(change).__name__} is not a change: yield the change that it makes"
        )
    told = " and ".join(f"`{line}`" for line in change.lines) or "nothing"
    if any(line.is_change for line in change.lines) and not change.commands:
        raise PlanError(f"the plan would show {told}, but no command does it")
    if change.commands and not any(line.is_change for line in change.lines):
        raise PlanError(f"the plan would show {told}, but commands would change something")
    return change


@dataclass
class Step:
    """One operation on one host: what it planned while pyinfra prepared, and what it then did."""

    name: str
    planned: list[Change] = field(default_factory=list)
    done: list[Change] = field(default_factory=list)

    @property
    def changes(self) -> list[Change]:
        """The planned lines that announce a change."""
        return [change for change in self.planned if change.is_change]

    @property
    def unforeseen(self) -> list[Change]:
        """The changes made that the plan neither named nor left open with ``?``."""
        if any(change.sign == "?" for change in self.planned):
            return []
        planned = {change.subject for change in self.planned}
        return [c for c in self.done if c.is_change and c.subject not in planned]


def render(host: str, steps: Sequence[Step], width: int = 80) -> Iterator[tuple[str, str]]:
    """Yield the plan of one host as ``(sign, line)``, no line longer than ``width``.

    The sign of a line determines its color: one of ``+ ~ - = ?``, ``@`` for a position in a diff,
    ``#`` for a heading, or an empty string.
    """
    changing = [step for step in steps if step.changes]
    if not changing:
        yield "#", f"{host}: nothing to change: {_up_to_date(len(steps))}"
    else:
        yield "#", f"{host}: {len(changing)} of {_steps(len(steps))} will change something"
    for step in steps:
        told = [c for c in step.planned if c.is_change or c.sign == "?" or step.changes]
        if not told:
            continue
        yield "", ""
        yield "#", step.name
        for change in told:
            yield from _lines(change, width)


def _up_to_date(count: int) -> str:
    return "the only step is up to date" if count == 1 else f"all {count} steps are up to date"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _lines(change: Change, width: int) -> Iterator[tuple[str, str]]:
    text = _LONG_HASH.sub(r"\g<start>", str(change))
    for line in textwrap.wrap(
        text,
        width,
        initial_indent="  ",
        subsequent_indent="      ",
        break_on_hyphens=False,
    ):
        yield change.sign, line
    for line in change.diff:
        sign = line[:1] if line[:1] in ("+", "-", "@") else ""
        # A diff is quoted as it is: its own blanks stay.
        for part in _cut(line, width - 6):
            yield sign, f"      {part}"


def _cut(line: str, width: int) -> Iterable[str]:
    first, rest = line[:width], line[width:]
    yield first
    while rest:
        yield "    " + rest[: width - 4]
        rest = rest[width - 4 :]
