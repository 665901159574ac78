"""Which checks prove which success criterion, and when a criterion remains open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.page import sample
from workstation.findings import Finding, subject_of
from workstation.report.criteria import (
    CriteriaError,
    Criterion,
    check,
    commit_finding,
    judge,
    unchanged_finding,
)
from workstation.stack import Stack


def judged(findings: list[Finding], *stacks: Stack) -> dict[int, Criterion]:
    return {one.number: one for one in judge(findings, stacks or (sample.dhoch3(),), sample.SITE)}


def names(criterion: Criterion) -> set[str]:
    return {finding.name for finding in criterion.findings}


def all_is_well() -> list[Finding]:
    return list(sample.checked(sample.dhoch3()))


def test_there_are_ten_in_the_order_of_the_requirement():
    assert list(judged([])) == list(range(1, 11))
    assert len({criterion.text for criterion in judged([]).values()}) == 10


def test_what_acceptance_checks_today_proves_seven_of_them():
    """If a check is renamed, it must be renamed here too, because otherwise it would prove
    nothing."""
    states = {number: one.state for number, one in judged(all_is_well()).items()}
    proved = {number for number, state in states.items() if state == "ok"}
    assert proved == {1, 2, 3, 4, 5, 6, 9}
    assert {states[number] for number in (7, 8, 10)} == {"not checked"}


def test_each_is_proved_by_its_own_checks_alone():
    found = judged(all_is_well())
    assert names(found[2]) == {
        "the model store exists and belongs to its group",
        *(
            f"dhoch3/{name} reads models, and only reads"
            for name in ("comfyui", "fooocus", "forge", "invokeai", "fluxgym", "ai-toolkit")
        ),
    }
    assert "dhoch3/forge's name resolves" in names(found[1])
    assert "the share is mounted" in names(found[3])
    assert "dhoch3/forge's output is on the server" in names(found[3])
    assert "dhoch3/forge writes outputs" in names(found[3])
    assert "Ollama answers on the host" in names(found[5])
    assert "Ollama answers on the host" not in names(found[1])
    assert names(found[6]) == {
        "dhoch3/dockge is healthy",
        "dhoch3/dockge answers on dockge.design-hoch-drei.de",
        "dhoch3/dockge takes websockets",
    }
    assert names(found[9]) == {
        f"dhoch3/{name} {claim}"
        for name in ("fooocus", "forge", "fluxgym", "ai-toolkit")
        for claim in ("is healthy", "runs the pinned image")
    }


def test_one_failed_check_fails_its_criteria_and_no_other():
    findings = [
        Finding(one.name, not one.name.startswith("dhoch3/forge is healthy"), one.detail)
        for one in all_is_well()
    ]
    failed = {number for number, one in judged(findings).items() if one.state == "FAILED"}
    assert failed == {9}


def test_a_note_is_no_proof():
    findings = [
        Finding(one.name, "dockge answers" not in one.name, one.detail, note=True)
        for one in all_is_well()
    ]
    assert judged(findings)[6].state == "note"


def test_a_name_that_does_not_resolve_is_a_note_of_the_first_criterion():
    """The service answers, but users may not find it."""
    findings = [
        replace(one, ok=False, note=True) if one.name.endswith("forge's name resolves") else one
        for one in all_is_well()
    ]
    states = {number: one.state for number, one in judged(findings).items()}
    assert states[1] == "note"
    assert states[6] == "ok"


def test_a_service_that_was_not_asked_leaves_the_criterion_open():
    """Without a container, nothing is checked inside it, and a missing check is no proof."""
    findings = [one for one in all_is_well() if one.name != "dhoch3/forge sees the GPU"]
    criterion = judged(findings)[4]
    assert criterion.state == "not checked"
    assert criterion.remark == "not checked: dhoch3/forge"


def test_where_nothing_is_to_be_asked_it_is_said():
    """If the stack uses no GPU, no check can prove the criterion."""
    stack = sample.dhoch3(gpu=False)
    criterion = judged(list(sample.checked(stack)), stack)[4]
    assert criterion.state == "not checked"
    assert criterion.remark == "no service gets a GPU"


def test_where_no_service_looks_for_ollama_it_is_not_asked():
    stack = replace(sample.made_up(["web"], extra_hosts=[]), name="dhoch3")
    criterion = judged(list(sample.checked(stack)), stack)[5]
    assert names(criterion) == set()
    assert criterion.state == "not checked"
    assert criterion.remark == "no service reaches the host by name"


def test_another_stack_is_not_judged_by_these_criteria():
    stack = sample.made_up(["web"])
    assert judge(sample.checked(stack), [stack], sample.SITE) == ()


@pytest.mark.parametrize(
    ("number", "finding"),
    [
        (7, commit_finding("6e19a44c")),
        (8, unchanged_finding(61)),
        (10, Finding("pins.yml sources.forge", True, "it runs on Turing to Blackwell")),
    ],
)
def test_criteria_about_the_run_and_the_machine(number: int, finding: Finding):
    assert judged([])[number].remark
    assert judged([finding])[number].state == "ok"


def test_a_service_of_a_stack_that_is_not_asked_proves_nothing():
    """The proxy's health does not prove that images of other stacks build."""
    other = Finding("proxy/traefik is healthy", True, "running", subject="proxy/traefik")
    assert judged([other])[9].findings == ()


@pytest.mark.parametrize(
    ("finding", "subject"),
    [
        (Finding("s/ai-toolkit sees the GPU", True, ""), "s/ai-toolkit"),
        (Finding("s/ai's output is on the server", True, ""), "s/ai"),
        (Finding("s/ai", True, ""), "s/ai"),
        (Finding("s/aim is healthy", True, ""), "host"),
        (Finding("Ollama answers on the host", True, ""), "host"),
        (Finding("s/ai is healthy", True, "", subject="other"), "other"),
    ],
)
def test_the_subject_is_said_or_stands_at_the_beginning_of_the_name(finding: Finding, subject: str):
    assert subject_of(finding, ["s/ai", "s/ai-toolkit"]) == subject


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("criteria: [{text: A, proved_by: [b], otherwise: c, asked_for: gpu}]", "asked_for"),
        ("criteria: [{text: A, proved_by: b, otherwise: c}]", "proved_by is 'b', expected"),
        ("criteria: 1", "criteria is 1, expected"),
        ("criterias: []", "criteria"),
        ("criteria: [{text: A, proved_by: [], otherwise: c}]", "proved_by is [], expected"),
        ("criteria: [{text: A, proved_by: [''], otherwise: c}]", "proved_by.0 is '', expected"),
    ],
)
def test_a_file_of_criteria_that_says_something_else_is_refused(
    tmp_path: Path, text: str, message: str
):
    """The file belongs to a stack, and is written by hand."""
    (tmp_path / "dhoch3").mkdir()
    (tmp_path / "dhoch3/_criteria.yml").write_text(text)
    with pytest.raises(CriteriaError, match=r"_criteria\.yml: ") as caught:
        judge([], [sample.dhoch3()], sample.SITE, tmp_path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("criteria: 1", "criteria is 1, expected"),
        (
            "criteria: [{text: A, proved_by: [b], otherwise: c, asked_of: fooocs}]",
            "criteria.0.asked_of is 'fooocs' (did you mean fooocus?), expected one of all",
        ),
    ],
)
def test_it_is_refused_before_a_run_changes_anything(tmp_path: Path, text: str, message: str):
    """With the services that the stack has; acceptance, which judges, is the last task."""
    (tmp_path / "dhoch3").mkdir()
    (tmp_path / "dhoch3/_criteria.yml").write_text(text)
    with pytest.raises(CriteriaError, match=r"_criteria\.yml: ") as caught:
        check(sample.dhoch3(), tmp_path)
    assert message in str(caught.value)
    check(sample.dhoch3())


def test_a_criterion_is_about_its_own_stack_and_may_be_about_all_of_it(tmp_path: Path):
    """A service of another stack that fails does not fail it, and one that was not checked leaves
    it open."""
    (tmp_path / "dhoch3").mkdir()
    (tmp_path / "dhoch3/_criteria.yml").write_text(
        "criteria: [{text: A, proved_by: [is healthy], asked_of: all, otherwise: none}]"
    )
    stack = sample.dhoch3()
    other = replace(stack, name="other")
    healthy = [Finding(f"dhoch3/{one.name} is healthy", True, "") for one in stack.running]
    ill = Finding("other/forge is healthy", False, "")

    def state(findings: list[Finding]) -> str:
        (criterion,) = judge(findings, (stack, other), sample.SITE, tmp_path)
        return criterion.state

    assert state([*healthy, ill]) == "ok"
    assert state([*healthy[1:], ill]) == "not checked"
    assert state([*healthy, replace(healthy[0], ok=False)]) == "FAILED"
