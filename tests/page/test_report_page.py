"""The report's page as a person sees it: in a browser, clicked, on a phone, in dark mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import Browser
from tests.page import sample
from workstation.findings import Finding

Show = Callable[..., Browser]

FAILED = "answers on forge.design-hoch-drei.de"
LONG = "\n".join(f"line {number} of what a service wrote" for number in range(700))
HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)>\x1b[31mred\x1b[0m"
MANY = tuple(
    Finding(f"check number {number}", number % 40 != 7, "seen " * (number % 30), "do it", HOSTILE)
    for number in range(200)
)

# Every line of visible text, with its color and that of its background.
COLOURS = """
const solid = colour => colour !== "none" && !/, 0\\)$|^transparent$/.test(colour);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const box = at.namespaceURI.endsWith("svg") && at.querySelector(":scope > rect");
    const colour = box ? getComputedStyle(box).fill : getComputedStyle(at).backgroundColor;
    if (solid(colour)) return colour;
  }
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
while (walker.nextNode()) {
  const text = walker.currentNode, parent = text.parentElement;
  if (!text.data.trim() || !parent.checkVisibility() || !parent.getClientRects().length) continue;
  const style = getComputedStyle(parent);
  const colour = parent.tagName === "text" ? style.fill : style.color;
  found.push([text.data.trim(), colour, behind(parent)]);
}
return found;
"""

# Positions on the screen of all texts in the visible drawing, each with its surrounding box.
PLACES = """
const place = element => {
  const {left, top, right, bottom} = element.getBoundingClientRect();
  return {left, top, right, bottom};
};
const drawing = [...document.querySelectorAll(".topology svg")].find(svg => svg.checkVisibility());
return {
  drawing: place(drawing),
  texts: [...drawing.querySelectorAll("text")].map(text => ({
    text: text.textContent,
    size: parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a,
    box: place(text.parentElement.querySelector(":scope > rect")),
    ...place(text),
  })),
};
"""


def luminance(colour: str) -> float:
    """Return the relative luminance of ``rgb(…)`` (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colors (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def unfold_all(page: Browser) -> None:
    page.script("document.querySelectorAll('details').forEach(one => one.open = true)")


def test_it_opens_without_a_complaint_and_loads_nothing(show: Show):
    page = show(sample.report())
    assert page.driver.title == "ki-server: 1 of 97 checks failed"
    heading = page.one("h1")
    assert page.sees(heading)
    assert heading.location["y"] < 200
    unfold_all(page)
    assert page.console() == []
    requests = page.requests()
    assert requests
    assert all(address.startswith(("file:", "data:")) for address in requests), requests
    assert len([address for address in requests if address.startswith("file:")]) == 1


def test_its_policy_stops_what_somebody_puts_into_it(browser: Browser):
    """Scripts, and pictures from elsewhere, even if a template let them through."""
    injected = "<script>document.title = 'taken'</script><img src='http://127.0.0.1:9/x.png'>"
    browser.open(sample.report().to_html().replace("<main>", f"<main>{injected}"))
    assert browser.driver.title != "taken"
    assert len([line for line in browser.console() if "Content Security Policy" in line]) == 2


def test_a_click_on_a_check_shows_its_evidence(show: Show):
    page = show(sample.report())
    summary = page.one('[aria-label="dhoch3/comfyui"] .check > summary', "sees the GPU")
    evidence = page.one('[aria-label="Evidence: dhoch3/comfyui sees the GPU"]')
    assert not page.sees(evidence)
    summary.click()
    assert page.sees(evidence)
    assert "nvidia-smi --query-gpu" in evidence.text
    assert "exit status 0" in evidence.text
    summary.click()
    assert not page.sees(evidence)


def test_a_click_on_a_failed_check_shows_how_to_fix_it(show: Show):
    page = show(sample.report())
    summary = page.one("article .check.failed > summary")
    assert page.text(summary) == f"FAILED {FAILED} HTTP 502"
    fix = page.one("article .check.failed .fix")
    assert not page.sees(fix)
    summary.click()
    assert page.sees(fix)
    assert fix.text.startswith("To fix it: read its log: docker compose -p dhoch3 logs")


def test_the_list_of_failures_leads_to_their_evidence(show: Show):
    page = show(sample.report())
    evidence = page.one(f'[aria-label="Evidence: dhoch3/forge {FAILED}"]')
    assert not page.sees(evidence)
    page.one(".failures a").click()
    assert page.sees(evidence)


def test_the_keyboard_unfolds_as_well(show: Show):
    page = show(sample.report())
    page.one('[aria-label="dhoch3/dockge"] .check > summary', "is healthy").send_keys(Keys.ENTER)
    assert page.sees(page.one('[aria-label="Evidence: dhoch3/dockge is healthy"]'))


def test_a_criterion_unfolds_to_the_checks_that_prove_it(show: Show):
    page = show(sample.report())
    criterion = page.one(".criteria > li", "Every AI service can use the GPU")
    proof = criterion.find_element("css selector", ".body")
    assert not page.sees(proof)
    criterion.find_element("css selector", "summary").click()
    assert page.sees(proof)
    assert "ok dhoch3/ai-toolkit sees the GPU" in proof.text


def test_a_card_links_to_its_service(show: Show):
    page = show(sample.report())
    link = page.one('[aria-label="dhoch3/ai-toolkit"] a')
    assert link.get_attribute("href") == "http://ai-toolkit.design-hoch-drei.de/"
    assert link.text == "ai-toolkit.design-hoch-drei.de"
    assert len(page.all("article a")) == 7


@pytest.mark.parametrize("width", [320, 1200])
def test_a_service_on_loopback_has_the_command_of_its_tunnel(show: Show, width: int):
    """The command can be copied as a whole, and no link leads elsewhere."""
    stack = sample.made_up(["web"], labels={}, ports=["127.0.0.1:8188:8188"])
    page = show(sample.report((stack,), broken=""), width=width)
    card = page.one("article .link")
    assert card.text.replace("\n", " ") == (
        "http://127.0.0.1:8188/ while this runs: ssh -L 8188:127.0.0.1:8188 anna@192.168.0.20"
    )
    assert page.one("article code", "ssh").text.startswith("ssh -L 8188:127.0.0.1:8188 ")
    assert page.script("return document.documentElement.scrollWidth") <= width


def test_each_state_is_a_word_and_a_shape(show: Show):
    """Color is an addition and carries no meaning of its own."""
    note = Finding("clock", False, "3 s late", "run chronyd", note=True)
    page = show(sample.report(more=(note,)))
    words, shapes = set(), set()
    for state in page.all(".check > summary .state, .criteria .state"):
        shape = state.find_element("css selector", "use").get_attribute("href")
        words.add((page.text(state), shape))
        shapes.add(shape)
    assert {word for word, _ in words} == {"ok", "FAILED", "note", "not checked"}
    assert len(words) == len(shapes) == 4


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
@pytest.mark.parametrize("unfolded", [False, True], ids=["folded", "unfolded"])
def test_it_fits_every_width(show: Show, width: int, unfolded: bool):
    wide = "x" * 300
    report = sample.report(more=(*MANY, Finding(wide, False, wide, wide, wide, "run")))
    page = show(replace(report, versions={wide: wide}), width=width)
    if unfolded:
        unfold_all(page)
    assert page.script("return document.documentElement.scrollWidth") <= width


def test_two_hundred_checks_stay_readable(show: Show):
    """Failures are visible, passed checks are folded, and hostile text stays plain text."""
    page = show(sample.report(more=MANY))
    machine = '[aria-labelledby="group-1"] '
    seen = [one for one in page.all(f"{machine}.check") if page.sees(one)]
    assert [page.text(one)[:6] for one in seen] == ["FAILED"] * 5
    page.one(f"{machine}.more > summary").click()
    assert len([one for one in page.all(f"{machine}.check") if page.sees(one)]) == 220
    unfold_all(page)
    assert page.driver.title == "ki-server: 6 of 297 checks failed"
    evidence = page.one('[aria-label="Evidence: check number 7"]')
    assert evidence.text == HOSTILE.replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert page.console() == []


def test_long_evidence_scrolls_in_its_own_box(show: Show):
    page = show(sample.report(more=(Finding("log", True, "20 kB", evidence=LONG),)), width=360)
    assert len(LONG) > 20_000
    unfold_all(page)
    evidence = page.one('[aria-label="Evidence: log"]')
    sizes = "return [arguments[0].clientHeight, arguments[0].scrollHeight]"
    seen, whole = page.script(sizes, evidence)
    assert seen < 400 < whole
    assert page.script("return document.documentElement.scrollWidth") <= 360


def test_the_dark_page_is_dark(show: Show):
    background = "return getComputedStyle(document.body).backgroundColor"
    light = show(sample.report(), scheme="light").script(background)
    dark = show(sample.report(), scheme="dark").script(background)
    assert luminance(light) > 0.8
    assert luminance(dark) < 0.05


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(show: Show, scheme: str, width: int):
    """At least 4.5 to 1, which is level AA of WCAG 2.2 for text of any size."""
    note = Finding("clock", False, "3 s late", "run chronyd", note=True)
    page = show(sample.report(more=(note,)), scheme=scheme, width=width)
    unfold_all(page)
    found = page.script(COLOURS)
    texts = " ".join(text for text, _, _ in found)
    for part in ("FAILED", "note", "not checked", "Traefik", "To fix it:", "exit status 1"):
        assert part in texts
    poor = {(text, *pair) for text, *pair in found if contrast(*pair) < 4.5}
    assert not poor


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize(
    "names",
    [
        ["web", "database", "cache"],
        [f"service-{number}" for number in range(12)],
        [
            "a-service-whose-name-is-much-longer-than-a-box",
            "WWWWWWWWWWWWWWWWWWWW",
            "MMMMMMMMMMMMMMMM",
        ],
    ],
    ids=["three", "twelve", "long"],
)
def test_texts_of_the_topology_keep_apart(show: Show, names: list[str], width: int):
    """Measured with the fonts of this machine, in the drawing for this width."""
    stack = sample.made_up(names, ports=["8080:80"])
    page = show(sample.report((stack,), broken="made-up/web answers"), width=width)
    found: dict[str, Any] = page.script(PLACES)
    assert len(found["texts"]) > 20
    for text in found["texts"]:
        assert text["size"] >= 10, text
        inside = found["drawing"] if text["text"] == "ki-server" else text["box"]
        assert inside["left"] <= text["left"] < text["right"] <= inside["right"], text
        assert inside["top"] - 1 <= text["top"] < text["bottom"] <= inside["bottom"] + 1, text
    for one, other in combinations(found["texts"], 2):
        across = one["right"] <= other["left"] or other["right"] <= one["left"]
        along = one["bottom"] <= other["top"] + 3 or other["bottom"] <= one["top"] + 3
        assert across or along, (one, other)


def test_paper_has_the_evidence_of_what_failed(show: Show):
    """Nothing on paper can be clicked."""
    page = show(sample.report(), media="print")
    assert page.sees(page.one("article .check.failed .evidence"))
    assert not page.sees(page.one('[aria-label="Evidence: dhoch3/dockge is healthy"]'))
    assert page.script("return getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )


def test_it_can_be_read_aloud(show: Show):
    """There are landmarks, a single top heading, no skipped heading levels, names for elements
    without text, and no duplicate ids."""
    page = show(sample.report())
    assert [len(page.all(name)) for name in ("body > header", "main", "body > footer")] == [1, 1, 1]
    levels = [int(heading.tag_name[1]) for heading in page.all("h1, h2, h3, h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [one.get_attribute("id") for one in page.all("[id]")]
    assert len(ids) == len(set(ids))
    named = {
        name
        for one in page.all("[aria-labelledby]")
        for name in str(one.get_attribute("aria-labelledby")).split()
    }
    assert named <= set(ids)
    for size in ("wide", "narrow"):
        assert page.text(page.one(f"#{size}-title")) == "Topology of ki-server"
        assert "forge uses GPU, models, share" in page.text(page.one(f"#{size}-description"))
    assert page.one("html").get_attribute("lang") == "en"
