"""Receipts of runs: their contents, and the differences between two of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from workstation.errors import HostError
from workstation.plan import Change, Step
from workstation.report import records
from workstation.report.receipt import Accepted, Receipt, differences, lines_of, read

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROOF = Accepted(checks=9, failed={}, notes={}, versions={"docker": "28"})


def receipt(**changes: Any) -> Receipt:
    values: dict[str, Any] = {
        "host": "gpu1",
        "who": "anna@desk",
        "commit": "abc1234",
        "changed": False,
        "arguments": ["pyinfra", "inventory.py", "deploy.py"],
        "started": STARTED,
        "finished": STARTED + timedelta(seconds=65),
        "outcome": "changed",
        "plan": {"a": ["+ /etc/x"]},
        "done": {"a": ["+ /etc/x", "~ y (mode)"]},
        "seconds": {"plan": 1.5},
        "remote_commands": 30,
        "acceptance": PROOF,
    }
    return Receipt(**{**values, **changes})


def test_a_receipt_is_read_back_as_it_was_written():
    """Its file name sorts by time, whatever the time zone."""
    one = receipt()
    assert read(one.model_dump_json(), "x.json") == one
    assert one.file_name == "20260102T030405Z.json"


@pytest.mark.parametrize(
    ("text", "told"),
    [("no", "JSON"), ("{}", "host"), ('{"host": 3}', "host")],
)
def test_what_is_no_receipt_is_named(text: str, told: str):
    with pytest.raises(
        HostError, match=rf"/x\.json is not a receipt of a run \({told}: .*remove it"
    ):
        read(text, "/x.json")


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, "2 changes"),
        ({"done": {"a": ["+ x"]}}, "1 change"),
        ({"outcome": "unchanged", "done": {}}, "unchanged"),
        ({"outcome": "failed", "failed": "tasks/smb.py | Share"}, "failed: Share"),
        ({"outcome": "interrupted"}, "interrupted"),
    ],
)
def test_the_result_is_told_in_a_few_words(changes: dict[str, Any], result: str):
    assert receipt(**changes).result == result


def test_lines_are_those_that_change_something():
    """Unchanged parts and those that depend on the run are left out, and so are steps without any
    change; a line of a file is never included, because it may contain a secret."""
    step = Step(
        "a",
        planned=[Change("+", "/x", "content", ("+secret",)), Change("=", "stays")],
        done=[Change("?", "perhaps")],
    )
    assert lines_of([step, Step("b")]) == ({"a": ["+ /x (content)"]}, {})


def test_two_runs_differ_in_commit_changes_and_proof():
    """Common lines are left out."""
    proof = Accepted(
        checks=9, failed={"forge is healthy": "no"}, notes={}, versions={"docker": "29"}
    )
    after = receipt(commit="def5678", changed=True, done={"a": ["+ /etc/x"]}, acceptance=proof)
    assert list(differences(receipt(), after)) == [
        "~ commit: abc1234 -> def5678+",
        "~ result: 2 changes -> 1 change",
        "- a: ~ y (mode)",
        "~ version of docker: 28 -> 29",
        "+ failed: forge is healthy: no",
    ]
    assert list(differences(after, after)) == []


def test_a_run_without_acceptance_says_so():
    lines = list(differences(receipt(), receipt(acceptance=None)))
    assert lines == ["~ acceptance: 9 passed -> none"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("before")
    monkeypatch.setattr(records.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        records.write(tmp_path / "a", "after")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "before")]
