"""NVIDIA's rules: chips by PCI id and by compute capability, builds and cards, drivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.harness import gather, programs
from workstation.facts.nvidia import Card, Gpu, GpuState
from workstation.nvidia.gpu import (
    Device,
    by_pci_id,
    devices,
    families_of,
    family,
    is_open,
    oldest_driver,
    runs_on,
    suffices,
)
from workstation.version import version


@pytest.mark.parametrize(
    ("pci", "chip", "compute"),
    [
        ("10de:0640", "Kepler or older", (0,)),  # G96C [GeForce 9500 GT]
        ("10de:1287", "Kepler or older", (0,)),  # GK208B [GeForce GT 730]
        ("10de:1340", "Maxwell", (5, 0)),  # GM108M [GeForce 830M]
        ("10de:13c2", "Maxwell", (5, 0)),  # GM204 [GeForce GTX 970]
        ("10de:15f8", "Pascal", (6, 0)),  # GP100GL [Tesla P100 PCIe 16GB]
        ("10de:1617", "Maxwell", (5, 2)),  # GM204M [GeForce GTX 980M]
        ("10de:172f", "Pascal", (6, 0)),  # GP100
        ("10de:174d", "Maxwell", (5, 0)),  # GM108M [GeForce MX130]
        ("10de:17c8", "Maxwell", (5, 0)),  # GM200 [GeForce GTX 980 Ti]
        ("10de:1b06", "Pascal", (6, 1)),  # GP102 [GeForce GTX 1080 Ti]
        ("10de:1d01", "Pascal", (6, 1)),  # GP108 [GeForce GT 1030]
        ("10de:1d81", "Volta", (7, 0)),  # GV100 [TITAN V]
        ("10de:1db6", "Volta", (7, 0)),  # GV100GL [Tesla V100 PCIe 32GB]
        ("10de:1e02", "Turing", (7, 5)),  # TU102 [TITAN RTX]
        ("10de:1eb8", "Turing", (7, 5)),  # TU104GL [Tesla T4]
        ("10de:1ff9", "Turing", (7, 5)),  # TU117GLM [Quadro T1000 Mobile]
        ("10de:2080", "Ampere", (8, 0)),  # GA100
        ("10de:20f3", "Ampere", (8, 0)),  # GA100 [A800-SXM4-80GB]
        ("10de:2182", "Turing", (7, 5)),  # TU116 [GeForce GTX 1660 Ti]
        ("10de:2204", "Ampere", (8, 6)),  # GA102 [GeForce RTX 3090]
        ("10de:2235", "Ampere", (8, 6)),  # GA102GL [A40]
        ("10de:2331", "Hopper", (9, 0)),  # GH100 [H100 PCIe]
        ("10de:2335", "Hopper", (9, 0)),  # GH100 [H200 SXM 141GB]
        ("10de:2503", "Ampere", (8, 6)),  # GA106 [GeForce RTX 3060]
        ("10de:2684", "Ada", (8, 9)),  # AD102 [GeForce RTX 4090]
        ("10de:26b1", "Ada", (8, 9)),  # AD102GL [RTX 6000 Ada Generation]
        ("10de:27b2", "Ada", (8, 9)),  # AD104GL [RTX 4000 Ada Generation]
        ("10de:28f8", "Ada", (8, 9)),  # AD107GLM [RTX 2000 Ada Generation Embedded GPU]
        ("10de:2901", "Blackwell", (10, 0)),  # GB100 [B200]
        ("10de:2941", "Blackwell", (10, 0)),  # GB100 [HGX GB200]
        ("10de:2b85", "Blackwell", (12, 0)),  # GB202 [GeForce RTX 5090]
        ("10de:2bb1", "Blackwell", (12, 0)),  # GB202GL [RTX PRO 6000 Blackwell Workstation Edition]
        ("10de:2c34", "Blackwell", (12, 0)),  # GB203GL [RTX PRO 4000 Blackwell]
        ("10de:2f04", "Blackwell", (12, 0)),  # GB205 [GeForce RTX 5070]
        ("10de:3182", "Blackwell", (10, 3)),  # GB110 [B300 SXM6 AC]
        ("10de:31c2", "Blackwell", (10, 3)),  # GB110 [GB300]
        ("10de:2b00", "unknown", ()),  # GB10B [Jetson AGX Thor]
        ("10de:3002", "unknown", ()),  # GR100
        ("10de:3224", "unknown", ()),  # GB112
        ("10de:ffff", "unknown", ()),
    ],
)
def test_a_chip_is_known_by_its_pci_id(pci: str, chip: str, compute: tuple[int, ...]):
    """The names next to the ids are those of Debian's package pci.ids, 0.0~2026.10.24-1."""
    assert by_pci_id(pci) == compute
    assert family(compute) == chip


def test_pci_ids_may_be_written_in_capitals():
    """Some tools print them that way."""
    assert by_pci_id("10DE:2BB1") == (12, 0)


@pytest.mark.parametrize(
    ("compute", "name"),
    [
        ("3.5", "Kepler or older"),
        ("5.2", "Maxwell"),
        ("6.1", "Pascal"),
        ("7.0", "Volta"),
        ("7.5", "Turing"),
        ("8.6", "Ampere"),
        ("8.9", "Ada"),
        ("9.0", "Hopper"),
        ("10.3", "Blackwell"),
        ("12.1", "Blackwell"),
        ("13.0", "unknown"),
        ("[N/A]", "unknown"),
    ],
)
def test_a_compute_capability_has_a_family(compute: str, name: str):
    """In the form that nvidia-smi prints."""
    assert family(version(compute)) == name


ADA = Card("NVIDIA L4", "8.9", "580.95.05", 23034, "GPU-1")


def test_a_working_driver_knows_its_cards_best():
    """Cards of the same kind are listed once."""
    state = GpuState(cards=(ADA, ADA), pci=("10de:27b8", "10de:1287"))
    assert devices(state) == (Device("NVIDIA L4", (8, 9)),)


@pytest.mark.parametrize("capability", ["", "[N/A]"])
def test_without_a_driver_that_tells_the_pci_ids_do(capability: str):
    """On a bare machine, and with a driver of the branch 470."""
    old = Card("NVIDIA RTX A6000", capability, "470.256.02", 49140, "GPU-1")
    for cards in ((), (old,)):
        found = devices(GpuState(cards=cards, pci=("10de:2230", "10de:2230")))
        assert [str(device) for device in found] == ["card 10de:2230 (Ampere)"]
    assert devices(GpuState()) == ()


def test_an_old_nvidia_smi_is_asked_without_compute_capability(tmp_path: Path):
    """It rejects a query with a field that it does not know."""
    text = """
    case $1 in *compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2
    esac
    [ "$1" = --query-gpu=name,driver_version,memory.total,uuid ] || exit 9
    echo "NVIDIA RTX A6000, 470.256.02, 48685, GPU-1"
    """
    found = gather(Gpu, environment=programs(tmp_path, nvidia_smi=text, nvidia_ctk="exit 1"))
    assert found.cards == (Card("NVIDIA RTX A6000", "", "470.256.02", 48685, "GPU-1"),)
    assert found.error == ""


@pytest.mark.parametrize(
    ("span", "compute", "runs"),
    [
        ("7.5-12.0", "5.2", False),
        ("7.5-12.0", "7.0", False),
        ("7.5-12.0", "7.5", True),
        ("7.5-12.0", "8.9", True),
        ("7.5-12.0", "10.3", True),
        ("7.5-12.0", "12.0", True),
        ("7.5-12.0", "12.1", True),
        ("7.5-12.0", "13.0", False),
        ("7.5-8.6", "8.9", True),
        ("7.5-9.0", "10.0", False),
        ("7.5-9.0", "12.0", False),
        ("7.5-9.0", "", True),
    ],
)
def test_a_build_runs_within_its_compute_capabilities(span: str, compute: str, runs: bool):
    """Up to the next major version; unknown cards are not refused."""
    assert runs_on(span, version(compute)) is runs


def test_a_span_is_told_with_names():
    """For people who know the name of their card."""
    assert families_of("7.5-12.0") == "Turing (7.5) to Blackwell (12.0)"


@pytest.mark.parametrize(
    ("cuda", "oldest"),
    [
        ("11.8", "450.80.02"),
        ("12.0", "525.60.13"),
        ("12.8", "525.60.13"),
        ("13.0", "580"),
        ("13.3", "580"),
        ("14.0", "580"),
    ],
)
def test_the_major_version_of_cuda_decides_on_the_driver(cuda: str, oldest: str):
    """An unknown major version needs at least the driver of the newest known one."""
    assert oldest_driver(cuda) == oldest


@pytest.mark.parametrize(
    ("driver", "oldest", "enough"),
    [
        ("470.256.02", "525.60.13", False),
        ("525.60.11", "525.60.13", False),
        ("525.60.13", "525.60.13", True),
        ("525.147.05", "525.60.13", True),
        ("580.95.05", "580", True),
        ("575.64", "580", False),
        ("610.43", "525.60.13", True),
        ("525", "525.60.13", True),
        ("515-server-open", "525.60.13", False),
        ("580-open", "570", True),
        ("550-open", "570", False),
    ],
)
def test_a_driver_is_new_enough_or_not(driver: str, oldest: str, enough: bool):
    """For a branch, the newest driver counts, because a run installs that."""
    assert suffices(driver, oldest) is enough


def test_the_name_of_a_branch_tells_its_kernel_modules():
    """According to Ubuntu's names."""
    assert is_open("580-open")
    assert is_open("580-server-open")
    assert not is_open("580")
    assert not is_open("580-server")
