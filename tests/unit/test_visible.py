"""Text from hosts: what cannot be seen is written out, everywhere that it is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.unit.test_receipt import receipt
from workstation.errors import HostError, shown
from workstation.findings import Finding
from workstation.hooks import _decoded
from workstation.operations import acceptance, receipts
from workstation.plan import Change, Step, render
from workstation.preflight import line
from workstation.report.page import Report
from workstation.report.receipt import lines_of, read
from workstation.visible import visible

NAME = "\x1b]0;owned\x07\n+ \u202eexe\udcff"
WRITTEN = r"\x1b]0;owned\x07\n+ \u202eexe\xff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, Grüß Gott 日本", "plain text, Grüß Gott 日本"),
        ("a\tb", "a\tb"),
        (NAME, WRITTEN),
        ("\x9b31m\x85\x00", r"\x9b31m\x85\x00"),
        ("a\r\u2028b\u200b\U000e0041", r"a\r\u2028b\u200b\U000e0041"),
        ("no\xa0break", "no\xa0break"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str):
    """Letters of every language stay, and so do blanks."""
    assert visible(text) == shown


def test_some_may_stay():
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_a_plan_and_the_receipt_of_it_are_visible():
    """Subjects, causes and diffs, which hold names and contents of files."""
    change = Change("~", NAME, NAME, (f"+{NAME}",))
    step = Step("Step", [change], [change])
    assert str(change) == f"~ {WRITTEN} ({WRITTEN})"
    assert change.as_json()["diff"] == [f"+{WRITTEN}"]
    assert lines_of([step]) == ({"Step": [str(change)]}, {"Step": [str(change)]})
    assert all(text.isprintable() for _, text in render("gpu1", [step], 200))


def test_an_error_is_visible():
    """Except for line breaks: what takes several lines is made visible line by line."""
    assert str(HostError("\x1b[2K\udcff:\n  \u202ea")) == "\\x1b[2K\\xff:\n  \\u202ea"
    assert line(Finding("a", False, NAME, NAME)) == f"a: {WRITTEN}. To fix it: {WRITTEN}."


def test_what_a_host_says_is_visible():
    """The one place where the output of every command arrives; the ends of lines stay."""
    said = [b"Gr\xfc\xdf \x1b[2K\r\n", "a\rb\tc\n", "end"]
    assert list(_decoded(said)) == ["Gr\\xfc\\xdf \\x1b[2K\r\n", "a\\rb\tc\n", "end"]


def test_acceptance_shows_what_it_found_visibly(capsys: pytest.CaptureFixture[str]):
    """In the table at the end, and on the page."""
    now = datetime.now(UTC)
    report = Report("gpu1", now, now, (Finding(NAME, False, NAME, NAME, "\x1b[2Kowned"),))
    acceptance.show(report)
    shown = capsys.readouterr().err
    for text in (shown, report.to_html()):
        assert "owned" in text
        assert not {"\x1b", "\x07", "\u202e", "\udcff"} & set(text)
        assert not [line for line in text.splitlines() if line.strip().startswith("+ ")]


def test_the_history_shows_old_receipts_visibly():
    """Those of older versions contain names as they were."""
    name = NAME.removesuffix("\udcff")
    found = read(receipt(done={"Step": [name]}, who=name).model_dump_json(), "x.json")
    assert found.done == {"Step": [visible(name)]}
    shown = receipts._in_full(found)
    assert visible(name) in shown
    assert not {"\x1b", "\u202e"} & set(shown)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["x", "a:", ":/", "x@", "a:b@", ":/a?", "'"])
def test_a_value_of_megabytes_is_shown_at_once(part: str):
    """A pattern that begins anew at each character would take hours."""
    assert len(shown(part * (10**6 // len(part)))) < 200
