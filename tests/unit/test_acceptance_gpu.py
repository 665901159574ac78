"""The GPU on the host itself, as acceptance finds it at the end of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.harness import programs
from tests.unit.acceptance_stacks import configured
from tests.unit.test_acceptance_versions import run
from workstation.acceptance import Answer, Probe
from workstation.acceptance.gpu import driver_findings
from workstation.acceptance.services import _gpu_findings
from workstation.acceptance.versions import version_probe, versions
from workstation.facts.nvidia import Card, Description, GpuState
from workstation.findings import HOST, failed, noted

CARD = Card("NVIDIA L4", "8.9", "580.95.05", 23034, "GPU-1")
WORKS = GpuState(
    cards=(CARD, CARD),
    status=0,
    module="580.95.05",
    nvml="580.95.05",
    running="6.8.0-85-generic",
    installed="580.95.05",
    boot_kernel="6.8.0-85-generic",
    boot_module="580.95.05",
    cdi=("nvidia.com/gpu=all",),
    descriptions=(Description("/var/run/cdi/nvidia.yaml", ("all",), ("580.95.05",)),),
)


def test_a_driver_that_is_in_order():
    """It works, it is the installed one, and its description is right."""
    findings = list(driver_findings(WORKS, {}))
    assert all(one.ok and one.subject == HOST and one.evidence for one in findings)
    assert [one.detail for one in findings] == [
        "NVIDIA L4, driver 580.95.05",
        "580.95.05 is loaded, and its libraries have version 580.95.05",
        "6.8.0-85-generic will load 580.95.05; 580.95.05 works now",
        "/var/run/cdi/nvidia.yaml, driver 580.95.05",
    ]


@pytest.mark.parametrize(
    ("gpu", "detail"),
    [
        (GpuState(status=124, error="nvidia-smi does not answer within 60 s"), "hangs"),
        (
            replace(WORKS, cards=(), status=18, nvml="580.105.08", error="version mismatch"),
            "580.95.05 is loaded, but nvidia-smi and its library have version 580.105.08",
        ),
        (replace(WORKS, cards=(), status=255, error="Unable to determine"), "Unable to determine"),
    ],
)
def test_a_driver_that_broke_meanwhile_fails(gpu: GpuState, detail: str):
    """For example after an upgrade in the background: the installed driver is not the loaded
    one."""
    (finding,) = driver_findings(gpu, {})
    assert not finding.ok
    assert not finding.note
    assert detail in finding.detail
    assert "reboot" in finding.fix


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"warnings": ("WARNING: infoROM is corrupted",), "status": 14}, "WARNING: infoROM"),
        ({"nvml": "535.1"}, "580.95.05 is loaded, and its libraries have version 535.1"),
        ({"next_kernel": "6.8.0-90-generic"}, "6.8.0-90-generic has no module for it"),
        (
            {"boot_module": "580.105.08"},
            "6.8.0-85-generic will load 580.105.08; 580.95.05 works now",
        ),
        (
            {"boot_module": "580.105.08", "nvml": "", "module": "?"},
            "will load 580.105.08; 580.95.05 works now",
        ),
        (
            {"boot_module": "570.1", "boot_kernel": "6.8.0-90-generic"},
            "6.8.0-90-generic will load 570.1; 580.95.05 works now",
        ),
    ],
)
def test_what_is_worth_knowing_is_a_note(changes: dict[str, object], detail: str):
    """The card still works."""
    findings = list(driver_findings(replace(WORKS, **changes), {}))  # type: ignore[arg-type]
    assert failed(findings) == []
    (note,) = noted(findings)
    assert detail in note.detail
    assert note.fix


def test_a_module_that_is_not_known_is_no_finding():
    """For example, if the driver came with the machine's image."""
    names = [one.name for one in driver_findings(replace(WORKS, boot_module=""), {})]
    assert not any("next boot" in name for name in names)


def test_a_description_of_another_driver_fails():
    """Running containers keep the GPU, but no container can be started with it."""
    old = replace(WORKS.descriptions[0], versions=("570.133.07",))
    (finding,) = failed(driver_findings(replace(WORKS, descriptions=(old,)), {}))
    assert (finding.detail, finding.fix) == (
        "driver 570.133.07 -> 580.95.05",
        "run tasks/nvidia.py",
    )


HEADER = "name, memory.total [MiB], compute_cap\n"
ROW = "NVIDIA L4, 23034 MiB, 8.9\n"
WARNING = "WARNING: infoROM is corrupted at gpu 0000:01:00.0"


@pytest.mark.parametrize(
    ("output", "status", "seen"),
    [
        (HEADER + ROW, 0, "NVIDIA L4"),
        (
            HEADER + "A, B, 23034 MiB, 8.9\nNVIDIA GB10, [N/A], 12.1\n",
            0,
            "2 GPUs: A, B, NVIDIA GB10",
        ),
        (
            HEADER + ROW + f"{WARNING}\n",
            14,
            f"NVIDIA L4 ({WARNING})",
        ),
        (HEADER, 0, None),
        ("No devices were found\n", 0, None),
        (HEADER + ROW, 255, None),
        ("a, b, c\nd, e, f\n", 0, None),
    ],
)
def test_a_service_sees_what_the_rows_say(output: str, status: int, seen: str | None):
    """Rows are recognized by their form; a warning next to them is shown."""
    probe = Probe("GPU", "", (), "fix")
    (finding,) = _gpu_findings(probe, Answer(status == 0, output, status))
    assert finding.ok is (seen is not None)
    assert seen is None or finding.detail == seen


def test_a_card_that_hangs_keeps_the_versions_waiting_for_no_longer_than_needed(tmp_path: Path):
    """All other versions are shown; a warning does not count as a card."""
    none = dict.fromkeys(("ip", "curl", "dpkg_query", "docker"), "exit 1")
    probe = version_probe(configured())
    short = replace(probe, script=probe.script.replace("limited 20", "limited 1"))
    hangs = programs(tmp_path, nvidia_smi="exec sleep 30", uname="echo 6.8.0-88-generic", **none)
    seen = versions(Answer(True, run(short, hangs).stdout))
    assert (seen.shown["Kernel"], seen.gpu) == ("6.8.0-88-generic", "")
    warns = "echo 'NVIDIA L4, 1 MiB, 580.95.05'; echo 'WARNING: a, b, c'; exit 14"
    warned = programs(tmp_path, nvidia_smi=warns, **none)
    seen = versions(Answer(True, run(probe, warned).stdout))
    assert (seen.shown["NVIDIA driver"], seen.gpu) == ("580.95.05", "NVIDIA L4")
