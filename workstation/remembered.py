"""Facts are asked once: an answer holds until a command has run on the host.

pyinfra asks every fact again whenever an operation wants it: the same Engine for five operations,
and all of them twice, once for the plan and once for the run. Between two commands that change
something a host's answers stay true, as far as this run goes; its lock keeps other runs away.
``commands`` counts what went to each host, which is what a run with nothing to do costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyinfra.api import FactBase, StringCommand

_answers: dict[str, dict[Any, Any]] = {}

commands: dict[str, int] = {}
"""Commands, files and locks that went to each host in this run, by its name."""


def fact(original: Callable[..., Any], host: Any, fact: Any, *args: Any, **kwargs: Any) -> Any:
    """In place of ``Host.get_fact``: return the remembered answer, or ask and remember.

    An exception is not remembered, nor is a fact of pyinfra's own: its operations may change the
    answer in place.
    """
    if not fact.__module__.startswith("workstation."):
        return original(host, fact, *args, **kwargs)
    answers = _answers.setdefault(host.name, {})
    key = (fact, _frozen(args), _frozen(kwargs))
    if key not in answers:
        answers[key] = original(host, fact, *args, **kwargs)
    return answers[key]


def ask_together(host: Any, facts: Sequence[type[FactBase[Any]]]) -> None:
    """Ask facts without arguments in one command, so that each is answered from memory then.

    + facts: of this package
    """
    known = _answers.setdefault(host.name, {})
    keys = {fact: (fact, _frozen(()), _frozen({})) for fact in facts}
    missing = [fact for fact in facts if keys[fact] not in known]
    for fact, lines in zip(missing, host.get_fact(Together, facts=missing), strict=True):
        known[keys[fact]] = fact().process(lines) if lines else fact.default()


class Together(FactBase[list[list[str]]]):
    """
    Returns the lines that the command of each fact prints.

    + facts: without arguments
    """

    _MARK = "-- workstation: the next fact --"

    @staticmethod
    def default() -> list[list[str]]:
        return []

    def command(self, facts: Sequence[type[FactBase[Any]]]) -> StringCommand:
        mark = f"echo '{self._MARK}';"
        return StringCommand(*(part for fact in facts for part in (mark, fact().command(), ";")))

    def process(self, output: list[str]) -> list[list[str]]:
        answers: list[list[str]] = []
        for line in output:
            if line == self._MARK:
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
