"""Check an existing Docker, and whether Engine, Compose and Traefik work together."""

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

# Engine 29 rejects clients with an older API; Traefik requested 1.24 before these versions.
_NEW_API = (1, 44)
_OLDEST_TRAEFIK = {3: "3.6.1", 2: "2.11.31"}


def unanswered(daemon: DaemonState) -> Finding:
    """Return the finding about an Engine that does not answer: either it hangs, or it does not
    listen on the socket that systemd holds for it."""
    if daemon.pid and not listens(daemon):
        return _elsewhere()
    return Finding(
        "Docker",
        False,
        WEDGED,
        "see `systemctl status docker` and `journalctl -u docker`; restart Docker when that does "
        "no harm",
        id="docker-not-answering",
    )


def _elsewhere() -> Finding:
    return Finding(
        "docker.service",
        False,
        "Docker is running but does not listen on /run/docker.sock",
        "add `-H fd://` to its command line (`systemctl edit docker`), or add "
        "`unix:///run/docker.sock` to `hosts` in its configuration",
        id="docker-socket",
    )


def docker_findings(machine: MachineState, engine: EngineState) -> Iterator[Finding]:
    """Yield the findings about the kind and version of an existing Docker."""
    wrong, fix = _of_another_kind(machine, engine)
    yield Finding(
        "Docker", not wrong, wrong or engine.client or "absent", fix, id="docker-unsupported"
    )
    if not wrong:
        yield from version_findings(engine)


def _of_another_kind(machine: MachineState, engine: EngineState) -> tuple[str, str]:
    """Return why this kind of Docker cannot be used, and the fix; two empty strings if it can."""
    if machine.snap_docker or engine.snap:
        return (
            "Docker is installed as a snap, which cannot access /vol or /mnt",
            "back up its volumes, then run `snap remove docker`",
        )
    if engine.podman:
        return (
            "`docker` is Podman on this host, whose networks, units and builds differ from "
            "Docker's",
            "remove the package podman-docker; you can keep Podman itself",
        )
    if engine.desktop and (engine.without_daemon or not (engine.client or engine.server)):
        return (
            "this is Docker Desktop, whose virtual machine cannot access the GPU or the host's "
            "networks",
            "back up its volumes, run `apt-get remove docker-desktop`, then run this again to "
            "install Docker Engine",
        )
    return "", ""


def daemon_findings(
    daemon: DaemonState, engine: EngineState, wanted: Mapping[str, Any]
) -> Iterator[Finding]:
    """Yield the findings about how an existing Docker runs and is configured.

    + wanted: the keys that ``daemon.json`` must have on this machine
    """
    if daemon.loaded == "masked":
        yield Finding(
            "docker.service",
            False,
            "it is masked, so Docker cannot be started",
            "run `systemctl unmask docker.service docker.socket`",
            id="docker-masked",
        )
    if engine.snap or engine.podman or not engine.client:
        # The Engine that this run installs will read the file.
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
            "its configuration was changed, but Docker has not been restarted since; on the next "
            f"start: {harm}",
            f"correct {daemon.path}, or restart Docker when that does no harm",
            note=True,
            id="docker-restart-pending",
        )


def _process_findings(daemon: DaemonState, engine: EngineState) -> Iterator[Finding]:
    where = daemon.unit or f"process {daemon.pid}"
    if daemon.pid and daemon.unit != "docker.service":
        yield Finding(
            "docker.service",
            False,
            f"Docker does not run as docker.service but as {where}",
            "have systemd run Docker as docker.service",
            id="docker-wrong-unit",
        )
    elif daemon.pid and not listens(daemon):
        yield _elsewhere()
    elif daemon.pid and not engine.server:
        yield Finding(
            "docker.service",
            False,
            "Docker is running but does not answer on /run/docker.sock",
            "see `systemctl status docker` and `journalctl -u docker`",
            id="docker-not-answering",
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
            "Docker is installed but not running",
            "nothing to do: the run starts it; if it fails to start, `journalctl -u docker` shows "
            "why",
            note=True,
            id="docker-not-running",
        )
    if daemon.other:
        yield Finding(
            "another Docker Engine",
            False,
            f"it runs as {daemon.other} and does not answer on /run/docker.sock",
            "leave it if it does not share folders with docker.service, which the run starts",
            note=True,
            id="docker-second-engine",
        )
    if daemon.rootless:
        yield Finding(
            "rootless Docker",
            False,
            f"the user {daemon.rootless} runs a Docker of their own",
            "leave it: the services run in the system's Docker, next to it",
            note=True,
            id="docker-second-engine",
        )


def _file_findings(daemon: DaemonState, wanted: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        fit = fitted(daemon, wanted, DEFAULTS)
    except DaemonJsonError as error:
        yield Finding(
            daemon.path,
            False,
            f"our settings cannot be merged into it: {error}",
            "correct the file, or move it away",
            id="daemon-json-invalid",
        )
        return
    reasons = dict(fit.left_out)
    if "live-restore" in reasons and daemon.swarm:
        yield Finding(
            "live-restore",
            False,
            f"it is not set: {reasons['live-restore']}",
            "nothing to do, but containers stop whenever Docker is restarted",
            note=True,
            id="live-restore-off",
        )


def gpu_user_findings(users: Sequence[GpuUser]) -> Iterator[Finding]:
    """Yield a note about containers that would lose the GPU at each daemon-reload of systemd; a run
    causes some."""
    for kept, what in (
        (True, "the run registers it with systemd first, so they keep it until they stop"),
        (False, "they then have no GPU until they are restarted"),
    ):
        if names := [one.name for one in users if one.kept == kept]:
            yield Finding(
                "GPU of containers",
                False,
                f"{', '.join(names)} got the GPU from NVIDIA's hook (--gpus or the runtime "
                "nvidia), without systemd knowing. systemd takes it away whenever it reloads its "
                f"units, which this run and package upgrades make it do; {what}",
                ("nothing to do" if kept else "run `docker restart` after the run")
                + "; started with --device nvidia.com/gpu=all (CDI), they always keep it",
                note=True,
                id="gpu-lost-on-reload",
            )


def _user_findings(daemon: DaemonState) -> Iterator[Finding]:
    for word, found, fix in (
        (
            "name=rootless",
            "Docker runs as an ordinary user (rootless), without access to the GPU or to low ports",
            "install the system-wide Docker, with its socket at /run/docker.sock",
        ),
        (
            "name=userns",
            "its containers run under remapped user IDs (userns-remap), and could not read or "
            "write the model store, the share and their secrets",
            "remove userns-remap from its configuration; Docker will not show the present images "
            "and containers unless you set it again",
        ),
    ):
        if any(one.startswith(word) for one in daemon.security):
            yield Finding("users of containers", False, found, fix, id="docker-user-namespace")


def _network_findings(daemon: DaemonState) -> Iterator[Finding]:
    """Yield the settings that cut containers off from what they need.

    Tried with Engine 26.1: without NAT rules (Docker's or others), or without forwarding,
    containers reach nothing outside. Without the default bridge, images cannot be built and
    ``host-gateway`` has no address.
    """
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
            f"it is off, so {_WITHOUT_RULES[off[0]]} reach the internet only if you add firewall "
            "rules of your own",
            f"remove `{off[0]}` from Docker's configuration, or add a rule that masquerades their "
            "networks",
            note=daemon.masquerading or off == ["ip-masq"],
            id="docker-nat-off",
        )
    if named["ip-forward"] is False and not daemon.forwarding:
        yield Finding(
            "Docker's ip-forward",
            False,
            "it is off, and so is the kernel's IP forwarding: containers reach nothing outside",
            "remove `ip-forward` from Docker's configuration, or set net.ipv4.ip_forward=1",
            id="docker-forwarding-off",
        )
    if named["bridge"] == "none":
        yield Finding(
            "Docker's bridge",
            False,
            "the default bridge is disabled: images cannot be built, and containers do not know "
            "the host's address",
            'remove `"bridge": "none"` from Docker\'s configuration',
            id="docker-bridge-off",
        )
    options = configured.get("default-network-opts")
    bridge = options.get("bridge") if isinstance(options, dict) else None
    if isinstance(bridge, dict) and str(bridge.get(_ICC)).lower() == "false":
        yield Finding(
            "Docker's default-network-opts",
            False,
            f"{_ICC} is off, so services cannot reach each other, and the proxy cannot reach them",
            "remove that option from Docker's configuration",
            id="docker-icc-off",
        )
    if isinstance(bridge, dict) and bridge.get(_MODE) in ("routed", "isolated"):
        yield Finding(
            "Docker's default-network-opts",
            False,
            f"with {_MODE}={bridge[_MODE]}, the services' networks have no NAT: the ports that "
            "they publish cannot be reached at this machine's address",
            "remove that option from Docker's configuration, and set it only on the networks that "
            "need it",
            id="docker-gateway-mode",
        )
    if named["log-driver"] == "none":
        yield Finding(
            "Docker's log-driver",
            False,
            "it is `none`: there are no logs to read when a service fails",
            "leave it, or remove it from Docker's configuration",
            note=True,
            id="docker-logs-off",
        )
    plugins = setting(daemon, configured, "authorization-plugins")
    if plugins:
        names = ", ".join(plugins) if isinstance(plugins, list) else str(plugins)
        yield Finding(
            "Docker's authorization plugins",
            False,
            f"{names} may reject requests of the run",
            "leave it, or allow root everything",
            note=True,
            id="docker-authorization-plugin",
        )


def traefik_findings(
    settings: Settings,
    own: str,
    foreign: Sequence[RunningContainer],
    new_engine: bool,
) -> Iterator[Finding]:
    """Yield whether the Traefik that serves the routes can talk to the Engine.

    + own: tag of the pinned image
    + foreign: running containers of other projects
    + new_engine: whether the Engine rejects old clients, see :func:`refuses_old_clients`

    Source: github.com/traefik/traefik, releases v3.6.1 and v2.11.31.
    """
    if not new_engine:
        return
    if settings.proxy == "own":
        yield _compatible("pins.yml images.traefik", own, "pin a newer version")
        return
    for container in foreign:
        if is_traefik(container.image):
            yield _compatible(
                f"Traefik {container.name}",
                container.version or parts(container.image)[1],
                "upgrade it, or set `min-api-version` to 1.24 in /etc/docker/daemon.json",
            )


def refuses_old_clients(engine: EngineState, minimum_api: str, installs_newest: bool) -> bool:
    """Whether the Engine, or the one that will be installed, is 29 or newer and lacks the setting
    that accepts old clients.

    + minimum_api: as reported by a running Engine, or empty
    + installs_newest: whether this run installs the newest of Docker's own packages
    """
    if minimum_api:
        return version(minimum_api) >= _NEW_API
    found = engine.server or engine.client
    return version(found) >= (29,) if found else installs_newest


def _compatible(name: str, found: str, fix: str) -> Finding:
    numbers = version(found)
    oldest = _OLDEST_TRAEFIK.get(numbers[0] if numbers else 0, _OLDEST_TRAEFIK[3])
    # "v3" or "latest" may be any version.
    vague = len(numbers) < 3 and version(oldest)[: len(numbers)] == numbers
    return Finding(
        name,
        numbers >= version(oldest),
        f"Docker 29 needs Traefik {oldest} or newer; this one is {found or 'of unknown version'}",
        fix,
        note=vague,
        id="traefik-too-old",
    )
