"""Relative links in the documents lead to existing files, and anchors to headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/recorded/*.md")])

FENCED = re.compile(r"^(```|~~~).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)


def text(path: Path) -> str:
    """Return a document without its code blocks."""
    return FENCED.sub("", path.read_text())


def links(path: Path) -> list[str]:
    """Return the targets of a document's links, except for those to other sites."""
    shown = re.sub(r"`[^`\n]*`", "", text(path))
    return [link for link in LINK.findall(shown) if not re.match(r"[a-z]+:", link)]


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings (github.com/gjtorikian/
    html-pipeline, toc_filter.rb): lower case, punctuation dropped, spaces as dashes."""
    found: set[str] = set()
    for heading in HEADING.findall(text(path)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        base = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        repeated = (f"{base}-{number}" for number in range(1, 99))
        found.add(base if base not in found else next(one for one in repeated if one not in found))
    return found


def problem(source: Path, link: str) -> str:
    """Return the problem with a link, or an empty string."""
    name, _, anchor = link.partition("#")
    target = (source.parent / name).resolve() if name else source
    if not target.exists() or not target.is_relative_to(ROOT):
        return f"{link}: there is no such file"
    if anchor and (target.suffix != ".md" or anchor not in anchors(target)):
        return f"{link}: there is no such heading"
    return ""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path):
    """To a file of this repository, and to a heading in it."""
    assert [found for link in links(document) if (found := problem(document, link))] == []


def test_the_documents_have_links():
    """Otherwise the test above would never find anything."""
    assert len(links(ROOT / "README.md")) > 10
    assert len(links(ROOT / "docs/knowledge-center.md")) > 5


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("docs/gone.md", "there is no such file"),
        ("../elsewhere.md", "there is no such file"),
        ("docs/lab.md#gone", "there is no such heading"),
        ("pins.yml#images", "there is no such heading"),
        ("docs/lab.md#what-is-real-and-what-is-not", ""),
        ("#try-it", ""),
        ("docs", ""),
    ],
)
def test_a_broken_link_is_found(link: str, expected: str):
    """A missing file, a missing heading, or both."""
    assert problem(ROOT / "README.md", link).endswith(expected)
    assert bool(problem(ROOT / "README.md", link)) is bool(expected)


def test_headings_become_the_anchors_of_github(tmp_path: Path):
    """Punctuation is dropped, a repeated heading is numbered, and code is not a heading."""
    page = tmp_path / "page.md"
    page.write_text("# A `b`: c & d's\n## Same\n## Same\n```sh\n# not this\n```\n")
    assert anchors(page) == {"a-b-c--ds", "same", "same-1"}
