"""The queries to a host, and how often they are sent."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api import HiddenValue, StringCommand

from workstation import run as runs
from workstation.facts.asking import Question, Together, ask, ask_together
from workstation.facts.machine import Accounts, Machine
from workstation.facts.packages import Packages
from workstation.facts.shell import Fact, HiddenText, UnansweredError, question


class Host:
    """Counts its queries."""

    name = "gpu1"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def get_fact(self, fact: Any, **kwargs: Any) -> Any:
        self.asked.append(fact)
        if fact is Together:
            return [f"{one.__name__}'s answer" for one, _ in kwargs["questions"]]
        return len(self.asked)


@pytest.fixture
def host() -> Iterator[Host]:
    """A host without cached answers."""
    runs.fresh()
    yield Host()
    runs.fresh()


def test_the_same_question_is_asked_once(host: Host):
    """Also with lists and dictionaries among its arguments; a different query is sent again."""
    question = {"users": ["a"], "groups": [], "uid": 1, "gid": 2}
    assert ask(host, Accounts, **question) == ask(host, Accounts, **question)
    ask(host, Accounts, **{**question, "users": ["b"]})
    assert len(host.asked) == 2


def test_secrets_are_told_apart_without_being_shown(host: Host):
    """By the content of standard input; as arguments, by the object."""
    key = HiddenValue("k")  # type: ignore[no-untyped-call]
    for text in ("one\n", "two\n", "one\n"):
        ask(host, Machine, key=key, _stdin=HiddenText(text))
    assert len(host.asked) == 2


def test_an_answer_holds_until_a_command_runs_there(host: Host):
    """Only on that host; the command's return value is passed on."""
    other = Host()
    other.name = "gpu2"
    for one in (host, other):
        ask(one, Machine)
    runs.current().forget(host.name)
    for one in (host, other):
        ask(one, Machine)
    assert (len(host.asked), len(other.asked)) == (2, 1)


def test_facts_asked_together_are_known_each(host: Host):
    """In one command, which contains only unknown ones."""
    ask_together(host, [(Machine, {}), (Packages, {})])
    assert ask(host, Machine) == "Machine's answer"
    assert ask(host, Packages) == "Packages's answer"
    ask_together(host, [(Packages, {})])
    assert host.asked == [Together]


class Echo(Fact[list[str]]):
    """Returns its input."""

    __module__ = "workstation.facts.echo"

    def command(self, word: str) -> StringCommand:
        return question('[ -z "$1" ] || { echo "$1"; cat; }', word)

    def read(self, lines: list[str]) -> list[str]:
        return lines


def test_a_value_that_is_hidden_in_one_question_is_hidden_in_all():
    """pyinfra prints commands with `-vv`; the others are still readable."""
    questions: list[Question] = [(Echo, {"word": HiddenValue("Geheim")}), (Echo, {"word": "b"})]
    command = Together().command(questions)
    assert "Geheim" in command.get_raw_value()
    assert "Geheim" not in f"{command} {command!r}"
    assert "question b" in str(command).replace("'", "").replace("bash b", "question b")


class Fails(Echo):
    """Cannot be queried."""

    __module__ = "workstation.facts.echo"

    def command(self) -> StringCommand:  # type: ignore[override]
        return question("echo no such thing >&2; exit 3")


class Here(Host):
    """Runs queries on this machine."""

    def get_fact(self, fact: Any, **kwargs: Any) -> Any:
        self.asked.append(fact)
        given = kwargs.pop("_stdin", "")
        kwargs = {name: value for name, value in kwargs.items() if not name.startswith("_")}
        one = fact()
        command = one.command(**kwargs).get_raw_value()
        done = subprocess.run(
            ["sh", "-c", command], input=given, capture_output=True, text=True, check=True
        )
        return one.process(done.stdout.splitlines())


def test_each_fact_gets_its_own_input_and_gives_its_own_answer():
    """Words with a meaning in a shell, several lines, or nothing at all arrive as if each were
    queried alone."""
    runs.fresh()
    here = Here()
    questions: list[Question] = [
        (Echo, {"word": "a 'b' $(c)", "_stdin": "services: {}\n# two\n"}),
        (Echo, {"word": ""}),
        (Echo, {"word": "d"}),
    ]
    ask_together(here, questions)
    answers = [ask(here, fact, **arguments) for fact, arguments in questions]
    assert answers == [["a 'b' $(c)", "services: {}", "# two"], [], ["d"]]
    assert here.asked == [Together]
    runs.fresh()


def test_a_fact_that_fails_among_others_is_no_empty_answer():
    """A machine that cannot be queried does not look like a bare one."""
    runs.fresh()
    with pytest.raises(UnansweredError, match=r"^gpu1: .*Fails failed: no such thing\. To fix it"):
        ask_together(Here(), [(Echo, {"word": "a"}), (Fails, {})])
    with pytest.raises(UnansweredError, match=r"^gpu1: .*Fails failed: no such thing\. To fix it"):
        ask(Here(), Fails)
    runs.fresh()


def test_a_fact_that_may_fail_gives_its_default_then():
    """The caller decides that: acceptance judges missing answers itself."""
    runs.fresh()
    here = Here()
    assert ask(here, Fails, _ignore_errors=True) == []
