"""The report: the contents of its page and its JSON, and what they never contain."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.page import sample
from workstation.findings import Finding
from workstation.report.page import MANY, Origin, Phase, Report, duration, plain
from workstation.report.topology import Site

GOOD, BAD = Finding("a", True, ""), Finding("b", False, "")
NOTE = Finding("c", False, "", note=True)


def small(*findings: Finding, **changes: Any) -> Report:
    values = {"finished": sample.STARTED + timedelta(seconds=9), "findings": findings, **changes}
    return Report(host="box", started=sample.STARTED, **values)


def text(html: str) -> str:
    """Return roughly the text that a reader of the page sees."""
    body = html.partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


@pytest.mark.parametrize(
    ("findings", "verdict", "headline"),
    [
        ([], "not checked", "Nothing was checked"),
        ([GOOD, GOOD], "ok", "All checks passed"),
        ([GOOD, BAD], "FAILED", "1 of 2 checks failed"),
        ([BAD], "FAILED", "1 of 1 check failed"),
        ([GOOD, NOTE], "ok", "1 check passed, 1 note"),
        ([NOTE, NOTE], "ok", "2 notes"),
        ([GOOD, BAD, NOTE], "FAILED", "1 of 3 checks failed"),
    ],
)
def test_the_verdict_follows_from_the_findings(
    findings: list[Finding], verdict: str, headline: str
):
    """No findings are no proof, and a note does not fail the run."""
    report = small(*findings)
    assert (report.verdict, report.headline) == (verdict, headline)
    assert f"<title>box: {headline}</title>" in report.to_html()


def test_times_without_a_zone_are_refused():
    """A reader in another place could not tell the time of the run."""
    with pytest.raises(ValueError, match="2026-11-21T07:50:00 has none"):
        small(finished=datetime(2026, 11, 21, 7, 50))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3600, "1 h 00 min"),
        (3725, "1 h 02 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Btext\x9b2K", "text"),
        ("a\r\nb\rc\td\n", "a\nb\nc\td\n"),
        ("nul\x00bell\x07", "nulbell"),
        ("a\u202eb\u2066c", "abc"),
        ("lone \udcff", "lone \ufffd"),
        ("Grüße 日本", "Grüße 日本"),
    ],
)
def test_terminal_codes_and_tricks_are_taken_out(dirty: str, clean: str):
    assert plain(dirty) == clean


def test_hostile_text_is_shown_as_text():
    """No matter where it comes from."""
    evil = "<script>alert(1)</script>\x1b[2J\"'`<b>`"
    stack = sample.made_up(["web"], labels={})
    report = small(
        Finding(evil, False, evil, evil, evil, evil),
        origin=Origin(evil, evil, True, (evil,)),
        versions={evil: evil},
        phases=(Phase(evil, 1),),
        stand_ins=(evil,),
        stacks=(stack,),
        site=Site(address=evil, models_path="/m", gpu=evil),
    )
    html = replace(report, host=evil).to_html()
    assert "<script" not in html
    assert "\x1b" not in html
    assert "<b>" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 14
    html.encode()


def test_the_page_needs_nothing_from_elsewhere():
    html = sample.report().to_html()
    assert "default-src 'none'" in html
    assert not re.search(r"<(script|img|iframe|object|embed|base|form)\b", html)
    assert not re.search(r"url\((?!#)|@import", html)
    assert re.findall(r"<link [^>]*>", html) == ['<link rel="icon" href="data:,">']
    outside = set(re.findall(r"\b(?:src|href|srcset)=\"(?!#|data:)([^\"]*)\"", html))
    assert outside == {
        f"http://{service.host}/" for service in sample.dhoch3().running if service.host
    }


def test_a_card_says_what_the_compose_file_says():
    html = sample.report().to_html()
    card = next(part for part in html.split("<article") if 'aria-label="dhoch3/comfyui"' in part)
    assert '<a href="http://comfyui.design-hoch-drei.de/">comfyui.design-hoch-drei.de</a>' in card
    words = text(f"<body><article{card}").partition("</article>")[0]
    for expected in (
        "GPU image pulled stand-in",
        "docker.io/yanwk/comfyui-boot:cu128-megapak-pt28",
        "volume comfyui at /root , writable",
        "model store at /models , read-only",
        "share/ComfyUI at /outputs , writable",
        "/opt/stacks/dhoch3/comfyui/extra_model_paths.yaml at",
        "12 checks passed",
        "ok sees the GPU NVIDIA RTX PRO 6000",
    ):
        assert expected in words


def test_links_lead_through_the_port_of_the_proxy():
    report = replace(sample.report(), site=replace(sample.SITE, port=18080))
    assert '<a href="http://forge.design-hoch-drei.de:18080/">' in report.to_html()


def test_a_service_without_a_route_has_no_link():
    html = small(stacks=(sample.made_up(["db"], labels={}),)).to_html()
    assert "no route" in html
    assert "<a " not in html


@pytest.mark.parametrize(
    ("ports", "probe", "link", "tunnel"),
    [
        (
            ["127.0.0.1:8188:8188"],
            "/",
            "http://127.0.0.1:8188/",
            "ssh -L 8188:127.0.0.1:8188 anna@192.168.0.20",
        ),
        (["[::1]:81:80"], "/", "http://[::1]:81/", "ssh -L 81:[::1]:81 anna@192.168.0.20"),
        (["127.0.0.1:6379:6379"], "", "", "ssh -L 6379:127.0.0.1:6379 anna@192.168.0.20"),
        (["8080:80"], "/", "http://192.168.0.20:8080/", ""),
        (["10.0.0.9:8080:80"], "/", "http://10.0.0.9:8080/", ""),
        (["8080"], "/", "", ""),
    ],
)
def test_what_is_published_on_loopback_is_reached_by_a_tunnel(
    ports: list[str], probe: str, link: str, tunnel: str
):
    """The command can be copied; a service that does not speak HTTP has no link."""
    stack = sample.made_up(["web"], labels={}, ports=ports, **{"x-workstation": {"probe": probe}})
    report = small(stacks=(stack,), site=sample.SITE)
    (service,) = json.loads(report.to_json())["services"]
    assert (service["link"], service["tunnel"]) == (link, tunnel)
    html = report.to_html()
    assert ("<a " in html) is bool(link)
    assert f'<a href="{link}">{link}</a>' in html or not link
    assert f"<code>{tunnel}</code>" in html or not tunnel
    assert ("no route" in html) is not (link or tunnel)
    assert ("while this runs" in html) is bool(link and tunnel)


def test_a_failure_is_told_at_the_top_with_its_fix():
    words = text(sample.report().to_html())
    top, _, rest = words.partition("Success criteria")
    assert "1 of 97 checks failed" in top
    assert "dhoch3/forge answers on forge.design-hoch-drei.de HTTP 502 To fix it: read its" in top
    assert "1 Every service answers under its own name FAILED" in rest
    assert "10 The images built here suit the hardware not checked" in rest


def test_the_list_of_failures_stays_short():
    """The others are in their usual place, and are counted here."""
    words = text(small(*[Finding(f"check {number}", False, "") for number in range(30)]).to_html())
    top, _, rest = words.partition("18 more below.")
    assert [top.count("check 11 "), top.count("check 12 ")] == [1, 0]
    assert rest.count("FAILED check ") == 30


def test_what_holds_has_no_fix_and_nothing_failed_has_no_list_of_failures():
    words = text(sample.report(broken="").to_html())
    assert "To fix it" not in words
    assert "What failed" not in words


def test_a_note_is_marked_as_one_and_has_its_fix():
    words = text(small(Finding("clock", False, "3 s late", "run chronyd", note=True)).to_html())
    assert "note clock 3 s late To fix it: run chronyd" in words
    assert "FAILED" not in words


def test_stand_ins_are_marked_where_they_stand_and_listed():
    html = sample.report().to_html()
    assert "3 stand-ins." in html
    assert all(phrase in html for phrase in sample.STAND_INS)
    cards = html.split("<article")[1:]
    marked = [
        re.search(r'aria-label="([^"]*)"', card)[1]  # type: ignore[index]
        for card in cards
        if 'class="tag stand-in"' in card
    ]
    assert marked == ["dhoch3/comfyui", "dhoch3/forge", "dhoch3/ai-toolkit"]
    assert "stand-in" not in text(sample.report(stand_ins=()).to_html())


def test_findings_of_other_subjects_have_a_place_too():
    words = text(small(GOOD, Finding("the commit", True, "abc", subject="run")).to_html())
    assert "The machine" in words
    assert "run 1 check passed ok the commit abc" in words


def test_bars_are_as_long_as_their_phases():
    phases = (Phase("docker", 10), Phase("stacks", 40), Phase("smb", 0))
    html = small(phases=phases).to_html()
    assert re.findall(r"style=\"width: ([^\"]*)\"", html) == ["25.0%", "100.0%", "0.0%"]
    assert "0%" in small(phases=(Phase("docker", 0),)).to_html()


def test_many_checks_fold_those_that_hold():
    """Failures and notes are never folded."""
    many = [Finding(f"check {number}", number != 150, "") for number in range(200)]
    report = small(*many, NOTE)
    host = report.groups["host"]
    assert [check.finding.name for check in host.shown] == ["check 150", "c"]
    assert len(host.folded) == 199
    assert "199 more checks passed" in report.to_html()
    assert small(*many[:MANY]).groups["host"].folded == []


def test_secrets_of_the_command_line_and_of_services_are_not_told():
    stack = sample.made_up(["web"], environment={"AUTH": "hunter2"}, command="--key hunter2")
    given = (
        *("./provision", "--data", "smb_password=hunter2", "--data=SMB_PASSWORD=hunter2"),
        *("--data", "ssh_key_password=hunter2", "--ssh-password=hunter2"),
        *("--password", "hunter2", "--key-password", "hunter2", "--use-sudo-password", "deploy.py"),
    )
    report = small(stacks=(stack,), origin=Origin(arguments=given))
    for told in (report.to_html(), report.to_json()):
        assert "hunter2" not in told
        assert "smb_password=***" in told
        assert "deploy.py" in told


def test_the_json_says_the_same_in_a_fixed_order():
    report = sample.report()
    content = json.loads(report.to_json())
    assert list(content) == [
        *("format", "host", "verdict", "started", "finished", "seconds", "origin", "versions"),
        *("criteria", "findings", "phases", "services", "stand_ins"),
    ]
    assert (content["host"], content["verdict"]) == ("ki-server", "FAILED")
    assert datetime.fromisoformat(content["started"]) == report.started
    assert content["seconds"] == 1814
    assert content["origin"] == {
        "who": "anna@laptop",
        "commit": "6e19a44c",
        "changed": False,
        "arguments": ["./provision", "-y"],
    }
    assert content["versions"] == sample.VERSIONS
    assert list(content["versions"]) == list(sample.VERSIONS)
    assert content["phases"][1] == {"name": "docker", "seconds": 94}
    assert content["stand_ins"] == list(sample.STAND_INS)
    assert [criterion["number"] for criterion in content["criteria"]] == list(range(1, 11))
    assert content["criteria"][0]["state"] == "FAILED"
    assert report.to_json() == sample.report().to_json()


def test_the_json_holds_every_finding_verbatim():
    evidence = "\x1b[31mGrüße\udcff\n"
    finding = Finding("s/web is healthy", False, "exited", "look", evidence, note=True)
    report = small(finding, stacks=(sample.made_up([]),))
    told = report.to_json()
    assert told.isascii()
    assert json.loads(told)["findings"] == [
        {
            "name": "s/web is healthy",
            "ok": False,
            "detail": "exited",
            "evidence": evidence,
            "fix": "look",
            "subject": "host",
            "note": True,
        }
    ]
    subjects = {one["subject"] for one in json.loads(sample.report().to_json())["findings"]}
    assert subjects == {"host", *(f"dhoch3/{one.name}" for one in sample.dhoch3().running)}


def test_the_json_describes_services_as_the_page_does():
    services = json.loads(sample.report().to_json())["services"]
    assert [one["subject"] for one in services][-1] == "dhoch3/dockge"
    assert services[2] == {
        "subject": "dhoch3/forge",
        "link": "http://forge.design-hoch-drei.de/",
        "tunnel": "",
        "image": sample.dhoch3().running[2].image,
        "built": True,
        "gpu": True,
        "stand_in": sample.STAND_INS[1],
        "mounts": [
            {"kind": "volume", "source": "forge", "target": "/data", "read_only": False},
            {
                "kind": "bind",
                "source": sample.SITE.models_path,
                "target": "/models",
                "read_only": True,
            },
            {
                "kind": "bind",
                "source": "/mnt/ki_Daten/Forge",
                "target": "/data/outputs",
                "read_only": False,
            },
        ],
        "ports": [],
    }


def test_an_empty_report_is_a_page_too():
    words = text(small().to_html())
    assert "Nothing was checked" in words
    assert "Time" not in words.split("Versions")[0]
