"""The list of mutations matches the checkout, and its program reports what it should."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import mutations
from tests.mutations import ROOT, Checkout, Mutation, MutationError, chosen, load

MUTATIONS = load()


def test_every_mutation_can_be_made():
    """Its text is found exactly once, Python stays valid, and it says what goes wrong without the
    line. After a change of such a line, correct its entry in tests/mutations.yml.

    After a change of such a line, correct its entry in tests/mutations.yml.
    """
    problems = []
    for one in MUTATIONS:
        try:
            assert one.applied((ROOT / one.file).read_text()) != (ROOT / one.file).read_text()
        except MutationError as error:
            problems.append(str(error))
    assert problems == []


def test_every_mutation_is_another_and_names_tests_that_exist():
    """Duplicates would be tested twice, and a missing test notices nothing."""
    assert len(MUTATIONS) >= 120
    counts = Counter((one.file, one.old, one.new) for one in MUTATIONS)
    assert [key for key, count in counts.items() if count > 1] == []
    missing = {test for one in MUTATIONS for test in one.tests if not (ROOT / test).exists()}
    assert missing == set()
    assert [one for one in MUTATIONS if one.why.endswith(".")] == []


def test_every_area_has_some():
    """Code, tasks, units, stacks and scripts."""
    files = " ".join(one.file for one in MUTATIONS)
    for place in (
        *("workstation/operations/", "workstation/facts/", "workstation/preflight/"),
        *("workstation/acceptance/", "tasks/", "templates/docker/", "templates/ollama/"),
        *("templates/worker/", "templates/stacks/", "templates/report/", "provision", "files/"),
        *("config.py", "inventory.py", "deploy.py"),
    ):
        assert place in files


@pytest.mark.parametrize(("text", "count"), [("a b", 0), ("x x", 2)])
def test_an_entry_that_does_not_fit_is_one_sentence(text: str, count: int):
    """It names file and text."""
    with pytest.raises(MutationError, match=rf"^x is found {count} times in f\.txt, where once"):
        Mutation("f.txt", "x", "y", "why").applied(text)


def test_a_mutation_that_breaks_the_language_is_refused():
    """Any test would notice it, so it would prove nothing."""
    with pytest.raises(MutationError, match="leaves no Python behind"):
        Mutation("f.py", "x = 1", "x = (", "why").applied("x = 1\n")


def test_mutations_are_chosen_by_a_word():
    """A word in the file, the text or the reason."""
    one, other = Mutation("a.py", "x", "y", "A Disk"), Mutation("b.py", "x", "y", "z")
    assert chosen([one, other], "disk") == [one]
    assert chosen([one, other], "b.py") == [other]
    assert chosen([one, other], "") == [one, other]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A checkout with one line, and a test for it."""
    source = tmp_path / "source"
    (source / "tests").mkdir(parents=True)
    (source / ".env").write_text("SMB_PASSWORD=geheim")
    (source / "code.py").write_text("SAFE = True\nOTHER = 1\n")
    (source / "tests/test_code.py").write_text(
        "import code_under_test\n\ndef test_it_is_safe():\n    assert code_under_test.SAFE\n"
    )
    (source / "code.py").rename(source / "code_under_test.py")
    (source / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["."]\n')
    monkeypatch.setattr(mutations, "ROOT", source)
    return Checkout(tmp_path / "copy")


def mutation(**changes: Any) -> Mutation:
    values: dict[str, Any] = {
        "file": "code_under_test.py",
        "old": "SAFE = True",
        "new": "SAFE = None",
        "why": "it is not safe",
        "tests": ("tests",),
    }
    return Mutation(**{**values, **changes})


UNREAD = {"old": "OTHER = 1", "new": "OTHER = 2"}


@pytest.mark.parametrize(
    ("changes", "verdict", "good"),
    [
        ({}, "noticed", True),
        (UNREAD, "SURVIVED", False),
        (
            {"old": "OTHER = 1", "new": "OTHER = 2", "survives": "nobody reads it"},
            "explained",
            True,
        ),
        ({"survives": "nobody reads it"}, "EXPLAINED, BUT NOTICED", False),
    ],
)
def test_each_mutation_is_judged_by_its_tests(
    checkout: Checkout, changes: dict[str, Any], verdict: str, good: bool
):
    """One after the other in the same copy, which is restored after each."""
    for one, expected in ((mutation(**changes), verdict), (mutation(), "noticed")):
        outcome = checkout.tried(one)
        assert outcome.verdict == expected
    assert checkout.tried(mutation(**changes)).good is good
    assert (checkout.folder / "code_under_test.py").read_text() == "SAFE = True\nOTHER = 1\n"
    assert checkout.failure(["tests"])[0] == ""


def test_a_checkout_is_copied_without_secrets(checkout: Checkout):
    """Other untracked files are not copied either."""
    assert not (checkout.folder / ".env").exists()
    assert (checkout.folder / "tests/test_code.py").exists()


def test_tests_that_fail_by_themselves_prove_nothing(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """They would notice everything."""
    (mutations.ROOT / "tests/test_code.py").write_text("def test_bad():\n    assert False\n")
    with pytest.raises(MutationError, match="test_bad fails without any mutation"):
        list(mutations.run([mutation()], jobs=1))
