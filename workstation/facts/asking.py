"""Facts are queried once: an answer is reused until a command has run on the host.

pyinfra queries a fact again each time an operation needs it: the same Engine for five operations,
and everything twice, once for the plan and once for the run. Between two commands that change
something, a host's answers stay valid for this run; its lock keeps other runs away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pyinfra.api import FactBase, HiddenValue, StringCommand

from workstation import run, scripts
from workstation.facts.shell import Fact, UnansweredError, question

T = TypeVar("T")

_PATIENCE = 1800
"""Seconds that several questions together may take."""

NO_LIMIT_OF_ITS_OWN = 2 * _PATIENCE
"""Seconds after which the connection itself counts as dead."""

Question = tuple[type[FactBase[Any]], Mapping[str, Any]]
"""A fact of this package and its arguments, as ``ask`` takes them."""


def ask(host: Any, fact: type[FactBase[T]], **arguments: Any) -> T:
    """Return a host's answer, from memory if it is known.

    + fact: one of this package
    + arguments: its own, and pyinfra's, such as ``_stdin``

    Raises UnansweredError, and asks again next time; with ``_ignore_errors`` it returns the fact's
    default instead.
    """
    answers = run.current().answers.setdefault(host.name, {})
    key = _key((fact, arguments))
    expected = run.current().expected.get(host.name, {})
    if key in expected:
        planned: T = expected[key]
        return planned
    if key not in answers:
        run.current().count(host.name)
        try:
            answers[key] = host.get_fact(fact, **{"_timeout": NO_LIMIT_OF_ITS_OWN, **arguments})
        except UnansweredError as error:
            if arguments.get("_ignore_errors"):
                return fact.default()
            raise _unanswered(host, error) from None
    answer: T = answers[key]
    return answer


def expect(host: Any, fact: type[FactBase[T]], answer: T) -> None:
    """Have a fact answer this from now on, while the plan is made: what an operation will have
    changed by the time that the next ones run. The run itself asks the host again.

    + fact: one that is asked without arguments
    """
    run.current().expected.setdefault(host.name, {})[_key((fact, {}))] = answer


def ask_together(host: Any, questions: Sequence[Question]) -> None:
    """Query facts in one command, in parallel; afterwards each is answered from memory.

    + questions: their arguments may include ``_stdin``, which is not kept secret here
    """
    known = run.current().answers.setdefault(host.name, {})
    missing = [one for one in questions if _key(one) not in known]
    if not missing:
        return
    given = [str(arguments.get("_stdin", "")) for _, arguments in missing]
    stdin = {"_stdin": "".join(map(_marked, given))} if any(given) else {}
    asked = [
        (fact, {name: value for name, value in arguments.items() if name != "_stdin"})
        for fact, arguments in missing
    ]
    answers = ask(host, Together, questions=asked, given=bool(stdin), **stdin)
    known.update(zip(map(_key, missing), answers, strict=True))


def _unanswered(host: Any, error: UnansweredError) -> UnansweredError:
    return UnansweredError(
        f"{host.name}: {error}. To fix it: find the cause on the host (`systemctl --failed`, "
        "`dmesg | tail`), then run again.",
        id=error.id,
    )


def _marked(text: str) -> str:
    line_end = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{line_end}{Together.MARK}\n"


def _key(question: Question) -> Any:
    fact, arguments = question
    return (fact, _frozen(dict(arguments)))


class Together(Fact[list[Any]]):
    """
    Returns the answer of each fact.

    + questions: facts with their arguments
    + given: whether they have standard inputs, which are passed as one, separated by the mark
    """

    MARK = "-- workstation: the next fact --"

    def command(self, questions: Sequence[Question], given: bool = False) -> StringCommand:
        self._facts = [fact for fact, _ in questions]
        commands = [_hidden(fact().command(**arguments)) for fact, arguments in questions]
        return question(
            scripts.text("asking/together.sh"),
            self.MARK,
            "yes" if given else "",
            *commands,
            limit=_PATIENCE,  # each of them also has its own limit
        )

    def read(self, lines: list[str]) -> list[Any]:
        answers: list[list[str]] = []
        for line in lines:
            if line == self.MARK:
                answers.append([])
            else:
                answers[-1].append(line)
        return [fact().process(own) for fact, own in zip(self._facts, answers, strict=True)]


def _hidden(command: str | StringCommand) -> str | HiddenValue:
    """Return the text of a command, hidden as a whole if a part of it is."""
    text = StringCommand(command).get_raw_value()
    if text == StringCommand(command).get_masked_value():
        return text
    return HiddenValue(text)  # type: ignore[no-untyped-call]


def _frozen(value: Any) -> Any:
    """Return a value in a form that can be compared and hashed; secrets by their content."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(entry)) for key, entry in value.items())
    if isinstance(value, list | tuple | set):
        return tuple(_frozen(entry) for entry in value)
    try:
        hash(value)
    except TypeError:
        return object()  # equal to nothing, so it is queried again
    return value
