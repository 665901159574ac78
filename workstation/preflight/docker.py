"""A Docker that is already there, and whether Engine, Compose and Traefik work together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workstation.docker import WEDGED
from workstation.docker.daemon import DEFAULTS, fitted, listens, next_start, setting
from workstation.docker.daemon_json import DaemonJsonError, read_or_nothing
from workstation.docker.references import is_traefik, parts
from workstation.findings import Finding
from workstation.preflight.versions import version_findings
from workstation.settings import Settings
from workstation.version import version

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.daemon import DaemonState
    from workstation.facts.docker import EngineState
    from workstation.facts.gpu_users import GpuUser
    from workstation.facts.machine import MachineState
    from workstation.facts.surroundings import RunningContainer

_ICC = "com.docker.network.bridge.enable_icc"

_MODE = "com.docker.network.bridge.gateway_mode_ipv4"

_WITHOUT_RULES = {
    "iptables": "containers",
    "ip-masq": "builds, and containers of the default bridge,",
}

# Engine 29 refuses clients with an older API; Traefik asked for 1.24 until these versions.
_NEW_API = (1, 44)
_OLDEST_TRAEFIK = {3: "3.6.1", 2: "2.11.31"}


def unanswered(daemon: DaemonState) -> Finding:
    """Return the finding about an Engine that is there and gives no answer: it is wedged, or
    systemd holds a socket for it at which it does not listen."""
    if daemon.pid and not listens(daemon):
        return _elsewhere()
    return Finding(
        "Docker",
        False,
        WEDGED,
        "see `systemctl status docker`, `journalctl -u docker`; restart it when that does no harm",
    )


def _elsewhere() -> Finding:
    return Finding(
        "docker.service",
        False,
        "Docker runs, and does not listen at /run/docker.sock",
        "add `-H fd://` to its command line (`systemctl edit docker`), or "
        "`unix:///run/docker.sock` to `hosts` in its configuration",
    )


def docker_findings(machine: MachineState, engine: EngineState) -> Iterator[Finding]:
    """Yield the findings about a Docker that is already there."""
    wrong, fix = _of_another_kind(machine, engine)
    yield Finding("Docker", not wrong, wrong or engine.client or "absent", fix)
    if not wrong:
        yield from version_findings(engine)


def _of_another_kind(machine: MachineState, engine: EngineState) -> tuple[str, str]:
    """Return why what is there cannot serve, and what to do; nothing where it can."""
    if machine.snap_docker or engine.snap:
        return (
            "it is the snap, which sees neither /vol nor /mnt",
            "save what its volumes hold, then `snap remove docker`",
        )
    if engine.podman:
        return (
            "`docker` is Podman here, which has other networks, units and builds",
            "remove the package podman-docker; Podman itself may stay",
        )
    if engine.desktop and (engine.without_daemon or not (engine.client or engine.server)):
        return (
            "it is Docker Desktop, whose virtual machine sees neither the GPU nor the host's "
            "networks",
            "save what its volumes hold, `apt-get remove docker-desktop`, run again to have Docker "
            "Engine installed",
        )
    return "", ""


def daemon_findings(
    daemon: DaemonState, engine: EngineState, wanted: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield the findings about how a Docker that is already there runs and is configured.

    + wanted: what this machine must have in ``daemon.json``
    """
    if daemon.loaded == "masked":
        yield Finding(
            "docker.service",
            False,
            "it is masked, so that Docker cannot be started",
            "`systemctl unmask docker.service docker.socket`",
        )
    if engine.snap or engine.podman or not engine.client:
        # What stands in the file is read by the Engine that this run installs.
        yield from _file_findings(daemon, wanted)
        return
    yield from _process_findings(daemon, engine)
    yield from _file_findings(daemon, wanted)
    if daemon.answers:
        yield from _user_findings(daemon)
    yield from _network_findings(daemon)
    for harm in next_start(daemon):
        yield Finding(
            "Docker's next start",
            False,
            f"somebody changed its configuration, and has not restarted it since: {harm}",
            f"put {daemon.path} right, or restart Docker when that does no harm",
            note=True,
        )


def _process_findings(daemon: DaemonState, engine: EngineState) -> Iterator[Finding]:
    where = daemon.unit or f"process {daemon.pid}"
    if daemon.pid and daemon.unit != "docker.service":
        yield Finding(
            "docker.service",
            False,
            f"Docker does not run as it, but as {where}",
            "have systemd run it as docker.service",
        )
    elif daemon.pid and not listens(daemon):
        yield _elsewhere()
    elif daemon.pid and not engine.server:
        yield Finding(
            "docker.service",
            False,
            "Docker runs, and does not answer at /run/docker.sock",
            "see `systemctl status docker` and `journalctl -u docker`",
        )
    elif (
        not daemon.pid
        and daemon.loaded != "masked"
        and not engine.without_daemon
        and not engine.unfinished
    ):
        yield Finding(
            "docker.service",
            False,
            "Docker is installed and does not run",
            "leave it: the run starts it; where it cannot start, `journalctl -u docker` says why",
            note=True,
        )
    if daemon.other:
        yield Finding(
            "another Docker Engine",
            False,
            f"it runs as {daemon.other}, and does not answer at /run/docker.sock",
            "leave it if its folders are others than those of docker.service: the run starts that",
            note=True,
        )
    if daemon.rootless:
        yield Finding(
            "rootless Docker",
            False,
            f"{daemon.rootless} has one of their own",
            "leave it: the services run in the system's, beside it",
            note=True,
        )


def _file_findings(daemon: DaemonState, wanted: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        fit = fitted(daemon, wanted, DEFAULTS)
    except DaemonJsonError as error:
        yield Finding(
            daemon.path,
            False,
            f"nothing can be merged into it: {error}",
            "correct that, or move the file away",
        )
        return
    reasons = dict(fit.left_out)
    if "live-restore" in reasons and daemon.swarm:
        yield Finding(
            "live-restore",
            False,
            f"it is left out: {reasons['live-restore']}",
            "leave it: containers stop when Docker is restarted",
            note=True,
        )


def gpu_user_findings(users: Sequence[GpuUser]) -> Iterator[Finding]:
    """Yield a note about containers that systemd would take the GPU from at each daemon-reload, of
    which a run has some."""
    for kept, what in (
        (True, "systemd is told of it first, so that they keep it until they end"),
        (False, "they lose it until they are restarted"),
    ):
        if names := [one.name for one in users if one.kept == kept]:
            yield Finding(
                "GPU of containers",
                False,
                f"{', '.join(names)}: NVIDIA's hook (--gpus, the runtime nvidia) gave it to them "
                "behind systemd's back, which takes it away when it reads its units again, as this "
                f"run and upgrades of packages make it do; {what}",
                ("leave it" if kept else "`docker restart` when the run has ended")
                + "; with --device nvidia.com/gpu=all (CDI) they keep it always",
                note=True,
            )


def _user_findings(daemon: DaemonState) -> Iterator[Finding]:
    for word, found, fix in (
        (
            "name=rootless",
            "it is a user's own (rootless), which sees neither the GPU nor low ports",
            "install the system's Docker, and have /run/docker.sock be its socket",
        ),
        (
            "name=userns",
            "its containers run as other users (userns-remap), and could not read or write the "
            "model store, the share and their secrets",
            "take userns-remap out; images and containers of now are seen again with it alone",
        ),
    ):
        if any(one.startswith(word) for one in daemon.security):
            yield Finding("users of containers", False, found, fix)


def _network_findings(daemon: DaemonState) -> Iterator[Finding]:
    """Yield what keeps containers from what they need. Tried with Engine 26.1: without rules of
    Docker's or another's, or without forwarding, they reach nothing outside; without the default
    bridge nothing can be built, and nobody knows the host's address."""
    configured = read_or_nothing(daemon.content)
    named = {
        key: setting(daemon, configured, key)
        for key in ("iptables", "ip-masq", "ip-forward", "bridge", "log-driver")
    }
    off = [key for key in ("iptables", "ip-masq") if named[key] is False]
    if off:
        yield Finding(
            f"Docker's {off[0]}",
            False,
            f"it is off, and {_WITHOUT_RULES[off[0]]} reach the internet only by rules of yours",
            f"take `{off[0]}` out, or have a rule that masquerades their networks",
            note=daemon.masquerading or off == ["ip-masq"],
        )
    if named["ip-forward"] is False and not daemon.forwarding:
        yield Finding(
            "Docker's ip-forward",
            False,
            "it is off, and so is the kernel's forwarding: containers reach nothing outside",
            "take `ip-forward` out, or set net.ipv4.ip_forward=1",
        )
    if named["bridge"] == "none":
        yield Finding(
            "Docker's bridge",
            False,
            "the default bridge is switched off: images cannot be built, and containers have no "
            "address of the host",
            'take `"bridge": "none"` out',
        )
    options = configured.get("default-network-opts")
    bridge = options.get("bridge") if isinstance(options, dict) else None
    if isinstance(bridge, dict) and str(bridge.get(_ICC)).lower() == "false":
        yield Finding(
            "Docker's default-network-opts",
            False,
            f"with {_ICC} no service reaches another, as the proxy must",
            "take that option out",
        )
    if isinstance(bridge, dict) and bridge.get(_MODE) in ("routed", "isolated"):
        yield Finding(
            "Docker's default-network-opts",
            False,
            f"with {_MODE}={bridge[_MODE]} networks of services have no NAT: nothing that they "
            "publish is reached at this machine's address",
            "take that option out, and give it to the networks that need it when they are created",
        )
    if named["log-driver"] == "none":
        yield Finding(
            "Docker's log-driver",
            False,
            "it is none: what a service says when it fails is lost",
            "leave it, or take it out",
            note=True,
        )
    plugins = setting(daemon, configured, "authorization-plugins")
    if plugins:
        names = ", ".join(plugins) if isinstance(plugins, list) else str(plugins)
        yield Finding(
            "Docker's authorization plugins",
            False,
            f"{names} may refuse what a run asks of Docker",
            "leave it, or let root do what it asks",
            note=True,
        )


def traefik_findings(
    settings: Settings,
    own: str,
    foreign: Sequence[RunningContainer],
    new_engine: bool,
) -> Iterator[Finding]:
    """Yield whether the Traefik that is to serve the routes can talk to the Engine.

    + own: tag of the pinned image
    + foreign: running containers of other projects
    + new_engine: whether the Engine refuses old clients, see :func:`refuses_old_clients`

    Source: github.com/traefik/traefik, releases v3.6.1 and v2.11.31.
    """
    if not new_engine:
        return
    if settings.proxy == "own":
        yield _compatible("pins.yml images.traefik", own, "pin a newer one")
        return
    for container in foreign:
        if is_traefik(container.image):
            yield _compatible(
                f"Traefik {container.name}",
                container.version or parts(container.image)[1],
                "upgrade it, or set `min-api-version` to 1.24 in /etc/docker/daemon.json",
            )


def refuses_old_clients(engine: EngineState, minimum_api: str, installs_newest: bool) -> bool:
    """Whether the Engine, or the one that will be installed, is 29 or newer without the setting
    that lets old clients in.

    + minimum_api: what a running Engine says, or empty
    + installs_newest: whether this run installs Docker's own newest
    """
    if minimum_api:
        return version(minimum_api) >= _NEW_API
    found = engine.server or engine.client
    return version(found) >= (29,) if found else installs_newest


def _compatible(name: str, found: str, fix: str) -> Finding:
    numbers = version(found)
    oldest = _OLDEST_TRAEFIK.get(numbers[0] if numbers else 0, _OLDEST_TRAEFIK[3])
    # v3 or latest may be any of them.
    vague = len(numbers) < 3 and version(oldest)[: len(numbers)] == numbers
    return Finding(
        name,
        numbers >= version(oldest),
        f"Docker 29 needs Traefik {oldest} or newer, this one is {found or 'of no known version'}",
        fix,
        note=vague,
    )
