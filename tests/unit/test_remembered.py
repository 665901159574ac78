"""What is asked of a host, and how often."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api import FactBase, HiddenValue, StringCommand
from pyinfra.facts.server import Hostname

from workstation import remembered
from workstation.facts.machine import Accounts, Machine
from workstation.facts.packages import Packages
from workstation.facts.shell import MARK, Fact, HiddenText, UnansweredError, question


class Host:
    """Counts what it is asked."""

    name = "gpu1"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def get_fact(self, fact: type[FactBase[Any]], *args: Any, **kwargs: Any) -> Any:
        return remembered.fact(self._ask, self, fact, *args, **kwargs)

    def _ask(self, host: Any, fact: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(fact)
        if fact is remembered.Together:
            answers = [[MARK, "os ID=debian", "", f"{MARK} 0"], [MARK, "", f"{MARK} 0"]]
            return answers[: len(kwargs["questions"])]
        return len(self.asked)


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of which nothing is known."""
    remembered.forget()
    yield Host()
    remembered.forget()


def test_the_same_question_is_asked_once(host: Host):
    """Lists and dictionaries among its arguments too; another question is another."""
    question = {"users": ["a"], "groups": [], "uid": 1, "gid": 2}
    assert host.get_fact(Accounts, **question) == host.get_fact(Accounts, **question)
    host.get_fact(Accounts, **{**question, "users": ["b"]})
    assert len(host.asked) == 2


def test_secrets_are_told_apart_without_being_shown(host: Host):
    """By what they hold on standard input, by the object where they are arguments."""
    key = HiddenValue("k")  # type: ignore[no-untyped-call]
    for text in ("one\n", "two\n", "one\n"):
        host.get_fact(Machine, key=key, _stdin=HiddenText(text))
    assert len(host.asked) == 2


def test_an_answer_holds_until_a_command_runs_there(host: Host):
    """On that host; what the command returns comes through."""
    other = Host()
    other.name = "gpu2"
    for one in (host, other):
        one.get_fact(Machine)
    assert remembered.command(lambda *_: "status", None, None, host, {}) == "status"
    for one in (host, other):
        one.get_fact(Machine)
    assert (len(host.asked), len(other.asked)) == (2, 1)


def test_facts_of_pyinfra_itself_are_not_remembered(host: Host):
    """Its operations change answers in place."""
    host.get_fact(Hostname)
    host.get_fact(Hostname)
    assert len(host.asked) == 2


def test_facts_asked_together_are_known_each(host: Host):
    """In one command, and only those that are not known yet."""
    remembered.ask_together(host, [(Machine, {}), (Packages, {})])
    assert host.get_fact(Machine).distribution == "debian"
    assert host.get_fact(Packages) == {}
    remembered.ask_together(host, [(Packages, {})])
    assert host.asked == [remembered.Together]


class Echo(Fact[list[str]]):
    """Returns what it is given."""

    __module__ = "workstation.facts.echo"

    @staticmethod
    def default() -> list[str]:
        return []

    def command(self, word: str) -> StringCommand:
        return question('[ -z "$1" ] || { echo "$1"; cat; }', word)

    def read(self, lines: list[str]) -> list[str]:
        return lines


class Fails(Echo):
    """Cannot be asked."""

    __module__ = "workstation.facts.echo"

    def command(self) -> StringCommand:  # type: ignore[override]
        return question("echo no such thing >&2; exit 3")


class Here(Host):
    """Runs what it is asked on this machine."""

    def _ask(self, host: Any, fact: Any, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(fact)
        given = kwargs.pop("_stdin", "")
        kwargs = {name: value for name, value in kwargs.items() if not name.startswith("_")}
        command = fact().command(**kwargs).get_raw_value()
        done = subprocess.run(
            ["sh", "-c", command], input=given, capture_output=True, text=True, check=True
        )
        return fact().process(done.stdout.splitlines())


def test_each_fact_gets_its_own_input_and_gives_its_own_answer():
    """Words that mean something to a shell, several lines, nothing at all: as if asked alone."""
    remembered.forget()
    here = Here()
    questions: list[remembered.Question] = [
        (Echo, {"word": "a 'b' $(c)", "_stdin": "services: {}\n# two\n"}),
        (Echo, {"word": ""}),
        (Echo, {"word": "d"}),
    ]
    remembered.ask_together(here, questions)
    answers = [here.get_fact(fact, **arguments) for fact, arguments in questions]
    assert answers == [["a 'b' $(c)", "services: {}", "# two"], [], ["d"]]
    assert here.asked == [remembered.Together]
    remembered.forget()


def test_a_fact_that_fails_among_others_is_no_empty_answer():
    """A machine that cannot be asked is not taken for a bare one."""
    remembered.forget()
    with pytest.raises(UnansweredError, match=r"^gpu1: .*Fails failed: no such thing\. To fix it"):
        remembered.ask_together(Here(), [(Echo, {"word": "a"}), (Fails, {})])
    with pytest.raises(UnansweredError, match=r"^gpu1: .*Fails failed: no such thing\. To fix it"):
        Here().get_fact(Fails)
    remembered.forget()


def test_a_fact_that_may_fail_gives_its_default_then():
    """Where whoever asks says so: acceptance judges what is missing itself."""
    remembered.forget()
    here = Here()
    assert here.get_fact(Fails, _ignore_errors=True) == []
