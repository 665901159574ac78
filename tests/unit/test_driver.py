"""Problems of a driver, whether a run may fix them, and how a person can."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fixtures.recordings import recording
from workstation.facts.nvidia import Card, GpuState
from workstation.facts.packages import PackageState
from workstation.nvidia.driver import KEYS, action, load_advice, trouble
from workstation.nvidia.packages import branches, utilities

BARE = GpuState(pci=("10de:2bb1",), bound=("",), running="6.8.0-85-generic")
THERE = PackageState("580.95.05-0ubuntu1", False)


def test_packages_are_known_by_their_branch():
    """Including server and headless ones; libraries are no driver."""
    packages = dict.fromkeys(
        (
            "nvidia-driver-580-open",
            "nvidia-driver-570-server",
            "nvidia-headless-no-dkms-580-server-open",
            "nvidia-utils-580",
            "libnvidia-compute-580",
            "nvidia-driver",
        ),
        THERE,
    )
    assert branches(packages) == {
        "nvidia-driver-570-server": "570-server",
        "nvidia-driver-580-open": "580-open",
        "nvidia-headless-no-dkms-580-server-open": "580-server-open",
    }
    assert utilities(packages) == "nvidia-utils-580=580.95.05-0ubuntu1"
    assert utilities({}) == ""


@pytest.mark.parametrize(
    ("packages", "wanted"),
    [
        ((), "install"),
        (("nvidia-utils-535",), "replace"),
        (("libnvidia-compute-535-server",), "replace"),
        (("nvidia-dkms-535", "nvidia-utils-535"), "replace"),
        (("nvidia-dkms-580",), "replace"),
        (("linux-modules-nvidia-535-generic-hwe-24.04",), "replace"),
        (("nvidia-driver-580-open", "nvidia-dkms-535"), "replace"),
        (("nvidia-utils-580", "libnvidia-compute-580"), "complete"),
        (("nvidia-dkms-580-open", "nvidia-kernel-common-580"), "complete"),
        (("linux-modules-nvidia-580-open-6.8.0-85-generic",), "complete"),
        (("nvidia-driver-535", "cuda-drivers-535"), ""),
        (("nvidia-linux-grid-535",), ""),
        (("nvidia-tesla-470-driver",), ""),
        (("libnvidia-ml1",), ""),
        (("nvidia-container-toolkit", "libnvidia-container1", "nvidia-settings"), "install"),
        (("nvidia-driver-580-open",), "complete"),
        (("nvidia-headless-580-open",), "complete"),
        (("nvidia-driver-570",), "replace"),
        (("cuda-drivers",), ""),
        (("nvidia-open-580",), ""),
        (("nvidia-driver", "nvidia-kernel-open-dkms"), ""),
    ],
)
def test_where_nothing_is_loaded_the_packages_decide(packages: tuple[str, ...], wanted: str):
    """Packages from NVIDIA's own repository and from Debian are left to the user."""
    found = dict.fromkeys(packages, THERE)
    assert action("580-open", BARE, found) == wanted
    assert action("", BARE, found) == ""


@pytest.mark.parametrize(
    ("gpu", "seen"),
    [
        (
            replace(BARE, nvml="570.133.07", status=9, error="NVIDIA-SMI has failed"),
            "(the library libnvidia-ml.so.570.133.07) has no module for the running kernel",
        ),
        (replace(BARE, kernels=("6.8.0-59-generic",)), "(a module for 6.8.0-59-generic)"),
    ],
)
@pytest.mark.parametrize("beside", [(), ("libnvidia-compute-535",)])
def test_over_what_a_run_file_left_nothing_is_installed(
    gpu: GpuState, seen: str, beside: tuple[str, ...]
):
    """After an upgrade of the kernel it has no module; a library that another program installed
    does not make it Ubuntu's."""
    packages = {} if gpu.kernels else dict.fromkeys(beside, PackageState("535.288.01-1", False))
    assert action("580-open", gpu, packages) == ""
    found = trouble(gpu, packages)
    assert found is not None
    assert seen in found.seen
    assert "nvidia-uninstall" in found.fix
    assert not found.absent


def test_a_driver_that_works_and_came_otherwise_is_not_replaced_for_what_lies_about():
    """For example NVIDIA's .run file, next to a library that another program installed, and
    packages whose module was never built."""
    card = Card("NVIDIA L4", "8.9", "570.133.07", 23034, "GPU-1")
    gpu = replace(BARE, cards=(card,), module="570.133.07", status=0)
    for version, wanted in (("535.288.01-0ubuntu1", ""), ("570.133.07-0ubuntu1", "replace")):
        found = dict.fromkeys(
            ("nvidia-dkms-535", "libnvidia-compute-535"), PackageState(version, False)
        )
        assert action("580-open", gpu, found) == wanted
        assert action("580-open", replace(gpu, cards=(), module="", installed="570.133.07"), found)
        library = {"libnvidia-compute-535": found["libnvidia-compute-535"]}
        assert action("580-open", gpu, library) == ""


def test_a_driver_of_which_only_parts_are_there_is_named():
    """With both fixes; it does not count as no driver."""
    found = trouble(BARE, dict.fromkeys(("nvidia-utils-535", "libnvidia-compute-535"), THERE))
    assert found is not None
    assert found.seen.startswith(
        "parts of a driver (libnvidia-compute-535 and nvidia-utils-535) are"
    )
    named = trouble(BARE, dict.fromkeys(("nvidia-utils-535", "nvidia-dkms-535"), THERE))
    assert named is not None
    assert named.seen.startswith("nvidia-dkms-535 is installed, but has no module for the running")


def test_a_module_of_whatever_origin_is_loaded_and_not_replaced():
    """For example of NVIDIA's .run file."""
    gpu = replace(BARE, installed="570.133.07")
    assert action("580-open", gpu, {}) == "load"
    assert action("580-open", replace(gpu, module="570.133.07", installed=""), {}) == ""


@pytest.mark.parametrize(
    ("gpu", "seen", "fix"),
    [
        (GpuState(), "there is no NVIDIA card in this machine", "lspci -d 10de:"),
        (BARE, "no NVIDIA driver is installed", "set NVIDIA_DRIVER to a branch"),
        (replace(BARE, bound=("nouveau",)), "no NVIDIA driver is installed", "NVIDIA_DRIVER"),
        (replace(BARE, bound=("vfio-pci",)), "card 10de:2bb1 is bound to vfio-pci", "kernel comm"),
        (
            replace(BARE, bound=("nouveau",), installed="580.95.05"),
            "nouveau holds the card",
            "update-initramfs -u",
        ),
        (
            replace(BARE, installed="580.95.05", error="NVIDIA-SMI has failed", status=9),
            "its kernel module is not loaded (nvidia-smi reports: NVIDIA-SMI has failed)",
            "modprobe nvidia",
        ),
        (
            replace(BARE, module="580.95.05"),
            "the driver 580.95.05 is loaded, but nvidia-smi is not installed",
            "nvidia-utils-580",
        ),
        (
            replace(
                BARE,
                module="580.95.05",
                status=6,
                error="No devices were found",
                kernel_log=("NVRM: The NVIDIA GPU requires use of the NVIDIA open kernel modules",),
            ),
            "the kernel reports: NVRM: The NVIDIA GPU requires use of the NVIDIA open kernel",
            "Blackwell cards need one that ends in -open",
        ),
        (
            replace(BARE, module="?", status=255, error="Failed to initialize NVML: Unknown Error"),
            "the driver of unknown version is loaded, but nvidia-smi reports: Failed to initialize",
            "Another driver would not help",
        ),
    ],
)
def test_each_state_has_its_own_words_and_way_out(gpu: GpuState, seen: str, fix: str):
    """Nothing is left to guesswork."""
    found = trouble(gpu, {})
    assert found is not None
    assert seen in found.seen
    assert fix in found.fix


def test_a_card_beside_one_for_virtual_machines_is_used():
    """The other card is not ours to use."""
    gpu = replace(BARE, pci=("10de:2bb1", "10de:2684"), bound=("vfio-pci", ""))
    assert action("580-open", gpu, {}) == "install"


@pytest.mark.parametrize(
    ("recorded", "advice"),
    [
        ("EKEYREJECTED", "Enroll MOK, Continue, Yes"),
        ("ENOKEY", "Enroll MOK, Continue, Yes"),
        ("EPERM", "Enroll MOK, Continue, Yes"),
        ("EKEYEXPIRED", "Enroll MOK, Continue, Yes"),
        ("EKEYREVOKED", "Enroll MOK, Continue, Yes"),
        ("ENOEXEC", "built for another kernel"),
        ("EINVAL", "built for another kernel"),
        ("ENOENT", "built for another kernel"),
        ("EBADMSG", "built for another kernel"),
        ("ENODEV", "finds no card that it supports"),
        ("ENOMEM", "modprobe's message is above"),
        ("not-found", "no module for the running kernel"),
    ],
)
def test_the_words_of_the_real_modprobe_are_understood(recorded: str, advice: str):
    """Each answer of the kernel, in the words of kmod."""
    words = recording("kmod-and-mokutil", f"modprobe-{recorded}").output
    assert advice in load_advice(f"modprobe nvidia fails (exit status 1):\n{words}")


@pytest.mark.parametrize("key", KEYS)
def test_the_key_that_there_is_is_named(key: str):
    """Ubuntu's or Debian's."""
    said = "modprobe nvidia fails (exit status 1):\nKey was rejected by service\n"
    assert f"`mokutil --import {key}`" in load_advice(f"{said}this machine's own key: {key}\n")
    assert f"`mokutil --import {KEYS[0]}`" in load_advice(said)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("nvidia-smi fails (exit status 124):\n", "does not answer: the card or its driver hangs"),
        (
            "nvidia-smi fails (exit status 18):\nDriver/library version mismatch\n",
            "replaced while its old module was loaded: reboot this host",
        ),
        ("nvidia-smi fails (exit status 9):\nNVIDIA-SMI has failed\n", "if you already did"),
        (
            "modprobe nvidia fails (exit status 1):\nNo such device\nnouveau holds the card\n",
            "nouv",
        ),
    ],
)
def test_a_module_that_is_loaded_and_does_not_work(said: str, advice: str):
    """Problems that a second reboot does not solve have another fix."""
    assert advice in load_advice(said)


def test_a_card_is_no_trouble():
    """Whatever else nvidia-smi prints."""
    card = Card("NVIDIA L4", "8.9", "580.95.05", 23034, "GPU-1")
    assert trouble(GpuState(cards=(card,), status=14, warnings=("WARNING",)), {}) is None


@pytest.mark.parametrize(
    ("loads", "fix"),
    [
        ("580.105.08", "reboot the host"),
        ("", "reboot the host"),
        (
            "580.95.05",
            "a reboot alone does not help, because 6.8.0-85-generic would load 580.95.05",
        ),
    ],
)
def test_a_reboot_is_advised_where_it_loads_another_module(loads: str, fix: str):
    """Not if only the libraries were upgraded."""
    gpu = replace(
        BARE,
        module="580.95.05",
        nvml="580.105.08",
        status=18,
        error="Driver/library version mismatch",
        boot_kernel=BARE.running,
        boot_module=loads,
    )
    found = trouble(gpu, {})
    assert found is not None
    assert found.mismatch
    assert found.fix.startswith(fix)


@pytest.mark.parametrize("changes", [{"status": 14}, {"warnings": ("infoROM is corrupted",)}])
def test_a_driver_with_a_complaint_is_not_replaced(changes: dict[str, object]):
    """Another branch does not repair a card."""
    card = Card("NVIDIA L4", "8.9", "580.95.05", 23034, "GPU-1")
    gpu = replace(BARE, cards=(card,), module="580.95.05", status=0)
    found = {"nvidia-driver-580-open": THERE}
    assert action("590-open", gpu, found) == "replace"
    assert action("590-open", replace(gpu, **changes), found) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize("packages", [(), ("nvidia-utils-535",), ("nvidia-driver-580-open",)])
def test_a_card_that_is_kept_for_virtual_machines_gets_no_driver(packages: tuple[str, ...]):
    """An existing driver is not completed or loaded for it either."""
    gpu = replace(BARE, bound=("vfio-pci",))
    found = dict.fromkeys(packages, THERE)
    for one in (gpu, replace(gpu, installed="580.95.05")):
        assert action("580-open", one, found) == ""
