"""Removals are in the plan and in receipts, and need confirmation, just like additions."""

from __future__ import annotations

import pytest

from workstation.plan import Change, PlanError, Step, checked, render, together
from workstation.report.receipt import lines_of

REMOVAL = Change("-", "/etc/apt/sources.list.d/mine.list", "the same repository")


def test_a_step_that_only_removes_is_a_change():
    """The person who confirms a plan sees it, and a run without other changes asks too."""
    step = Step("Repository", planned=[REMOVAL])
    assert REMOVAL.is_change
    assert step.changes == [REMOVAL]
    lines = [line for _, line in render("gpu1", [step])]
    assert lines[0] == "gpu1: 1 of 1 step will change something"
    assert "  - /etc/apt/sources.list.d/mine.list (the same repository)" in lines


def test_a_removal_beside_the_plan_is_told():
    """Like any other change."""
    step = Step("Repository", planned=[], done=[REMOVAL])
    assert step.unforeseen == [REMOVAL]


def test_a_receipt_says_what_was_removed():
    """Both planned and done."""
    step = Step("Repository", planned=[REMOVAL], done=[REMOVAL])
    assert lines_of([step]) == ({"Repository": [str(REMOVAL)]}, {"Repository": [str(REMOVAL)]})


@pytest.mark.parametrize("sign", ["=", "?"])
def test_what_stays_is_no_change(sign: str):
    """It needs no confirmation."""
    assert not Change(sign, "x").is_change  # type: ignore[arg-type]


@pytest.mark.parametrize("sign", ["+", "~", "-"])
def test_no_line_promises_what_no_command_does(sign: str):
    """Alone or in a group; unchanged parts, and those that only the run can know, need no
    command."""
    change = Change(sign, "x")  # type: ignore[arg-type]
    for wrong in (change, together([change, Change("=", "y")])):
        with pytest.raises(PlanError, match=r"`. x`.*, but no command does it"):
            checked(wrong)
    for right in (Change("=", "x"), Change("?", "x"), together([change], ["command"])):
        assert checked(right) is right


@pytest.mark.parametrize("lines", [[], [Change("=", "x")], [Change("?", "x"), Change("=", "y")]])
def test_no_command_runs_of_which_the_plan_says_nothing(lines: list[Change]):
    """A group that is empty, or consists of unchanged parts."""
    with pytest.raises(PlanError, match=r"would show (nothing|`.*`), but commands would change"):
        checked(together(lines, ["command"]))
    with pytest.raises(PlanError, match="commands would change something"):
        checked(Change("=", "x", commands=["command"]))


def test_a_command_alone_is_no_change():
    """Its content is not shown."""
    with pytest.raises(PlanError, match=r"^a str is not a change: yield the change that it makes$"):
        checked("rm -rf /secret")  # type: ignore[arg-type]
