"""The report is opened in a browser: nothing in it can run, load something, or disguise itself."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.page import sample
from workstation.findings import Finding
from workstation.report.page import Origin, Phase, Report, marked, plain

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>'\"--><!-- {{ 7*7 }} "
    "`<b>code</b>` \x1b]8;;http://evil\x07link\x1b[31m \u202egnp.exe\u2066 \x00\x07\x9b1m \ud800"
)
CONTROLS = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
LOADS = {"script", "iframe", "object", "embed", "form", "base"}


class Page(HTMLParser):
    """Records every element with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.comments: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag]


def report(text: str) -> Report:
    """Return a report with a text in every place that can contain one."""
    finding = Finding(text, False, text, text, text, text)
    own: dict[str, Any] = {
        "origin": Origin(text, "abc", True, ("pyinfra", text)),
        "versions": {text: text},
        "phases": (Phase(text, 1.0),),
        "stand_ins": (text,),
        "stacks": (sample.made_up(["web"]),),
    }
    return Report(text, sample.STARTED, sample.STARTED + timedelta(seconds=9), (finding,), **own)


def test_what_machines_and_containers_say_is_text_and_nothing_else():
    """Logs, names and versions are in the page, and somebody may have put anything there."""
    quiet, loud = Page(report("quiet").to_html()), Page(report(HOSTILE).to_html())
    # Text between backticks in a fix becomes code.
    names = [[name for name, _ in page.elements if name != "code"] for page in (quiet, loud)]
    assert names[0] == names[1]
    assert loud.comments == quiet.comments
    assert not loud.attributes("script")
    assert not loud.attributes("img")
    for _, attributes in loud.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert not [value for value in attributes.values() if "javascript:" in (value or "")]
    assert "<script>alert(1)</script>" in "".join(loud.words)


def test_no_sign_in_it_turns_or_hides_others():
    """Terminal codes, control characters, and characters that change the direction of text."""
    html = report(HOSTILE).to_html()
    assert not re.findall(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", html
    )
    html.encode()
    assert plain(HOSTILE).isprintable()


@pytest.mark.parametrize("text", ["`<b>x</b>`", "<b>x</b>", '`"><script>`', "a `b` <i>"])
def test_words_of_a_fix_are_marked_up_by_us_alone(text: str):
    """Only text between backticks becomes code."""
    found = str(marked(text))
    assert set(re.findall(r"<(/?\w+)", found)) <= {"code", "/code"}


def test_the_page_may_load_and_run_nothing_whatever_gets_into_it():
    """The page's own policy ensures it; and no link reveals its location."""
    page = Page(report("x").to_html())
    metas = page.attributes("meta")
    (policy,) = [
        one["content"] or "" for one in metas if one.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert {"name": "referrer", "content": "no-referrer"} in metas
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {
        n for n, _ in page.elements
    }


@pytest.mark.parametrize(
    "argument",
    [
        *("smb_password=geheim", "SMB_PASSWORD=geheim", "--data=redis_password=geheim"),
        *("ssh_password=geheim", "x_password=a geheim", "smb_password=a\ngeheim"),
    ],
)
def test_no_password_of_the_command_line_is_in_a_report(argument: str):
    """Neither in the page, in the JSON, nor in copied text."""
    origin = Origin("a@b", "abc", False, ("pyinfra", "--data", argument, "inventory.py"))
    made = Report("box", sample.STARTED, sample.STARTED, (), origin=origin)
    for shown in (origin.command, made.to_html(), made.to_json()):
        assert "geheim" not in shown
        assert "inventory.py" in shown
