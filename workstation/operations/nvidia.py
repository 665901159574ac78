"""NVIDIA on the host: a driver by branch, the Container Toolkit signed, pinned and held, and the
proof by a container that sees the GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand

from workstation import cdi, driver_packages, scripts
from workstation import driver as drivers
from workstation.errors import HostError
from workstation.facts.asking import ask
from workstation.facts.compose import PULLING
from workstation.facts.docker import Engine
from workstation.facts.driver import DriverSource
from workstation.facts.nvidia import PATIENCE, Gpu, GpuState
from workstation.facts.packages import Packages, PackageState, Repository
from workstation.facts.shell import script
from workstation.operations import packages
from workstation.operations.base import Commands, operation
from workstation.operations.plan import command_output, live, tell

TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)

# What guides before 2023 set up: the archived nvidia-docker repository and keys of `apt-key add`.
_OLD_FILES = (
    "/etc/apt/sources.list.d/nvidia-docker.list",
    "/etc/apt/sources.list.d/nvidia-container-runtime.list",
    "/etc/apt/sources.list.d/libnvidia-container.list",
)

DAEMON_JSON = {
    # CDI devices keep working through `systemctl daemon-reload`, the legacy hook's do not
    # (NVIDIA/nvidia-container-toolkit: known issue "containers losing access to GPUs").
    "features": {"cdi": True},
    # What `nvidia-ctk runtime configure --runtime=docker` adds, for files that ask for it.
    "runtimes": {"nvidia": {"path": "nvidia-container-runtime", "args": []}},
}

_PROOF_SECONDS = 180
"""For a container that does nothing but ask the driver: a slow machine is no dead one."""


@operation
def driver(branch: str, required: bool) -> Commands:
    """
    Have a working driver: one that is there is left alone, or completed; none is installed over it.

    + branch: such as ``580-open``; Blackwell cards need the open kernel modules. Another branch of
      Ubuntu's packages than the installed one replaces it, if that works without complaint
    + required: raise if no card can be used

    Raises HostError with what is wrong and the way out, before anything is changed. A driver that
    was installed and cannot be loaded fails the run, with modprobe's words and the way out.
    """
    found = ask(host, Gpu)
    versions = ask(host, Packages)
    action = drivers.action(branch, found, versions, required)
    kept = [name for name, one in driver_packages.branches(versions).items() if one == branch]
    unheld = [name for name in kept if not versions[name].held]
    hold = unheld
    if not action:
        _refuse(found, versions, required)
        if not unheld and found.cards:
            host.noop(f"driver {found.cards[0].driver} works")
        elif not unheld:
            host.noop(f"no GPU is used: {drivers.trouble(found, versions)}")
    elif action == "utilities":
        yield from list(packages.installed._inner(packages=[driver_packages.utilities(versions)]))
    elif action == "load":
        tell("~", f"kernel module nvidia {found.installed}", "loaded")
    else:
        wanted = [f"nvidia-driver-{branch}", f"nvidia-utils-{branch.removesuffix('-open')}"]
        gone = [f"-{name}" for name in _tell_packages(branch, wanted, found, versions)]
        install = script(
            scripts.text("nvidia/install.sh"),
            scripts.text("packages/install.sh"),
            branch,
            *gone,
            *wanted,
        )
        yield packages.through_apt(install, wanted)
        # dpkg forgets the hold of what is replaced.
        kept = [name for name in kept if name not in wanted and f"-{name}" not in gone]
        unheld = [name for name in unheld if name in kept]
        hold = [*wanted, *kept]
    for name in unheld:
        tell("~", f"package {name} held", "its updates are the person's to choose")
    if hold:
        yield script('apt-mark hold -- "$@" >/dev/null', *hold)
    if action:
        yield _advised(script(scripts.text("nvidia/load.sh"), PATIENCE), drivers.load_advice)


def _refuse(found: GpuState, versions: Mapping[str, PackageState], required: bool) -> None:
    """Raise HostError if the host must offer a card and does not."""
    problem = drivers.trouble(found, versions)
    if problem and required:
        raise HostError(f"No GPU can be used on {host.name}: {problem}")


def _tell_packages(
    branch: str, wanted: list[str], found: GpuState, versions: Mapping[str, PackageState]
) -> list[str]:
    """Tell what an installation of the driver changes; return the packages that may go for it."""
    source = ask(host, DriverSource, branch=branch)
    plan = source.plan
    driver, utilities = wanted
    causes = ["held"]
    if "nouveau" in found.bound:
        causes.append("nouveau holds the card until the host is rebooted")
    if found.module:
        causes.append(
            "what uses the GPU runs on until it is restarted, which fails until the host is "
            "rebooted"
        )
    if driver in versions:
        tell("~", f"package {driver}", "its kernel module is missing")
    else:
        tell("+", f"package {driver}", "; ".join(causes))
    if utilities not in versions:
        tell("+", f"package {utilities}", "held")
    signs = " and Secure Boot asks for a key of this machine" if found.signed_only else ""
    if source.modules:
        wants = ", as Secure Boot wants" if found.signed_only else ""
        tell("+", f"package {source.modules}", f"kernel modules, signed by Ubuntu{wants}")
    elif source.version and source.headers:
        tell("+", f"package {source.headers}", f"DKMS builds the kernel modules{signs}")
    else:
        tell(
            "?",
            f"kernel modules of {branch}",
            f"Ubuntu's signed ones, where apt has them, else DKMS builds them{signs}",
        )
    for name, (old, new) in plan.installed.items():
        if old and name not in wanted:
            tell("~", f"package {name}", f"{old} -> {new}, as {driver} needs it")
    for name in plan.removed:
        tell("-", f"package {name}", f"in the way of {driver}")
    if plan.known:
        return list(plan.removed)
    others = driver_packages.others(branch, versions)
    for name in others:
        tell("?", f"package {name}", f"removed, if it is in the way of {driver}")
    return others


@operation
def toolkit(repository: Mapping[str, str], version: str) -> Commands:
    """
    Have the Container Toolkit at a pinned version, held, and traces of nvidia-docker removed.

    + repository: arguments of ``packages.repository``
    + version: of all four packages
    """
    found = ask(host, Repository, **packages.asked_of(repository))
    for path in found.trusted:
        tell("-", f"key {repository['fingerprint']} in {path}")
    steps = [
        *(
            script(scripts.text("nvidia/forget_key.sh"), path, repository["fingerprint"])
            for path in found.trusted
        ),
        *packages.repository._inner(**repository, gone=_OLD_FILES),
        *packages.installed._inner(
            packages=[f"{name}={version}" for name in TOOLKIT_PACKAGES], hold=True
        ),
    ]
    yield from steps


@operation
def devices(image: str) -> Commands:
    """
    Have the GPU described to Docker (CDI) and proven by a container that sees it.

    + image: small image with a C library, in which ``nvidia-smi`` runs

    Both are repeated when driver, cards, toolkit or Engine have changed since the last proof, and
    where the description is of another driver or names what is gone.

    Raises HostError where two files of others describe the same device.
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
        host.noop(f"containers see {len(found.cards)} GPU")
        return
    if both := cdi.conflicts(found):
        raise HostError(
            f"{' and '.join(both)} on {host.name} both describe nvidia.com/gpu=all, so that "
            "containers get neither: remove one of them, then run again."
        )
    aside = cdi.in_the_way(found) if reason else ()
    for path in aside:
        tell("-", path, f"old; kept as {path}.before-ai-workstation")
    tell("~", "GPU described to Docker", reason or "driver, cards, toolkit or Engine are new")
    tell("~", f"GPU proven by a container of {image}")
    yield live(script(scripts.text("nvidia/describe.sh"), PATIENCE, *aside))
    yield live(script(scripts.text("docker/pull.sh"), PULLING, image))
    yield _advised(
        script(scripts.text("nvidia/prove.sh"), _PROOF_SECONDS, image, proof), cdi.proof_advice
    )


def _advised(command: StringCommand, advice: Callable[[str], str]) -> FunctionCommand:
    """Return a command that shows its output as it comes and, where it fails, what helps."""

    def run(state: Any, host: Any, command: StringCommand, advice: Callable[[str], str]) -> bool:
        status, output = command_output(host, command)
        if not status:
            host.log_styled(advice(output.output), fg="red")
        return status

    return FunctionCommand(run, (command, advice), {})
