"""How a Docker Engine is started, and which settings can be added to its configuration.

``dockerd`` does not start if an option is set both on its command line and in ``daemon.json``, or
if ``live-restore`` is set on a Swarm node, which ``dockerd --validate`` does not detect. So each
key is judged by how this Engine is started, and whether a change needs a reload or a restart is
judged by what the Engine reports.
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
    # Containers keep running while the Engine restarts.
    "live-restore": True,
}
"""Keys that we add to a ``daemon.json`` that does not set them."""

# docs.docker.com/reference/cli/dockerd, "Configuration reload behavior", limited to keys we set;
# tried with 26.1 and 28.5. `features` is reloaded, but its `cdi` is read only at the start.
RELOADED = frozenset({"live-restore", "insecure-registries", "runtimes", "features"})

CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
"""Where the Engine looks for descriptions of devices, unless it is told otherwise."""

# Since this version, a reload loses the address of `host-gateway`, even one set in the file: until
# it is restarted, the Engine starts no container that uses it ("could not parse extra host IP";
# seen with 28.5.2, not with 26.1.5).
_FORGETS = (28,)

_RUNS_ON = ("process", "none")
"""KillMode values of its unit with which containers survive a restart. With any other, systemd also
ends the Engine's child processes, which may include containerd and the containers' shims."""


@dataclass(frozen=True)
class Fitted:
    """The settings to merge into ``daemon.json``, and the omitted ones: key and reason."""

    wanted: dict[str, Any]
    defaults: dict[str, Any]
    left_out: tuple[tuple[str, str], ...] = ()


def fitted(
    daemon: DaemonState, wanted: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> Fitted:
    """Return the settings that can be added to this Engine's configuration.

    + wanted, defaults: see ``daemon_json.merge``

    Raises DaemonJsonError if a required one cannot be added.
    """
    existing = read(daemon.content)
    must, may = dict(wanted), dict(defaults or {})
    left: dict[str, str] = {}
    given = _given(daemon)
    if daemon.swarm and "live-restore" not in existing and may.pop("live-restore", None):
        left["live-restore"] = "this is a Swarm node, where Docker would not start with it"
    for key in sorted(given & {*may} - {*existing}):
        del may[key]
        left[key] = _by_flag(key)
    if {"log-driver", "log-opts"} & {*left}:
        # They belong together: options of another driver would keep the Engine from starting.
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
                "Docker is started with --feature but without cdi, which gives containers the GPU, "
                "and then ignores features in the file (add `--feature cdi=true` to its command "
                "line)"
            )
    elif _wants_cdi(must):
        del must["features"]
    return Fitted(must, may, tuple(sorted(left.items())))


def _given(daemon: DaemonState) -> set[str]:
    """Return the keys set on a command line: the running Engine's, or that of its next start."""
    return keys(daemon.arguments) | keys(daemon.next_arguments)


def _by_flag(key: str) -> str:
    return f"Docker's command line sets {key}, and Docker does not start if the file sets it too"


def _refuse_missing_registries(daemon: DaemonState, wanted: list[str]) -> None:
    known = values(daemon.next_arguments or daemon.arguments, "insecure-registries")
    missing = [one for one in wanted if one not in known]
    if missing:
        flags = " ".join(f"--insecure-registry={one}" for one in missing)
        raise DaemonJsonError(
            "Docker is started with --insecure-registry and then ignores insecure-registries in "
            f"the file (add `{flags}` to its command line)"
        )


def _wants_cdi(keys: Mapping[str, Any]) -> bool:
    return bool(keys.get("features", {}).get("cdi"))


def _cdi_is_there(daemon: DaemonState, existing: Mapping[str, Any]) -> bool:
    """Whether CDI is on without our setting; it is by default since Docker 28.2.

    Raises DaemonJsonError if the file turns it off.
    """
    features = existing.get("features")
    said = features.get("cdi") if isinstance(features, dict) else None
    if said is False:
        raise DaemonJsonError(
            "features.cdi is false in it, but containers get the GPU through CDI (set it to true, "
            "or set GPU=none)"
        )
    return bool(daemon.cdi) and said is None


Step = Literal["", "reload", "restart", "start", "later", "by-hand"]


@dataclass(frozen=True)
class Loading:
    """How a changed ``daemon.json`` takes effect.

    ``step``: nothing; reload; restart; start of a stopped Engine; ``later``: on its next start,
    because a restart would do harm and no required key is pending; ``by-hand``: a restart would do
    harm, but a required key is pending. ``keys``: pending keys that a reload does not load.
    ``live``: containers survive a restart once the file is reloaded. ``harm``: effects of a
    restart. ``reloads``: pending keys that a reload loads.
    """

    step: Step = ""
    keys: tuple[str, ...] = ()
    live: bool = False
    harm: tuple[str, ...] = ()
    reloads: tuple[str, ...] = ()


def loading(
    daemon: DaemonState, content: bytes, must: Mapping[str, Any], stake: StakeState | None
) -> Loading:
    """Return how a configuration takes effect.

    + content: the new content of the file
    + must: the required keys, see ``Fitted.wanted``
    + stake: what a restart would affect; None: not known yet, assume nothing
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
        why = "the client `docker`, which is needed for that, is not installed"
        return Loading("later", tuple(sorted(due | pending)), harm=(why,))
    live = _runs_on(daemon, new)
    if not due:
        return Loading("reload", live=live, reloads=reloads) if pending else Loading()
    harm = [*next_start(daemon, new), *_ended(stake)]
    # Our own services request no runtime.
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
    """Whether a reload would damage the running Engine, so that it must be restarted instead."""
    return version(daemon.version) >= _FORGETS


def counted(containers: int) -> str:
    """Return the number of containers with its noun."""
    return "1 container" if containers == 1 else f"{containers} containers"


def _ended(stake: StakeState | None) -> Iterator[str]:
    """Yield what a restart would end even if containers keep running: clients attached to one, and
    units that systemd restarts together with Docker."""
    for client in stake.clients if stake else ():
        yield f"it would end {client}"
    for unit in stake.units if stake else ():
        yield f"systemd would restart {unit} with it"


def _features(configured: Mapping[str, Any]) -> Mapping[str, Any]:
    found = configured.get("features")
    return found if isinstance(found, dict) else {}


def _runs_on(daemon: DaemonState, configured: Mapping[str, Any]) -> bool:
    """Whether containers survive a restart once this configuration is loaded."""
    said = values(daemon.arguments, "live-restore")
    on = said[-1] == "true" if said else configured.get("live-restore") is True
    return on and not daemon.swarm and daemon.kill_mode in _RUNS_ON


def next_start(daemon: DaemonState, configured: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield what any restart would do besides loading our keys, if somebody changed the
    configuration without restarting Docker.

    + configured: content of its file; None: its present content
    """
    if not daemon.answers:
        return
    if configured is None:
        configured = read_or_nothing(daemon.content)
    # Runtimes may be set in both (moby: daemon/config, skipDuplicates).
    both = sorted((keys(daemon.next_arguments) & {*configured}) - {"runtimes"})
    if both:
        named = " and ".join(both)
        yield f"Docker would not start, with {named} both on its command line and in the file"
    root = setting(daemon, configured, "data-root") or DATA_ROOT
    # With userns-remap it is a subfolder.
    if daemon.data_root and not f"{daemon.data_root}/".startswith(f"{str(root).rstrip('/')}/"):
        yield (
            f"Docker would look for its images and containers in {root}, but they are in "
            f"{daemon.data_root}"
        )
    driver = setting(daemon, configured, "storage-driver")
    if daemon.storage_driver and driver and driver != daemon.storage_driver:
        yield f"Docker's storage driver would change from {daemon.storage_driver} to {driver}"
    store = _features(configured).get("containerd-snapshotter")
    if isinstance(store, bool) and store != daemon.snapshotter:
        yield (
            "Docker would look for its images and containers in another store "
            "(containerd-snapshotter)"
        )
    remapped = any(one.startswith("name=userns") for one in daemon.security)
    if bool(setting(daemon, configured, "userns-remap")) != remapped:
        yield "Docker would look for its images and containers under other users (userns-remap)"
    if daemon.swarm and setting(daemon, configured, "live-restore") is True:
        yield "Docker would not start, because live-restore is on and this is a Swarm node"


def setting(daemon: DaemonState, configured: Mapping[str, Any], key: str) -> Any:
    """Return the value that a key will have on the Engine's next start, from its command line or
    its file; ``true`` and ``false`` as booleans."""
    said = values(daemon.next_arguments or daemon.arguments, key)
    if not said:
        return configured.get(key)
    return {"true": True, "false": False}.get(said[-1], said[-1])


def listens(daemon: DaemonState) -> bool:
    """Whether the Engine listens on the socket that clients use by default."""
    hosts = values(daemon.arguments, "hosts") or read_or_nothing(daemon.content).get("hosts") or []
    usual = ("unix:///var/run/docker.sock", "unix:///run/docker.sock", "unix://")
    return not hosts or any(one in usual or one.startswith("fd://") for one in hosts)


def content_of(daemon: DaemonState, fit: Fitted) -> bytes:
    """Return the new content of the file. Raises DaemonJsonError."""
    return merge(daemon.content, fit.wanted, fit.defaults)
