"""Existing configuration of Ollama's unit: what stops a run, and what is overridden."""

from __future__ import annotations

import pytest

from tests.fixtures.harness import settings
from workstation.facts.ollama import OllamaState
from workstation.findings import Finding, failed, noted
from workstation.preflight.ollama import unit_findings
from workstation.units import ollama as ollama_unit
from workstation.units.files import UnitFile
from workstation.units.ollama import DROP_IN, UNIT

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
    gpu: bool = True,
    met: tuple[str, ...] = (),
    unmet: tuple[str, ...] = (),
) -> list[Finding]:
    """Return the findings for one foreign drop-in; ``ours``: a run has been there before."""
    configured = settings(ollama_environment={"OLLAMA_FLASH_ATTENTION": "1"})
    own, drop_in = ollama_unit.unit(), ollama_unit.drop_in(configured)
    files = [UnitFile(path, text)] if text else []
    files = sorted([*files, *([drop_in] if ours else [])], key=lambda one: one.name)
    state = OllamaState(
        unit=own if ours else unit,
        drop_ins=tuple(files),
        variables=variables,
        masked=masked,
        met=met,
        unmet=unmet,
    )
    return list(unit_findings(state, own, drop_in, gpu))


def stops(*arguments: object, **named: object) -> dict[str, str]:
    return {one.name: one.detail for one in failed(findings(*arguments, **named))}  # type: ignore[arg-type]


def notes(*arguments: object, **named: object) -> dict[str, str]:
    return {one.name: one.detail for one in noted(findings(*arguments, **named))}  # type: ignore[arg-type]


def test_a_unit_that_nobody_has_touched_is_right():
    """On a bare machine, after install.sh, and after a run."""
    for found in (findings(unit=None), findings(), findings(ours=True)):
        assert [(one.name, one.ok) for one in found] == [("ollama.service", True)]


def test_a_build_of_somebodys_own_is_named_before_anything_is_changed():
    """With drop-in and key, each with its fix."""
    text = (
        '[Service]\nUser=anna\nGroup=anna\nEnvironment="OLLAMA_HOST=0.0.0.0"\nExecStart=\n'
        "ExecStart=/home/anna/ollama-build/ollama serve\n"
    )
    found = findings(text)
    assert {one.name: one.detail for one in failed(found)} == {
        "ollama.service: ExecStart": f"{OVERRIDE} makes it start "
        "/home/anna/ollama-build/ollama instead of the pinned release",
        "ollama.service: User": f"{OVERRIDE} makes it run as user anna, but its models belong to "
        "ollama",
    }
    fix = failed(found)[0].fix
    assert fix.startswith(f"remove ExecStart from {OVERRIDE}, or rename that file so that it does")
    assert notes(text)["ollama.service: OLLAMA_HOST"].startswith(
        f"{HOST} will override 0.0.0.0 from {OVERRIDE}"
    )


@pytest.mark.parametrize(
    "start",
    [
        "/usr/local/bin/ollama serve",
        "-/usr/bin/nice -n 5 /usr/local/bin/ollama serve",
        "/bin/sh -c 'ulimit -n 65536; exec /usr/local/bin/ollama serve'",
        "ollama serve",
        "@/usr/local/bin/ollama ollama serve",
        "/usr/bin/numactl --cpunodebind=0 -m 0 /usr/local/bin/ollama serve",
        "/usr/bin/chrt -f 10 /usr/bin/ionice -c 2 -n 0 /usr/local/bin/ollama serve",
        "/usr/bin/systemd-cat -t ollama /usr/local/bin/ollama serve",
        "/usr/bin/env -u http_proxy CUDA_VISIBLE_DEVICES=0 /usr/local/bin/ollama serve",
        "/usr/bin/env OLLAMA_HOST=127.0.0.1:11434 /usr/local/bin/ollama serve",
        "/bin/sh -c 'OLLAMA_DEBUG=1 exec ollama serve >>/var/log/ollama.log 2>&1'",
        "/bin/bash -ec '[ -d /x ] || mkdir /x && ollama serve | tee /x/log'",
    ],
)
@pytest.mark.parametrize("path", [OVERRIDE, LAST])
def test_a_start_of_somebodys_own_that_runs_the_pinned_release_is_right(start: str, path: str):
    """No matter which commands come before it."""
    text = f"[Service]\nExecStart=\nExecStart={start}\n"
    assert stops(text, path, ours=True) == {}
    assert notes(text, path, ours=True) == {}


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        ("/usr/bin/docker start -a ollama", "start /usr/bin/docker instead of the pinned release"),
        ("/usr/bin/docker run --name ollama ollama/ollama serve", "start /usr/bin/docker instead"),
        (
            "/usr/bin/podman exec ollama /usr/local/bin/ollama serve",
            "start /usr/bin/podman instead",
        ),
        ("/usr/bin/env -S 'A=1 /opt/ollama serve'", "start /opt/ollama instead"),
        ("/bin/sh -c 'exec docker start -a ollama; ollama serve'", "start docker instead"),
        ("/bin/sh -c 'if true; then ollama serve; fi'", "start /bin/sh instead"),
        ("/bin/sh /opt/ollama", "start /bin/sh instead"),
        ("/bin/sh -c 'echo \"/usr/local/bin/ollama serve'", "start /bin/sh instead"),
        ("/usr/bin/nice", "start nothing instead"),
        ("/usr/local/bin/ollama run llama3", "start `/usr/local/bin/ollama run llama3` instead"),
        ("/usr/local/bin/ollama", "start `/usr/local/bin/ollama` instead of the server"),
        (
            "/bin/true ; /usr/local/bin/ollama serve",
            "turns it into several commands, which systemd",
        ),
    ],
)
def test_a_start_that_only_names_ollama_is_named(start: str, stop: str):
    """Findings about a unit file are not repeated for a drop-in."""
    text = f"[Service]\nExecStart=\nExecStart={start}\n"
    found = findings(text)
    (finding,) = failed(found)
    assert finding.name == "ollama.service: ExecStart"
    assert stop in finding.detail
    assert OVERRIDE in finding.detail
    assert noted(found) == []


@pytest.mark.parametrize(
    ("start", "stop", "note"),
    [
        ("/usr/bin/env OLLAMA_HOST=0.0.0.0 /usr/local/bin/ollama serve", ["OLLAMA_HOST"], []),
        ("/bin/sh -c 'OLLAMA_HOST=0.0.0.0 exec /usr/local/bin/ollama serve'", ["OLLAMA_HOST"], []),
        ("/bin/sh -c 'export OLLAMA_HOST=:11434; ollama serve'", [], []),
        ("/bin/sh -c 'export OLLAMA_HOST=[::]; ollama serve'", ["OLLAMA_HOST"], []),
        ("/bin/sh -c 'OLLAMA_HOST=$(hostname); ollama serve'", ["OLLAMA_HOST"], []),
        ("/bin/sh -c 'OLLAMA_HOST=$$WHERE ollama serve'", ["OLLAMA_HOST"], []),
        ("/bin/sh -c 'unset OLLAMA_MODELS; exec ollama serve'", ["OLLAMA_MODELS"], []),
        (
            "/usr/bin/env -i HOME=/x /usr/local/bin/ollama serve",
            ["OLLAMA_HOST", "OLLAMA_MODELS"],
            ["OLLAMA_FLASH_ATTENTION"],
        ),
        ("/usr/bin/env --unset=OLLAMA_HOST /usr/local/bin/ollama serve", ["OLLAMA_HOST"], []),
        ("/usr/bin/env OLLAMA_FLASH_ATTENTION=0 ollama serve", [], ["OLLAMA_FLASH_ATTENTION"]),
        ("/bin/bash -lc 'exec /usr/local/bin/ollama serve'", [], ["ExecStart"]),
        ("/bin/sh -c '. /etc/default/ollama; exec /usr/local/bin/ollama serve'", [], ["ExecStart"]),
        ("+/usr/local/bin/ollama serve", [], ["User"]),
        ("/usr/bin/env PATH=/home/anna/bin:/usr/local/bin ollama serve", ["ExecStart"], []),
        ("/usr/bin/env PATH=/usr/bin:/bin ollama serve", ["ExecStart"], []),
        ("/usr/bin/env PATH=/usr/local/sbin:/usr/local/bin ollama serve", [], []),
    ],
)
def test_variables_of_a_start_are_overrides(start: str, stop: list[str], note: list[str]):
    """They take precedence over ours wherever they are, and so may the profile and files that a
    shell reads."""
    text = f"[Service]\nExecStart=\nExecStart={start}\n"
    for path in (OVERRIDE, LAST):
        assert list(stops(text, path, ours=True)) == [f"ollama.service: {key}" for key in stop]
        assert list(notes(text, path, ours=True)) == [f"ollama.service: {key}" for key in note]


STORE = settings().ollama_models


@pytest.mark.parametrize(
    ("line", "stop", "note"),
    [
        ("PrivateDevices=yes", "hides the card", ""),
        ("DevicePolicy=closed", "hides the card", ""),
        ("DeviceAllow=/dev/fuse rw", "hides the card", ""),
        ("ProtectClock=true", "hides the card", ""),
        ("DevicePolicy=closed\nDeviceAllow=char-nvidia-uvm rw", "", ""),
        ("PrivateDevices=no", "", ""),
        ("PrivateDevices=yes\nPrivateDevices=no", "", ""),
        ("PrivateNetwork=1", "cut off from the host's network", ""),
        ("NetworkNamespacePath=/run/netns/vpn", "cut off from the host's network", ""),
        (
            "RestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX",
            "cut off from the host's network",
            "",
        ),
        ("RestrictAddressFamilies=none", "cut off from the host's network", ""),
        # Added to the unit's own list, or removed from it.
        ("RestrictAddressFamilies=AF_UNIX", "", ""),
        ("RestrictAddressFamilies=~AF_PACKET", "", ""),
        ("RestrictAddressFamilies=~AF_INET", "cut off from the host's network", ""),
        ("RestrictAddressFamilies=AF_UNIX\nRestrictAddressFamilies=AF_INET AF_INET6", "", ""),
        ("RootDirectory=/srv/ollama", "with another root folder", ""),
        ("RootImage=/srv/ollama.raw", "with another root folder", ""),
        ("RootDirectory=/", "", ""),
        ("Type=oneshot", "waits for a signal", ""),
        ("Type=notify", "waits for a signal", ""),
        ("Type=exec", "", ""),
        ("Type=", "", ""),
        ("DynamicUser=yes", "only to its own folders", ""),
        # The unit's own ReadWritePaths= lie within.
        ("ProtectSystem=strict", "", "at the end"),
        (f"ProtectSystem=strict\nReadWritePaths={STORE} /usr/share/ollama", "", "at the end"),
        ("ProtectSystem=full", "", "at the end"),
        ("ProtectHome=yes", "", ""),
        (f"ReadOnlyPaths=-{STORE}", "may not write its models", ""),
        ("ReadOnlyPaths=/etc", "", ""),
        ("InaccessiblePaths=/opt", "cannot access /opt/ollama", ""),
        ("TemporaryFileSystem=/usr/local:ro", "cannot access /usr/local/bin/ollama", ""),
        ("NoExecPaths=/", "cannot access /usr/local/bin/ollama", ""),
        ("ExecStartPre=/bin/false", "", "if that command fails"),
        ("ExecStartPre=-/bin/false", "", ""),
        ("ExecCondition=/bin/false", "", "if that command fails"),
        ("MemoryDenyWriteExecute=yes", "", "at the end"),
        ("SystemCallFilter=@system-service", "", "at the end"),
        ("WorkingDirectory=/srv/x", "", "at the end"),
        ("SomethingNew=yes", "", "at the end"),
        ("LoadCredential=", "", ""),
        ("Nice=-5\nLimitNOFILE=65536\nMemoryMax=32G\nOOMScoreAdjust=-500", "", ""),
        ("Restart=on-failure\nTimeoutStartSec=5min\nSupplementaryGroups=render", "", ""),
        ("[Unit]\nAfter=network.target\nWants=x.service\nStartLimitBurst=9", "", ""),
        ("[Unit]\nRequires=nope.service", "", "if that unit does not start"),
        ("[Unit]\nConflicts=docker.service", "stops Docker", ""),
        ("[Unit]\nConflicts=other.service", "", ""),
        ("[Unit]\nRefuseManualStart=yes", "is never started", ""),
        ("EnvironmentFile=/etc/default/none", "which does not exist", ""),
        ("EnvironmentFile=-/etc/default/none", "", ""),
        ("EnvironmentFile=/etc/default/none\nEnvironmentFile=", "", ""),
    ],
)
@pytest.mark.parametrize("path", [OVERRIDE, LAST])
def test_a_unit_that_keeps_ollama_from_its_work_is_named(
    line: str, stop: str, note: str, path: str
):
    """It stops the run if that is certain, and is a note if it is possible."""
    text = line if line.startswith("[") else f"[Service]\n{line}"
    found = findings(f"{text}\n", path, ours=True)
    told = [one.detail for one in failed(found)], [one.detail for one in noted(found)]
    for wanted, details in zip((stop, note), told, strict=True):
        assert [wanted in one and path in one for one in details] == ([True] if wanted else [])
    assert [one.ok for one in found] == ([False] if stop or note else [True])


def test_without_a_card_nobody_misses_it():
    """This applies if services use none."""
    assert findings("[Service]\nPrivateDevices=yes\n", gpu=False)[0].ok


@pytest.mark.parametrize(
    ("lines", "met", "unmet", "stop", "note"),
    [
        (["ConditionPathExists=/nope"], [], ["ConditionPathExists=/nope"], 1, 0),
        (["AssertPathExists=/nope"], [], ["AssertPathExists=/nope"], 1, 0),
        (["ConditionPathExists=/there"], ["ConditionPathExists=/there"], [], 0, 0),
        (["ConditionPathExists=/nope"], [], [], 0, 1),
        (
            ["ConditionPathExists=/usr/local/bin/ollama"],
            [],
            ["ConditionPathExists=/usr/local/bin/ollama"],
            0,
            1,
        ),
        (["ConditionPathExists=/nope", "ConditionPathExists="], [], [], 0, 0),
        (
            ["ConditionPathExists=|/a", "ConditionPathExists=|/b"],
            ["ConditionPathExists=|/b"],
            ["ConditionPathExists=|/a"],
            0,
            0,
        ),
        (
            ["ConditionPathExists=|/a", "ConditionHost=|b"],
            [],
            ["ConditionPathExists=|/a", "ConditionHost=|b"],
            2,
            0,
        ),
    ],
)
def test_a_condition_that_does_not_hold_is_named(
    lines: list[str], met: list[str], unmet: list[str], stop: int, note: int
):
    """systemd starts nothing then, and reports no failure; files that a run will create do not
    exist yet."""
    text = "\n".join(["[Unit]", *lines, ""])
    given = {"met": tuple(met), "unmet": tuple(unmet)}
    assert len(failed(findings(text, **given))) == stop  # type: ignore[arg-type]
    assert len(noted(findings(text, **given))) == note  # type: ignore[arg-type]


def test_a_second_start_is_refused_by_systemd():
    """Unless the drop-in resets the first one."""
    found = stops("[Service]\nExecStart=/opt/mine serve\n")
    assert "turns it into 2 commands" in found["ollama.service: ExecStart"]
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
    """It stops the run if it opens Ollama to the LAN or hides its models."""
    found = f"[Service]\n{text}\n"
    assert list(stops(found, LAST, ours=True)) == [f"ollama.service: {key}" for key in stop]
    assert list(notes(found, LAST, ours=True)) == [f"ollama.service: {key}" for key in note]


@pytest.mark.parametrize("path", [OVERRIDE, LAST])
def test_a_file_of_variables_wins_over_ours(path: str):
    """No matter which drop-in names it (systemd.exec(5), EnvironmentFile=)."""
    file = UnitFile("/etc/default/ollama", "OLLAMA_HOST=0.0.0.0\n")
    text = "[Service]\nEnvironmentFile=-/etc/default/ollama\n"
    (finding,) = failed(findings(text, path, (file,), ours=True))
    assert finding.detail == f"/etc/default/ollama sets it to 0.0.0.0 instead of {HOST}"
    assert finding.fix == "remove OLLAMA_HOST from /etc/default/ollama; then run again"
    assert stops(text, path, (UnitFile("/etc/default/ollama", "OLLAMA_KEEP_ALIVE=1h"),)) == {}


def test_what_has_given_way_is_not_told_again():
    """The next run finds ours after it."""
    text = "[Service]\nEnvironment=OLLAMA_HOST=0.0.0.0\n"
    assert list(notes(text)) == ["ollama.service: OLLAMA_HOST"]
    assert notes(text, ours=True) == {}


def test_another_unit_file_gives_way_with_a_note():
    """A package's file is overridden, and a custom one is kept next to ours."""
    package = UnitFile("/usr/lib/systemd/system/ollama.service", INSTALL_SH.text)
    assert "will override /usr/lib/systemd" in notes(unit=package)["ollama.service: file"]
    own = UnitFile(UNIT, INSTALL_SH.text.replace("/usr/local/bin", "/home/anna"))
    (note,) = noted(findings(unit=own))
    assert note.detail == (
        "it starts /home/anna/ollama and will be replaced by a unit for the pinned release"
    )
    assert note.fix == f"nothing to do; your unit is kept as {UNIT}.before-ai-workstation"


def test_a_masked_unit_is_named():
    """It would not start, whatever the drop-ins contain."""
    (finding,) = failed(findings(masked=UNIT, unit=None))
    assert finding.fix == "run `systemctl unmask ollama.service` on the host"


def test_ours_is_found_by_its_name():
    """No matter what an older run has written into it."""
    old = OllamaState(unit=ollama_unit.unit(), drop_ins=(UnitFile(DROP_IN, "[Service]\nUser=x\n"),))
    found = unit_findings(old, ollama_unit.unit(), ollama_unit.drop_in(settings()))
    assert failed(found) == []
