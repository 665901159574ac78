"""Facts are asked once: an answer holds until a command has run on the host.

pyinfra asks every fact again whenever an operation wants it: the same Engine for five operations,
and all of them twice, once for the plan and once for the run. Between two commands that change
something a host's answers stay true, as far as this run goes; its lock keeps other runs away.
``commands`` counts what went to each host, which is what a run with nothing to do costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

from workstation.facts.shell import Fact, UnansweredError, question

_answers: dict[str, dict[Any, Any]] = {}

_PATIENCE = 1800
"""Seconds for several questions at once; after twice that the connection itself counts as dead."""

commands: dict[str, int] = {}
"""Commands, files and locks that went to each host in this run, by its name."""


def fact(original: Callable[..., Any], host: Any, fact: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of ``Host.get_fact``: return the remembered answer, or ask and remember.

    + fact: one of this package has a limit, and no answer is an error that says so

    An exception is not remembered, nor is a fact of pyinfra's own: its operations may change the
    answer in place.
    """
    if not fact.__module__.startswith("workstation."):
        return original(host, fact, *args, **kwargs)
    answers = _answers.setdefault(host.name, {})
    key = (fact, _frozen(args), _frozen(kwargs))
    if key not in answers:
        try:
            answers[key] = original(host, fact, *args, **{"_timeout": 2 * _PATIENCE, **kwargs})
        except UnansweredError as error:
            if kwargs.get("_ignore_errors"):
                return fact.default()
            raise _unanswered(host, error) from None
    return answers[key]


Question = tuple[type[FactBase[Any]], Mapping[str, Any]]
"""A fact of this package and its arguments, as ``get_fact`` takes them."""


def ask_together(host: Any, questions: Sequence[Question]) -> None:
    """Ask facts in one command, side by side, so that each is answered from memory then.

    + questions: ``_stdin`` may be among the arguments, and is no secret here
    """
    known = _answers.setdefault(host.name, {})
    missing = [one for one in questions if _key(one) not in known]
    if not missing:
        return
    given = [str(arguments.get("_stdin", "")) for _, arguments in missing]
    stdin = {"_stdin": "".join(map(_marked, given))} if any(given) else {}
    asked = [
        (fact, {name: value for name, value in arguments.items() if name != "_stdin"})
        for fact, arguments in missing
    ]
    answers = host.get_fact(Together, questions=asked, given=bool(stdin), **stdin)
    for one, lines in zip(missing, answers, strict=True):
        fact, _ = one
        try:
            known[_key(one)] = fact().process(lines)
        except UnansweredError as error:
            raise _unanswered(host, error) from None


def _unanswered(host: Any, error: UnansweredError) -> UnansweredError:
    return UnansweredError(
        f"{host.name}: {error}. To fix it: see on the host what is wrong there "
        "(`systemctl --failed`, `dmesg | tail`), then run again."
    )


def _marked(text: str) -> str:
    line_end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{line_end}{Together.MARK}\n"


def _key(question: Question) -> Any:
    fact, arguments = question
    return (fact, _frozen(()), _frozen(dict(arguments)))


class Together(Fact[list[list[str]]]):
    """
    Returns the lines that the command of each fact prints, with their marks.

    + questions: facts with their arguments
    + given: whether they have standard inputs: these are given as one, with the mark between them
    """

    MARK = "-- workstation: the next fact --"

    @staticmethod
    def default() -> list[list[str]]:
        return []

    def command(self, questions: Sequence[Question], given: bool = False) -> StringCommand:
        commands = [
            StringCommand(fact().command(**arguments)).get_raw_value()
            for fact, arguments in questions
        ]
        return question(
            """
            mark=$1 given=$2; shift 2
            [ -z "$given" ] || awk -v mark="$mark" -v to="$answers/in" \
              'BEGIN {n = 1} $0 == mark {n++; next} {print > (to n)}'
            number=0
            for command; do
              number=$((number + 1)); : >>"$answers/in$number"
              sh -c "$command" <"$answers/in$number" >"$answers/out$number" &
            done
            wait
            number=0
            for command; do
              number=$((number + 1)); echo "$mark"; cat "$answers/out$number"
            done
            """,
            self.MARK,
            "yes" if given else "",
            *commands,
            limit=_PATIENCE,  # each of them has a limit of its own
        )

    def read(self, lines: list[str]) -> list[list[str]]:
        answers: list[list[str]] = []
        for line in lines:
            if line == self.MARK:
                answers.append([])
            else:
                answers[-1].append(line)
        return answers


def forget(host: Any = None) -> None:
    """Forget the answers of a host, or of all."""
    if host is None:
        _answers.clear()
    else:
        _answers.pop(host.name, None)


def command(
    original: Callable[..., Any], self: Any, state: Any, host: Any, *args: Any, **kwargs: Any
) -> Any:
    """In place of ``execute`` of an operation's commands, which may change the host."""
    forget(host)
    return original(self, state, host, *args, **kwargs)


def counted(original: Callable[..., Any], host: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of ``Host.run_shell_command`` and ``Host.put_file``."""
    count(host)
    return original(host, *args, **kwargs)


def count(host: Any) -> None:
    """Count one command to a host."""
    commands[host.name] = commands.get(host.name, 0) + 1


def _frozen(value: Any) -> Any:
    """Return a value as something that can be compared and hashed; secrets by what they hold."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(entry)) for key, entry in value.items())
    if isinstance(value, list | tuple | set):
        return tuple(_frozen(entry) for entry in value)
    try:
        hash(value)
    except TypeError:
        return object()  # equal to nothing: asked again
    return value
