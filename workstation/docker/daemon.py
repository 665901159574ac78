"""A Docker Engine as it is started, and what its configuration may be given.

``dockerd`` does not start where an option stands both on its command line and in ``daemon.json``,
nor where ``live-restore`` meets Swarm, which ``dockerd --validate`` does not see. So each key is
judged by how this Engine is started; and what a change needs, a reload or a restart, by what it
says of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from workstation.docker.daemon_flags import keys, values
from workstation.docker.daemon_json import DATA_ROOT, DaemonJsonError, merge, read, read_or_nothing
from workstation.version import version

if TYPE_CHECKING:  # what facts return; this module itself needs no pyinfra
    from workstation.facts.daemon import DaemonState, StakeState

DEFAULTS: Mapping[str, Any] = {
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
    # Containers run on while the Engine restarts.
    "live-restore": True,
}
"""What we put into a ``daemon.json`` that does not say otherwise."""

# docs.docker.com/reference/cli/dockerd, "Configuration reload behavior", of what we ever set; tried
# with 26.1 and 28.5. `features` is among them, but what CDI is about is read at the start alone.
RELOADED = frozenset({"live-restore", "insecure-registries", "runtimes", "features"})

CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
"""Where the Engine looks for descriptions of devices, unless it is told otherwise."""

# Since then a reload loses the address of `host-gateway`, also one that the file gives: until it is
# restarted, the Engine starts no container that has it ("could not parse extra host IP"; seen with
# 28.5.2, not with 26.1.5).
_FORGETS = (28,)

_RUNS_ON = ("process", "none")
"""What KillMode of its unit must be for containers to outlive a restart: with any other systemd
ends what the Engine has started too, which may be its containerd and what holds containers up."""


@dataclass(frozen=True)
class Fitted:
    """What is merged into ``daemon.json``, and what is left out of it: key and reason."""

    wanted: dict[str, Any]
    defaults: dict[str, Any]
    left_out: tuple[tuple[str, str], ...] = ()


def fitted(
    daemon: DaemonState, wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Fitted:
    """Return what this Engine can be given.

    + wanted, defaults: see ``daemon_json.merge``

    Raises DaemonJsonError where it cannot be given what it must have.
    """
    existing = read(daemon.content)
    must, may = dict(wanted), dict(defaults or {})
    left: dict[str, str] = {}
    given = _given(daemon)
    if daemon.swarm and "live-restore" not in existing and may.pop("live-restore", None):
        left["live-restore"] = "this is a node of a Swarm, with which Docker would not start"
    for key in sorted(given & {*may} - {*existing}):
        del may[key]
        left[key] = _by_flag(key)
    if {"log-driver", "log-opts"} & {*left}:
        # One is about the other: options of one driver are none of another, and end the Engine.
        for key in {"log-driver", "log-opts"} & {*may}:
            del may[key]
            left[key] = _by_flag("log-driver" if "log-driver" in given else "log-opts")
    if "insecure-registries" in must and "insecure-registries" in given:
        _refuse_missing_registries(daemon, must.pop("insecure-registries"))
        left["insecure-registries"] = _by_flag("insecure-registries")
    if "runtimes" in must and "runtimes" in given:
        del must["runtimes"]
        left["runtimes"] = _by_flag("runtimes")
    if _wants_cdi(must) and not _cdi_is_there(daemon, existing):
        if "features" in given:
            raise DaemonJsonError(
                "Docker is started with --feature and without cdi, by which containers get the "
                "GPU, and takes no features from the file beside it (add `--feature cdi=true` to "
                "its command line)"
            )
    elif _wants_cdi(must):
        del must["features"]
    return Fitted(must, may, tuple(sorted(left.items())))


def _given(daemon: DaemonState) -> set[str]:
    """Return the keys that a command line gives: the running Engine's or its next start's."""
    return keys(daemon.arguments) | keys(daemon.next_arguments)


def _by_flag(key: str) -> str:
    return f"Docker's command line gives {key}, and it does not start where the file does too"


def _refuse_missing_registries(daemon: DaemonState, wanted: list[str]) -> None:
    known = values(daemon.next_arguments or daemon.arguments, "insecure-registries")
    missing = [one for one in wanted if one not in known]
    if missing:
        flags = " ".join(f"--insecure-registry={one}" for one in missing)
        raise DaemonJsonError(
            "Docker is started with --insecure-registry, and takes none from the file beside it "
            f"(add `{flags}` to its command line)"
        )


def _wants_cdi(keys: Mapping[str, Any]) -> bool:
    return bool(keys.get("features", {}).get("cdi"))


def _cdi_is_there(daemon: DaemonState, existing: Mapping[str, Any]) -> bool:
    """Whether CDI is on without our doing. Raises DaemonJsonError where somebody switched it off.

    It is on by default since Docker 28.2.
    """
    features = existing.get("features")
    said = features.get("cdi") if isinstance(features, dict) else None
    if said is False:
        raise DaemonJsonError(
            "features.cdi is false in it, and containers get the GPU by CDI (set it to true, or "
            "GPU=none)"
        )
    return bool(daemon.cdi) and said is None


Step = Literal["", "reload", "restart", "start", "later", "by-hand"]


@dataclass(frozen=True)
class Loading:
    """How a changed ``daemon.json`` gets into effect.

    ``step``: nothing; reload; restart; start of an Engine that does not run; ``later``: with its
    next start, since a restart would do harm and what waits is no must; ``by-hand``: the same, of
    what is a must. ``keys``: those that a reload does not load. ``live``: containers run through a
    restart, once the file is reloaded. ``harm``: what a restart would do. ``reloads``: keys that a
    reload loads.
    """

    step: Step = ""
    keys: tuple[str, ...] = ()
    live: bool = False
    harm: tuple[str, ...] = ()
    reloads: tuple[str, ...] = ()


def loading(
    daemon: DaemonState, content: bytes, must: Mapping[str, Any], stake: StakeState | None
) -> Loading:
    """Return how a configuration gets into effect.

    + content: of the file, as it will be
    + must: keys that this machine must have, see ``Fitted.wanted``
    + stake: what a restart would touch; None: not known yet, nothing
    """
    if not daemon.program:
        return Loading()
    old, new = read_or_nothing(daemon.content), read_or_nothing(content)
    if not daemon.pid:
        return Loading("start") if old != new and daemon.loaded == "loaded" else Loading()
    changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
    pending = changed | {*daemon.unloaded}
    reloaded = frozenset() if forgets(daemon) else RELOADED
    due, reloads = pending - reloaded, tuple(sorted(pending & reloaded))
    if _features(new).get("cdi") and not daemon.cdi and daemon.answers:
        due.add("features")
    if not daemon.client:
        why = "its client `docker` is not there to see to it"
        return Loading("later", tuple(sorted(due | pending)), harm=(why,))
    live = _runs_on(daemon, new)
    if not due:
        return Loading("reload", live=live, reloads=reloads) if pending else Loading()
    harm = [*next_start(daemon, new), *_ended(stake)]
    # Our own services ask for no runtime.
    needed = bool(due & ({*must} - {"runtimes"}))
    if not needed and stake and stake.containers and not live:
        harm.append(f"it would stop {counted(len(stake.containers))}")
    step: Step = "restart"
    if harm:
        step = "by-hand" if needed else "later"
    return Loading(step, tuple(sorted(due)), live, tuple(harm), reloads)


def once_loaded(daemon: DaemonState, content: bytes, load: Loading) -> DaemonState:
    """Return the Engine as it will be with this configuration, for what else a run plans."""
    cdi = daemon.cdi
    if load.step == "restart" and _features(read_or_nothing(content)).get("cdi"):
        cdi = cdi or CDI_FOLDERS
    unloaded = load.keys if load.step == "later" else ()
    return replace(daemon, content=content, unloaded=unloaded, cdi=cdi)


def forgets(daemon: DaemonState) -> bool:
    """Whether the running Engine is left worse by a reload, so that only a restart will do."""
    return version(daemon.version) >= _FORGETS


def counted(containers: int) -> str:
    """Return a number of containers in words."""
    return "1 container" if containers == 1 else f"{containers} containers"


def _ended(stake: StakeState | None) -> Iterator[str]:
    """Yield what would end with a restart though its container may run on: what is attached to one,
    and what systemd restarts together with Docker."""
    for client in stake.clients if stake else ():
        yield f"it would end {client}"
    for unit in stake.units if stake else ():
        yield f"systemd would restart {unit} with it"


def _features(configured: Mapping[str, Any]) -> Mapping[str, Any]:
    found = configured.get("features")
    return found if isinstance(found, dict) else {}


def _runs_on(daemon: DaemonState, configured: Mapping[str, Any]) -> bool:
    """Whether containers outlive a restart, once this configuration is loaded."""
    said = values(daemon.arguments, "live-restore")
    on = said[-1] == "true" if said else configured.get("live-restore") is True
    return on and not daemon.swarm and daemon.kill_mode in _RUNS_ON


def next_start(daemon: DaemonState, configured: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield what a restart, ours or any other, would do beside loading our keys, where somebody
    changed the configuration and has not restarted Docker since.

    + configured: what its file says; None: what it says now
    """
    if not daemon.answers:
        return
    if configured is None:
        configured = read_or_nothing(daemon.content)
    # Runtimes may stand in both (moby: daemon/config, skipDuplicates).
    both = sorted((keys(daemon.next_arguments) & {*configured}) - {"runtimes"})
    if both:
        yield f"it would not start: {' and '.join(both)} on its command line and in the file"
    root = setting(daemon, configured, "data-root") or DATA_ROOT
    # With userns-remap it is a folder below.
    if daemon.data_root and not f"{daemon.data_root}/".startswith(f"{str(root).rstrip('/')}/"):
        yield (
            f"its images and containers are in {daemon.data_root}, and it would look for them "
            f"in {root}"
        )
    driver = setting(daemon, configured, "storage-driver")
    if daemon.storage_driver and driver and driver != daemon.storage_driver:
        yield f"its storage driver is {daemon.storage_driver}, and would be {driver}"
    store = _features(configured).get("containerd-snapshotter")
    if isinstance(store, bool) and store != daemon.snapshotter:
        yield "images and containers would be looked for in another store (containerd-snapshotter)"
    remapped = any(one.startswith("name=userns") for one in daemon.security)
    if bool(setting(daemon, configured, "userns-remap")) != remapped:
        yield "images and containers would be looked for under other users (userns-remap)"
    if daemon.swarm and setting(daemon, configured, "live-restore") is True:
        yield "it would not start: live-restore is on, and this is a node of a Swarm"


def setting(daemon: DaemonState, configured: Mapping[str, Any], key: str) -> Any:
    """Return what the Engine's next start will have for a key: its command line's word, or its
    file's; ``true`` and ``false`` as such."""
    said = values(daemon.next_arguments or daemon.arguments, key)
    if not said:
        return configured.get(key)
    return {"true": True, "false": False}.get(said[-1], said[-1])


def listens(daemon: DaemonState) -> bool:
    """Whether the Engine was told to listen where its client asks by default."""
    hosts = values(daemon.arguments, "hosts") or read_or_nothing(daemon.content).get("hosts") or []
    usual = ("unix:///var/run/docker.sock", "unix:///run/docker.sock", "unix://")
    return not hosts or any(one in usual or one.startswith("fd://") for one in hosts)


def content_of(daemon: DaemonState, fit: Fitted) -> bytes:
    """Return the file as it will be. Raises DaemonJsonError."""
    return merge(daemon.content, fit.wanted, fit.defaults)
