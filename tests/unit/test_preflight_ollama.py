"""What somebody has configured for Ollama's unit: what stops a run, and what gives way."""

from __future__ import annotations

import pytest

from tests.fixtures.harness import settings
from workstation import ollama_unit
from workstation.facts.ollama import OllamaState
from workstation.findings import Finding, failed, noted
from workstation.ollama_unit import DROP_IN, UNIT
from workstation.preflight.ollama import unit_findings
from workstation.unit_files import UnitFile

HOST = "127.0.0.1:11434"
OVERRIDE = f"{UNIT}.d/override.conf"
LAST = f"{UNIT}.d/zzz.conf"
INSTALL_SH = UnitFile(
    UNIT, "[Service]\nExecStart=/usr/local/bin/ollama serve\nUser=ollama\nGroup=ollama\n"
)


def findings(
    text: str = "",
    path: str = OVERRIDE,
    variables: tuple[UnitFile, ...] = (),
    unit: UnitFile | None = INSTALL_SH,
    masked: str = "",
    ours: bool = False,
) -> list[Finding]:
    """Return what is found with one drop-in of somebody's; ``ours``: a run has been there."""
    configured = settings(ollama_environment={"OLLAMA_FLASH_ATTENTION": "1"})
    own, drop_in = ollama_unit.unit(), ollama_unit.drop_in(configured)
    files = [UnitFile(path, text)] if text else []
    files = sorted([*files, *([drop_in] if ours else [])], key=lambda one: one.name)
    state = OllamaState(
        unit=own if ours else unit, drop_ins=tuple(files), variables=variables, masked=masked
    )
    return list(unit_findings(state, own, drop_in))


def stops(*arguments: object, **named: object) -> dict[str, str]:
    return {one.name: one.detail for one in failed(findings(*arguments, **named))}  # type: ignore[arg-type]


def notes(*arguments: object, **named: object) -> dict[str, str]:
    return {one.name: one.detail for one in noted(findings(*arguments, **named))}  # type: ignore[arg-type]


def test_a_unit_that_nobody_has_touched_is_right():
    """On a bare machine, after install.sh, after a run."""
    for found in (findings(unit=None), findings(), findings(ours=True)):
        assert [(one.name, one.ok) for one in found] == [("ollama.service", True)]


def test_a_build_of_somebodys_own_is_named_before_anything_is_changed():
    """By drop-in and key, each with the way out."""
    text = (
        '[Service]\nUser=anna\nGroup=anna\nEnvironment="OLLAMA_HOST=0.0.0.0"\nExecStart=\n'
        "ExecStart=/home/anna/ollama-build/ollama serve\n"
    )
    found = findings(text)
    assert {one.name: one.detail for one in failed(found)} == {
        "ollama.service: ExecStart": "it starts /home/anna/ollama-build/ollama, not the pinned "
        f"release: {OVERRIDE} says so",
        "ollama.service: User": f"{OVERRIDE} has it run as user anna, and its models belong to "
        "ollama",
    }
    fix = failed(found)[0].fix
    assert fix.startswith(f"take ExecStart out of {OVERRIDE}, or rename that file so that it does")
    assert notes(text)["ollama.service: OLLAMA_HOST"].startswith(
        f"0.0.0.0 in {OVERRIDE} gives way to {HOST}"
    )


@pytest.mark.parametrize(
    "start",
    [
        "/usr/local/bin/ollama serve",
        "-/usr/bin/nice -n 5 /usr/local/bin/ollama serve",
        "/bin/sh -c 'ulimit -n 65536; exec /usr/local/bin/ollama serve'",
        "ollama serve",
    ],
)
def test_a_start_of_somebodys_own_that_runs_the_pinned_release_is_right(start: str):
    """With whatever stands before it."""
    assert stops(f"[Service]\nExecStart=\nExecStart={start}\n") == {}


def test_a_second_start_is_refused_by_systemd():
    """Where the drop-in does not take the first one back."""
    found = stops("[Service]\nExecStart=/opt/mine serve\n")
    assert "makes it 2 commands" in found["ollama.service: ExecStart"]
    assert "ollama.service: ExecStart" in stops("[Service]\nExecStart=\n")


@pytest.mark.parametrize(
    ("text", "stop", "note"),
    [
        ("User=root", [], ["User"]),
        ("Group=staff", [], ["Group"]),
        ("User=anna", ["User"], []),
        ("User=", [], ["User"]),
        ("Environment=OLLAMA_HOST=0.0.0.0", ["OLLAMA_HOST"], []),
        ("Environment=OLLAMA_HOST=[::]:11434", ["OLLAMA_HOST"], []),
        ("Environment=OLLAMA_HOST=127.0.0.1:11435", ["OLLAMA_HOST"], []),
        ("Environment=OLLAMA_HOST=127.0.0.1", [], []),
        ("Environment=OLLAMA_HOST=http://localhost:11434/", [], []),
        ("Environment=OLLAMA_MODELS=/data/models", ["OLLAMA_MODELS"], []),
        ("Environment=OLLAMA_FLASH_ATTENTION=0", [], ["OLLAMA_FLASH_ATTENTION"]),
        ("Environment=OLLAMA_KEEP_ALIVE=5m", [], []),
        ("UnsetEnvironment=OLLAMA_HOST", ["OLLAMA_HOST"], []),
        ("Environment=", ["OLLAMA_HOST", "OLLAMA_MODELS"], ["OLLAMA_FLASH_ATTENTION"]),
        ("Nice=5\nLimitNOFILE=65536", [], []),
    ],
)
def test_what_comes_behind_ours_wins_and_is_named(text: str, stop: list[str], note: list[str]):
    """It stops the run where it opens Ollama to the LAN or keeps it from its models."""
    found = f"[Service]\n{text}\n"
    assert list(stops(found, LAST, ours=True)) == [f"ollama.service: {key}" for key in stop]
    assert list(notes(found, LAST, ours=True)) == [f"ollama.service: {key}" for key in note]


@pytest.mark.parametrize("path", [OVERRIDE, LAST])
def test_a_file_of_variables_wins_over_ours(path: str):
    """Wherever the drop-in that names it stands (systemd.exec(5), EnvironmentFile=)."""
    file = UnitFile("/etc/default/ollama", "OLLAMA_HOST=0.0.0.0\n")
    text = "[Service]\nEnvironmentFile=-/etc/default/ollama\n"
    (finding,) = failed(findings(text, path, (file,), ours=True))
    assert finding.detail == f"/etc/default/ollama sets it to 0.0.0.0, not {HOST}"
    assert finding.fix == "take OLLAMA_HOST out of /etc/default/ollama; then run again"
    assert stops(text, path, (UnitFile("/etc/default/ollama", "OLLAMA_KEEP_ALIVE=1h"),)) == {}


def test_what_has_given_way_is_not_told_again():
    """The next run finds ours behind it."""
    text = "[Service]\nEnvironment=OLLAMA_HOST=0.0.0.0\n"
    assert list(notes(text)) == ["ollama.service: OLLAMA_HOST"]
    assert notes(text, ours=True) == {}


def test_another_unit_file_gives_way_with_a_note():
    """One of a package is overridden, one of somebody's own is kept beside ours."""
    package = UnitFile("/usr/lib/systemd/system/ollama.service", INSTALL_SH.text)
    assert "gives way to /etc/systemd" in notes(unit=package)["ollama.service: file"]
    own = UnitFile(UNIT, INSTALL_SH.text.replace("/usr/local/bin", "/home/anna"))
    (note,) = noted(findings(unit=own))
    assert note.detail == "it starts /home/anna/ollama and gives way to the pinned release"
    assert note.fix == f"find yours in {UNIT}.before-ai-workstation"


def test_a_masked_unit_is_named():
    """It would not start, whatever stands in the drop-ins."""
    (finding,) = failed(findings(masked=UNIT, unit=None))
    assert finding.fix == "run `systemctl unmask ollama.service` on the host"


def test_ours_is_found_by_its_name():
    """Whatever an older run has written into it."""
    old = OllamaState(unit=ollama_unit.unit(), drop_ins=(UnitFile(DROP_IN, "[Service]\nUser=x\n"),))
    found = unit_findings(old, ollama_unit.unit(), ollama_unit.drop_in(settings()))
    assert failed(found) == []
