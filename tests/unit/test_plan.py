"""The plan as a user reads it."""

from __future__ import annotations

from workstation.plan import Change, Step, render, together

DIGEST = "0123456789abcdef" * 4


def text(steps: list[Step], width: int = 80) -> list[str]:
    return [line for _, line in render("gpu1", steps, width)]


def test_nothing_to_change_is_one_line():
    """Unchanged parts are not shown then."""
    steps = [Step("Docker"), Step("Ollama", planned=[Change("=", "2 services stay")])]
    assert text(steps) == ["gpu1: nothing to change: all 2 steps are up to date"]


def test_changes_stand_below_their_operation():
    """With their cause, and with the parts that stay."""
    steps = [
        Step("Docker"),
        Step("Services", [Change("~", "s: recreate a", "image"), Change("=", "1 stays")]),
    ]
    assert text(steps) == [
        "gpu1: 1 of 2 steps will change something",
        "",
        "Services",
        "  ~ s: recreate a (image)",
        "  = 1 stays",
    ]


def test_what_depends_on_the_run_is_told_alone_too():
    """It does not count as a change as long as the result is unknown."""
    lines = text([Step("Models", [Change("?", "models of invokeai", "it does not run")])])
    assert lines[0].startswith("gpu1: nothing to change")
    assert lines[2:] == ["Models", "  ? models of invokeai (it does not run)"]


def test_no_line_is_longer_than_the_screen():
    """Diffs are cut, text is wrapped, and digests are shortened to twelve digits."""
    long = " ".join(["word"] * 40)
    diff = ("@@ -1 +1 @@", "+//nas/share /mnt cifs " + ",".join(["option=value"] * 20))
    change = Change("~", f"image@sha256:{DIGEST}", long, diff)
    lines = text([Step("Share", [change])])
    assert max(len(line) for line in lines) <= 80
    assert "image@sha256:0123456789ab " in lines[3]
    assert "".join(lines).count("option=value") >= 18
    joined = "".join(line.strip() for line in lines if "option" in line or "value" in line)
    assert joined.endswith(diff[1][23:])


def test_what_was_done_beside_the_plan_is_unforeseen():
    """Compared by subject, because the cause may only be known during the run."""
    step = Step("s", [Change("~", "a", "before")], [Change("~", "a", "after"), Change("+", "b")])
    assert step.unforeseen == [Change("+", "b")]


def test_what_depends_on_the_run_is_not_unforeseen():
    """The plan has mentioned it."""
    assert Step("s", [Change("?", "models")], [Change("+", "register a")]).unforeseen == []


def test_json_names_the_kind_of_change():
    """Everything that the screen shows."""
    assert Change("-", "key", "old").as_json() == {
        "change": "remove",
        "subject": "key",
        "cause": "old",
        "diff": [],
    }


def test_what_is_made_together_keeps_its_order():
    """Lines stay in order; the group's commands come before and after those of its members."""
    reload = together([Change("~", "a", commands=["start a"]), Change("~", "b")], ["start b"])
    whole = together([Change("+", "file"), reload], ["prove"], before=["write", "reload"])
    assert [line.subject for line in whole.lines] == ["file", "a", "b"]
    assert whole.commands == ("write", "reload", "start a", "start b", "prove")


def test_a_change_is_compared_and_shown_without_its_commands():
    """Plan and result are compared by their text."""
    change = Change("~", "a", "b", commands=["secret"])
    assert change == Change("~", "a", "b")
    for shown in (repr(change), repr(together([change])), str(change), str(change.as_json())):
        assert "secret" not in shown
