"""NVIDIA on the host: a driver by branch, the Container Toolkit (signed, pinned, held), and a test
container that must see the GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.command import PyinfraCommand

from workstation import scripts
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.compose import PULLING
from workstation.facts.docker import Engine
from workstation.facts.driver import DriverSource, DriverSourceState
from workstation.facts.nvidia import PATIENCE, Gpu, GpuState
from workstation.facts.packages import Packages, PackageState, Repository
from workstation.facts.shell import script
from workstation.nvidia import cdi
from workstation.nvidia import driver as drivers
from workstation.nvidia import packages as driver_packages
from workstation.operations import packages
from workstation.operations.base import operation
from workstation.operations.live import command_output, live
from workstation.plan import Change, Changes, Group, together

TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)

# Set up by guides before 2023: the archived nvidia-docker repository, with keys of `apt-key add`.
_OLD_FILES = (
    "/etc/apt/sources.list.d/nvidia-docker.list",
    "/etc/apt/sources.list.d/nvidia-container-runtime.list",
    "/etc/apt/sources.list.d/libnvidia-container.list",
)

IN_DAEMON_JSON = {
    # CDI devices survive `systemctl daemon-reload`, those of the legacy hook do not
    # (NVIDIA/nvidia-container-toolkit: known issue "containers losing access to GPUs").
    "features": {"cdi": True},
    # As `nvidia-ctk runtime configure --runtime=docker` adds it, for Compose files that use it.
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}},
}

_PROOF_SECONDS = 180
"""For a container that only queries the driver; generous, because a machine may be slow."""


@operation
def driver(branch: str, required: bool) -> Changes:
    """
    Ensure a working driver. An existing one is left alone or completed, never installed over.

    + branch: such as ``580-open``; Blackwell cards need the open kernel modules. If another branch
      of Ubuntu's packages is installed, this one replaces it, unless apt objects
    + required: raise if no card can be used

    Raises HostError with the problem and its fix before anything is changed. If an installed driver
    cannot be loaded, the run fails with modprobe's message and the fix.
    """
    found = ask(host, Gpu)
    versions = ask(host, Packages)
    action = drivers.action(branch, found, versions, required)
    kept = [name for name, one in driver_packages.branches(versions).items() if one == branch]
    unheld = [name for name in kept if not versions[name].held]
    hold = unheld
    loaded = Change("~", f"kernel module nvidia {found.installed or found.module}", "loaded")
    changes: list[Change | Group] = []
    if not action:
        _refuse(found, versions, required)
        if not unheld:
            host.noop(
                f"driver {found.cards[0].driver} works"
                if found.cards
                else f"no GPU is used: {drivers.trouble(found, versions)}"
            )
            return
    elif action == "utilities":
        changes += packages.installed.changes(packages=[driver_packages.utilities(versions)])
        # dpkg may list them as installed while nvidia-smi is gone.
        changes = changes or [loaded]
    elif action == "load":
        changes = [loaded]
    else:
        wanted = [f"nvidia-driver-{branch}", f"nvidia-utils-{branch.removesuffix('-open')}"]
        lines, gone = _installation(branch, wanted, found, versions)
        install = script(
            scripts.text("nvidia/install.sh"),
            scripts.text("packages/install.sh"),
            branch,
            *(f"-{name}" for name in gone),
            *wanted,
        )
        changes.append(together(lines, [packages.through_apt(install, wanted)]))
        # dpkg forgets the hold of a package that is replaced.
        kept = [name for name in kept if name not in wanted and name not in gone]
        unheld = [name for name in unheld if name in kept]
        hold = [*wanted, *kept]
    cause = "you decide when to upgrade it"
    changes += [Change("~", f"package {name} held", cause) for name in unheld]
    commands: list[PyinfraCommand] = []
    if hold:
        commands.append(script('apt-mark hold -- "$@" >/dev/null', *hold))
    if action:
        load = script(scripts.text("nvidia/load.sh"), PATIENCE)
        commands.append(_advised(load, drivers.load_advice))
    yield together(changes, commands)


def _refuse(found: GpuState, versions: Mapping[str, PackageState], required: bool) -> None:
    """Raise HostError if the host needs a usable card and has none."""
    problem = drivers.trouble(found, versions)
    if problem and required:
        raise HostError(f"No GPU can be used on {host.name}: {problem}", id="gpu-unavailable")


def _installation(
    branch: str, wanted: list[str], found: GpuState, versions: Mapping[str, PackageState]
) -> tuple[list[Change], list[str]]:
    """Return the changes of installing the driver, and the packages that it may remove."""
    source = ask(host, DriverSource, branch=branch)
    plan = source.plan
    driver, utilities = wanted
    causes = ["held"]
    if "nouveau" in found.bound:
        causes.append("nouveau keeps the card until the host is rebooted")
    if found.module:
        causes.append(
            "programs that use the GPU keep running, but cannot be restarted until the host is "
            "rebooted"
        )
    changes = [
        Change("~", f"package {driver}", "its kernel module is missing")
        if driver in versions
        else Change("+", f"package {driver}", "; ".join(causes)),
        *([] if utilities in versions else [Change("+", f"package {utilities}", "held")]),
        _modules(branch, source, found.signed_only),
        *(
            Change("~", f"package {name}", f"{old} -> {new}, required by {driver}")
            for name, (old, new) in plan.installed.items()
            if old and name not in wanted
        ),
        *(Change("-", f"package {name}", f"conflicts with {driver}") for name in plan.removed),
    ]
    if plan.known:
        return changes, list(plan.removed)
    others = driver_packages.others(branch, versions)
    cause = f"removed if it conflicts with {driver}"
    return [*changes, *(Change("?", f"package {name}", cause) for name in others)], others


def _modules(branch: str, source: DriverSourceState, signed_only: bool) -> Change:
    """Return the change that names the source of the driver's kernel modules.

    + signed_only: whether Secure Boot makes the kernel load only signed modules
    """
    signs = " and Secure Boot needs a key of this machine" if signed_only else ""
    if source.modules:
        wants = ", as Secure Boot requires" if signed_only else ""
        cause = f"kernel modules, signed by Ubuntu{wants}"
        return Change("+", f"package {source.modules}", cause)
    if source.version and source.headers:
        return Change("+", f"package {source.headers}", f"DKMS builds the kernel modules{signs}")
    cause = f"Ubuntu's signed ones if apt has them, otherwise DKMS builds them{signs}"
    return Change("?", f"kernel modules of {branch}", cause)


@operation
def toolkit(repository: Mapping[str, str], version: str) -> Changes:
    """
    Ensure the Container Toolkit at a pinned version, held, and remove traces of nvidia-docker.

    + repository: arguments of ``packages.repository``
    + version: of all four packages
    """
    found = ask(host, Repository, **packages.asked_of(repository))
    for path in found.trusted:
        forget = script(scripts.text("nvidia/forget_key.sh"), path, repository["fingerprint"])
        yield Change("-", f"key {repository['fingerprint']} in {path}", commands=[forget])
    yield from packages.repository.changes(**repository, gone=_OLD_FILES)
    yield from packages.installed.changes(
        packages=[f"{name}={version}" for name in TOOLKIT_PACKAGES], hold=True
    )


@operation
def devices(image: str) -> Changes:
    """
    Describe the GPU to Docker (CDI) and test that a container sees it.

    + image: small image with a C library, in which ``nvidia-smi`` runs

    Both are repeated when driver, cards, toolkit or Engine have changed since the last test, and
    when the description belongs to another driver or names missing files.

    Raises HostError if two files that are not ours describe the same device.
    """
    found = ask(host, Gpu)
    versions = ask(host, Packages)
    engine = ask(host, Engine)
    installed = [name for name in sorted(TOOLKIT_PACKAGES) if name in versions]
    parts = [
        *(f"{card.uuid} {card.driver}" for card in found.cards),
        *(f"{name} {versions[name].version}" for name in installed),
        engine.client,
    ]
    proof = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    described = cdi.ALL in found.cdi
    reason = cdi.outdated(found) if described else "not described yet"
    if described and not reason and found.probed == proof:
        count = len(found.cards)
        host.noop(f"containers see {count} GPU{'' if count == 1 else 's'}")
        return
    if both := cdi.conflicts(found):
        raise HostError(
            f"{' and '.join(both)} on {host.name} both describe nvidia.com/gpu=all, so "
            "containers get neither: remove one of them, then run again.",
            id="cdi-conflict",
        )
    aside = cdi.in_the_way(found) if reason else ()
    cause = reason or "driver, cards, toolkit or Engine changed"
    yield together(
        [
            *(Change("-", path, f"old; kept as {path}.before-ai-workstation") for path in aside),
            Change("~", "GPU described to Docker", cause),
        ],
        [live(script(scripts.text("nvidia/describe.sh"), PATIENCE, *aside))],
    )
    prove = script(scripts.text("nvidia/prove.sh"), _PROOF_SECONDS, image, proof)
    yield Change(
        "~",
        f"GPU tested in a container of {image}",
        commands=[
            live(script(scripts.text("docker/pull.sh"), PULLING, image)),
            _advised(prove, cdi.proof_advice),
        ],
    )


def _advised(command: StringCommand, advice: Callable[[str], str]) -> FunctionCommand:
    """Return a command that shows its output live and, if it fails, advice."""

    def run(state: Any, host: Any, command: StringCommand, advice: Callable[[str], str]) -> bool:
        status, output = command_output(host, command)
        if not status:
            host.log_styled(advice(output.output), fg="red")
        return status

    return FunctionCommand(run, (command, advice), {})
