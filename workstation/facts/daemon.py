"""The Engine's process: how it was started, what it read then, and what a restart would do."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.docker import WEDGED
from workstation.docker.daemon_flags import started_by, values
from workstation.docker.daemon_json import DATA_ROOT, PATH, read_or_nothing
from workstation.facts.shell import Fact, UnansweredError, question
from workstation.units.show import unix_time

UNLOADED = "/run/ai-workstation.docker-unloaded"
"""Keys that one of our runs wrote and that the Engine reads at its next start, after the invocation
(systemd's term for one start of a unit) that has not read them. In /run: a boot makes it moot."""

# Go's names of the fields (docker info -f '{{json .}}'). Without an Engine the client prints empty
# values and reports success. Older clients lack the field for CDI's folders.
_INFO = (
    "{{if .ServerVersion}}info [{{json .Swarm.LocalNodeState}},"
    "{{json .SecurityOptions}},{{json .DockerRootDir}},{{json .Driver}},{{json .DriverStatus}},"
    "{{json .OperatingSystem}},{{json .ServerVersion}}]{{end}}"
)
_CDI = "{{if .ServerVersion}}cdi {{json .CDISpecDirs}}{{end}}"

_PROPERTIES = (
    "LoadState,ActiveState,UnitFileState,InvocationID,KillMode,ExecMainStartTimestamp,"
    "Environment,EnvironmentFiles"
)


@dataclass(frozen=True)
class DaemonState:
    """The Engine's process and configuration.

    ``pid``: 0 if none runs; ``unit``: the systemd unit in which it runs; ``program`` and
    ``arguments``: its command line, or that of ``docker.service`` if none runs;
    ``next_arguments``: those of its next start. ``other``: an Engine that we must not use, because
    it is not ``docker.service`` and does not answer in its place; ``rootless``: a user who runs
    an Engine of their own.

    ``loaded``, ``active``, ``enabled``, ``invocation`` and ``kill_mode`` are those of
    ``docker.service``, as systemd prints them. ``path``: the file that it reads, links followed;
    ``content``: None without one; ``waiting``: it was changed after the Engine started;
    ``unloaded``: keys that one of our runs wrote into it since then and a reload does not apply.

    ``client``: whether it is installed; ``answers``: whether the Engine answers, which provides the
    following. ``cdi``: folders of device descriptions, empty if CDI is off; ``snapshotter``: images
    are in containerd's store. ``swarm``: it is a Swarm node, even if not running. ``forwarding``
    and ``masquerading``: whether the kernel forwards packets, and whether a firewall rule
    masquerades them.
    """

    pid: int = 0
    unit: str = ""
    program: str = ""
    arguments: tuple[str, ...] = ()
    next_arguments: tuple[str, ...] = ()
    other: str = ""
    rootless: str = ""
    loaded: str = ""
    active: bool = False
    enabled: str = ""
    invocation: str = ""
    kill_mode: str = ""
    path: str = PATH
    content: bytes | None = None
    waiting: bool = False
    unloaded: tuple[str, ...] = ()
    client: bool = False
    answers: bool = False
    swarm: bool = False
    security: tuple[str, ...] = ()
    data_root: str = ""
    storage_driver: str = ""
    snapshotter: bool = False
    system: str = ""
    version: str = ""
    cdi: tuple[str, ...] = ()
    forwarding: bool = False
    masquerading: bool = False
    wedged: bool = False


class Daemon(Fact[DaemonState]):
    """Returns the ``DaemonState`` of the host."""

    def command(self) -> StringCommand:
        return question(
            scripts.text("daemon/daemon.sh"),
            _INFO,
            _CDI,
            _PROPERTIES,
            UNLOADED,
            scripts.text("daemon/swarms.sh"),
        )

    def read(self, lines: list[str]) -> DaemonState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        unit = dict(rest.partition("=")[::2] for word, rest in pairs if word == "unit")
        variables = {
            name: base64.b64decode(value).decode(errors="replace")
            for name, _, value in (
                rest.partition(" ") for word, rest in pairs if word == "variable"
            )
        }
        following = started_by(words.get("next", ""), variables)
        command = command_line(words.get("arguments", "")) or following
        pid, _, inside = words.get("process", "0").partition(" ")
        other = ""
        if pid != "0" and inside != "docker.service" and "info" not in words:
            pid, inside, other, command = "0", "", inside or f"process {pid}", following
        invocation = unit.get("InvocationID", "")
        unloaded = words.get("unloaded", "").split()
        root = next(iter(values(following[1:], "data-root")[-1:]), "")
        path = words.get("file", PATH)
        content = base64.b64decode(words["content"]) if "content" in words else None
        nodes = [rest for word, rest in pairs if word == "swarm"]
        changed, begun = words.get("changed", ""), unit.get("ExecMainStartTimestamp", "")
        return DaemonState(
            pid=int(pid),
            unit=inside,
            program=command[0] if command else "",
            arguments=command[1:],
            next_arguments=following[1:],
            other=other,
            rootless=words.get("rootless", ""),
            loaded=unit.get("LoadState", ""),
            active=unit.get("ActiveState") in ("active", "reloading"),
            enabled=unit.get("UnitFileState", ""),
            invocation=invocation,
            kill_mode=unit.get("KillMode", ""),
            path=path,
            content=content,
            waiting=pid != "0" and float(changed or 0) > unix_time(begun),
            unloaded=tuple(unloaded[1:]) if unloaded[:1] == [invocation] else (),
            client="client" in words,
            forwarding="forwarding" in words,
            masquerading="masquerading" in words,
            wedged="wedged" in words,
            **{
                "data_root": root,
                "swarm": any(
                    _keeps(nodes, arguments, read_or_nothing(content))
                    for arguments in (command[1:], following[1:])
                ),
                **_info(words),
            },
        )


def _keeps(nodes: list[str], arguments: tuple[str, ...], configured: dict[str, Any]) -> bool:
    """Return whether an Engine started like this is a node of a Swarm.

    + nodes: folders that contain the state of a node
    """

    def given(key: str) -> str:
        return str((values(arguments, key) or [configured.get(key) or ""])[-1])

    root = (given("data-root") or DATA_ROOT).rstrip("/")
    if given("userns-remap"):
        return any(node.rpartition("/")[0] == root for node in nodes)
    return root in nodes


def _info(words: dict[str, str]) -> dict[str, Any]:
    """Return what the Engine reports about itself, if it answers."""
    if "info" not in words:
        return {}
    swarm, security, root, driver, status, system, version = json.loads(words["info"])
    return {
        "answers": True,
        # Anything but inactive counts: active, pending, locked, error.
        "swarm": swarm not in ("inactive", ""),
        "security": tuple(security or ()),
        "data_root": root,
        "storage_driver": driver,
        "snapshotter": any("io.containerd.snapshotter" in str(row) for row in status or ()),
        "system": system,
        "version": version,
        "cdi": tuple(json.loads(words.get("cdi", "[]")) or ()),
    }


def command_line(encoded: str) -> tuple[str, ...]:
    """Return the arguments of a process's command line.

    + encoded: ``/proc/<pid>/cmdline`` in base64
    """
    text = base64.b64decode(encoded).decode(errors="surrogateescape")
    return tuple(text.split("\0")[:-1])


@dataclass(frozen=True)
class Running:
    """A running container. ``removed``: Docker removes it when it ends (``--rm``); ``task``: it
    belongs to Swarm, which replaces it."""

    id: str
    name: str
    removed: bool = False
    task: bool = False


_VALUES = re.compile(r":? ?\(from flag: .*?, from file: .*?\)")

_RUNNING = (
    "container [{{json .Id}},{{json .Name}},"
    "{{json .HostConfig.AutoRemove}},{{json .Config.Labels}}]"
)


@dataclass(frozen=True)
class StakeState:
    """What a restart of the Engine affects. ``containers``: all running or paused ones, whoever
    started them; ``units``: systemd units that would restart with it; ``clients``: programs that
    are using the Engine, such as ``docker run (process 17 of app.service)``, and would end."""

    containers: tuple[Running, ...] = ()
    units: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()


class Stake(Fact[StakeState]):
    """Returns the ``StakeState`` of the host."""

    def command(self) -> StringCommand:
        return question(scripts.text("daemon/stake.sh"), _RUNNING)

    def read(self, lines: list[str]) -> StakeState:
        refuse_wedged(lines)
        pairs = [line.partition(" ")[::2] for line in lines]
        containers = [_container(rest) for word, rest in pairs if word == "container"]
        return StakeState(
            containers=tuple(sorted(containers, key=lambda one: one.name)),
            units=tuple(rest for word, rest in pairs if word == "unit"),
            clients=tuple(rest for word, rest in pairs if word == "client"),
        )


def _container(line: str) -> Running:
    identity, name, removed, labels = json.loads(line)
    return Running(
        id=identity,
        name=name.removeprefix("/"),
        removed=bool(removed),
        task="com.docker.swarm.task.id" in (labels or {}),
    )


def refuse_wedged(lines: list[str]) -> None:
    """Raise UnansweredError if one of these lines says that Docker does not answer."""
    wedged = next((line for line in lines if line.startswith("wedged docker ")), "")
    if wedged:
        raise UnansweredError(
            f"{WEDGED} (`{wedged.removeprefix('wedged ')}`)", id="docker-not-answering"
        )


class Refusal(Fact[str]):
    """
    Returns why the Engine would not start with a configuration; empty if it would.

    + program: path of ``dockerd``
    + arguments: its command line; an option given there must not be in the file too

    The configuration is passed as ``_stdin``, in base64. Before 23.0 there is no ``--validate``.
    """

    def command(self, program: str, arguments: list[str]) -> StringCommand:
        return question(scripts.text("daemon/refusal.sh"), program, *arguments)

    def read(self, lines: list[str]) -> str:
        said = [line for line in lines if line.strip()]
        if not said or said[-1] == "status 0" or any("flag: --validate" in line for line in said):
            return ""
        why = said[0].partition("daemon.json: ")[2] or said[0]
        # Removes values of the file, which may include a proxy's password.
        return _VALUES.sub("", why)
