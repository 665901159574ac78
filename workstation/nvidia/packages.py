"""Which packages are an NVIDIA driver, or a part of one: Ubuntu's by branch, and foreign ones.

Ubuntu's packages are named after their branch (Ubuntu: source packages
``nvidia-graphics-drivers-580`` and ``linux-restricted-modules``). A run does not touch packages
from NVIDIA's own repository, from its vGPU portal, or from Debian.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.packages import PackageState

    Packages = Mapping[str, PackageState]

_BRANCH = r"(\d{3}(?:-server)?(?:-open)?)"
_DRIVER = re.compile(f"nvidia-(?:driver|headless|headless-no-dkms)-{_BRANCH}")
# Packages with the kernel module also differ by its kind: -open.
_WITH_MODULE = re.compile(
    f"nvidia(?:-(?:driver|headless|headless-no-dkms|dkms|kernel-source))?-{_BRANCH}"
    f"|linux-(?:modules|objects)-nvidia-{_BRANCH}-.+"
)
_WITHOUT = re.compile(
    f"(?:nvidia-(?:utils|compute-utils|kernel-common)|libnvidia-compute)-{_BRANCH}"
)
_BESIDE = re.compile(f"(?:lib|xserver-xorg-video-)?nvidia-(?:[a-z][a-z0-9]*-)*{_BRANCH}(?:-.+)?")
_FOREIGN = re.compile(
    r"(?:cuda-drivers|nvidia-open|nvidia-linux-grid|nvidia-vgpu-[a-z]+)(?:-\d+)?"
    r"|nvidia-(?:driver|dkms)(?:-(?:open|cuda|full|bin))?|nvidia-smi|libcuda1|libnvidia-ml1|libnvidia-compute"
    r"|nvidia-(?:(?:tesla|legacy)-(?:\d+(?:xx)?-)?)?(?:driver|kernel-(?:open-)?dkms)"
)
_LIBRARY = re.compile(r"libnvidia-compute-(\d+(?:-server)?)")


def branches(packages: Packages) -> dict[str, str]:
    """Return Ubuntu's installed driver packages, and the branch of each."""
    found = {name: _DRIVER.fullmatch(name) for name in sorted(packages)}
    return {name: match[1] for name, match in found.items() if match}


def modules(packages: Packages) -> list[str]:
    """Return Ubuntu's installed packages that contain a driver's kernel module or depend on it;
    complete drivers first."""
    found = [name for name in sorted(packages) if _WITH_MODULE.fullmatch(name)]
    return sorted(found, key=lambda name: not _DRIVER.fullmatch(name))


def parts(packages: Packages) -> list[str]:
    """Return Ubuntu's installed packages that belong only to a driver."""
    return [*modules(packages), *(name for name in sorted(packages) if _WITHOUT.fullmatch(name))]


def foreign(packages: Packages) -> list[str]:
    """Return the installed driver packages that are not Ubuntu's."""
    return [name for name in sorted(packages) if _FOREIGN.fullmatch(name)]


def others(branch: str, packages: Packages) -> list[str]:
    """Return the installed packages that belong to a driver of another branch."""
    return [name for name in sorted(packages) if not fits(name, branch)]


def fits(name: str, branch: str) -> bool:
    """Return whether a package belongs to this branch, or to no driver. Libraries and programs are
    the same for both kinds of kernel modules."""
    for kind, wanted in ((_WITH_MODULE, branch), (_BESIDE, branch.removesuffix("-open"))):
        if match := kind.fullmatch(name):
            return wanted in match.groups()
    return True


def of_version(version: str, packages: Packages) -> bool:
    """Return whether a driver of this version was installed from Ubuntu's packages. Packages of
    another version may be left over next to a driver from elsewhere."""
    return any(
        packages[name].version.rpartition(":")[2].partition("-")[0] == version
        for name in parts(packages)
    )


def utilities(packages: Packages) -> str:
    """Return the package, with its version, that contains nvidia-smi for the driver's installed
    libraries; empty if these were not installed from Ubuntu's packages."""
    for name in sorted(packages):
        if match := _LIBRARY.fullmatch(name):
            return f"nvidia-utils-{match[1]}={packages[name].version}"
    return ""
