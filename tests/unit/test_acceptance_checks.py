"""A service's own checks: each line that it prints becomes a finding, and anything else fails."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.acceptance_stacks import container, made_up, one, probes, run
from workstation.acceptance import Answer, Probe
from workstation.findings import Finding
from workstation.report.criteria import claim

CHECK = {"command": ["python3", "/opt/check.py", "a b"], "timeout": 60}
API = {"image": "api:1", "x-workstation": {"check": CHECK}}
GOOD = {"name": "imagen: upscale", "ok": True, "evidence": "done after 0.4 s", "fix": ""}
BAD = {
    "name": "imagen: comic",
    "ok": False,
    "evidence": "no answer\nafter 9 s",
    "fix": "restart it",
}


def probe(**keys: Any) -> Probe:
    return probes(made_up(api={**API, **keys}), container("api", id="box"))["s/api's own check"]


def judged(*lines: Any, status: int = 0, errors: str = "") -> list[Finding]:
    """Judge an answer of the script: lines as objects or text, and the last of its errors."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    output = "\n".join([*(f"out {text}" for text in texts), *([f"err {errors}"] if errors else [])])
    return probe().findings(Answer(status == 0, output, status))


def test_a_service_is_checked_by_its_command_in_its_container():
    """It gets more time than other probes: what it asks for, and what Docker needs to start it."""
    found = probe()
    assert found.arguments == ("box", "60", "python3", "/opt/check.py", "a b")
    assert found.asked == "docker compose -p s exec -T api python3 /opt/check.py 'a b'"
    assert 60 < found.seconds < 120
    assert found.subject == "s/api"
    assert probes(made_up(api=API)) == {}
    assert probes(made_up(api={**API, "profiles": ["dev"]}), container("api")) == {}


def test_each_line_is_a_finding_with_its_evidence_and_fix():
    """Criteria refer to its name, because its subject is the service."""
    good, bad = judged(GOOD, BAD, status=1)
    assert (good.name, good.ok, good.detail) == ("imagen: upscale", True, "done after 0.4 s")
    assert "$ docker compose -p s exec -T api" in good.evidence
    assert "done after 0.4 s" in good.evidence
    assert (bad.ok, bad.note, bad.detail, bad.fix) == (False, False, "no answer", "restart it")
    assert "no answer\nafter 9 s" in bad.evidence
    assert {good.subject, bad.subject} == {"s/api"}
    assert claim(good, good.subject) == "imagen: upscale"


def test_a_failed_check_without_a_fix_leads_to_the_log():
    """A person must have somewhere to begin."""
    assert "logs api" in one(judged({**BAD, "fix": ""}, status=1)).fix


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        "[1]",
        "5",
        "[" * 20000,
        {**GOOD, "ok": "true"},
        {**GOOD, "ok": 1},
        {**GOOD, "name": " "},
        {**GOOD, "name": 5},
        {**GOOD, "evidence": None},
        {**GOOD, "fix": ["a"]},
        {"name": "a", "ok": True},
        {"ok": True, "evidence": "", "fix": ""},
    ],
)
def test_a_line_of_another_kind_fails_and_is_shown(line: Any):
    """The others still count."""
    good, bad = judged(GOOD, line)
    assert good.ok
    assert (bad.name, bad.ok, bad.note) == ("s/api's own check", False, False)
    text = line if isinstance(line, str) else json.dumps(line)
    assert text[:20] in bad.detail
    assert text[:900] in bad.evidence


def test_a_check_that_prints_nothing_fails():
    """With the last line of its errors."""
    for status in (0, 127):
        found = one(judged(status=status, errors="sh: check: not found"))
        assert not found.ok
        assert found.detail == "it printed no result; its last line: sh: check: not found"
    assert one(probe().findings(Answer(False, "the machine did not answer"))).ok is False


@pytest.mark.parametrize("status", [124, 137])
def test_a_check_that_takes_too_long_fails(status: int):
    """Even if all that it printed until then is good."""
    good, late = judged(GOOD, status=status)
    assert good.ok
    assert not late.ok
    assert late.detail.startswith("it took longer than 60 s; its last line: {")


def test_a_check_that_breaks_off_fails():
    """Its exit status says that something failed, but none of its lines does."""
    good, broken = judged(GOOD, status=1, errors="KeyError: 'comic'")
    assert good.ok
    assert not broken.ok
    assert broken.detail == "it failed (exit status 1); its last line: KeyError: 'comic'"


def test_text_may_contain_any_character():
    """Such as one at which Python, but no terminal, begins a new line."""
    line = json.dumps({**GOOD, "evidence": "a\u2028b\x0bc"}, ensure_ascii=False)
    assert one(judged(line)).ok


PRINTS = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"


def checked(tmp_path: Path, *command: str, seconds: str = "60", **how: Any) -> Any:
    return run(probe(), tmp_path, "box", seconds, *command, **how)


def test_both_streams_of_the_command_are_told_apart(tmp_path: Path):
    """With its exit status; nothing of it is run by a shell."""
    done = checked(tmp_path, "python3", "-c", PRINTS)
    assert (done.returncode, done.stdout) == (3, "out one\n\nerr two\n")
    hostile = "a b'c\"d$(touch never);`id`&|*\\"
    done = checked(tmp_path, "printf", "%s\\n", hostile)
    assert done.stdout == f"out {hostile}\n\n"
    assert not (tmp_path / "never").exists()


WITHOUT_TIMEOUT = """#!/bin/sh
shift; shift
[ "$1" != timeout ] || { echo "exec: timeout: not found" >&2; exit 127; }
exec "$@"
"""


@pytest.mark.parametrize("docker", [None, WITHOUT_TIMEOUT])
def test_the_command_is_ended_when_its_time_is_up(docker: str | None, tmp_path: Path):
    """In the container too, if its image has the program for that."""
    begun = time.monotonic()
    how = {"docker": docker} if docker else {}
    name = f"sleep-{os.getpid()}"
    done = checked(tmp_path, "sh", "-c", "echo {}; exec sleep 30", name, seconds="1", **how)
    assert done.returncode == 124
    assert done.stdout.startswith("out {}\n")
    assert time.monotonic() - begun < 20


def test_much_output_is_cut_and_fails(tmp_path: Path):
    """The errors are still shown."""
    prints = "import sys; print('{}' + ' ' * 90000); print('last', file=sys.stderr)"
    done = checked(tmp_path, "python3", "-c", prints)
    assert len(done.stdout) < 25000
    assert done.stdout.endswith("err last\n")


def test_checks_run_side_by_side(tmp_path: Path):
    """Each keeps its output in a folder of its own."""
    for text in ("one", "two"):
        assert checked(tmp_path, "echo", text).stdout == f"out {text}\n\n"
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("tmp.")]) == 2
