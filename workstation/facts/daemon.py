"""The Engine's own program: how it was started, what it read then, and what a restart would do."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand

from workstation.daemon_flags import started_by, values
from workstation.facts.shell import Fact, UnansweredError, question

DAEMON_JSON = "/etc/docker/daemon.json"

WEDGED = "Docker does not answer within 60 s"

UNLOADED = "/run/ai-workstation.docker-unloaded"
"""Keys that a run of ours wrote and the Engine reads at its next start, behind the invocation
(systemd's word for one start of a unit) that has not read them. /run: a boot makes it pointless."""

# engine COMMAND...: asks Docker. Where it takes too long the word `wedged` is among the answers.
ENGINE = """
engine() {
  limited 60 docker "$@"; local status=$?
  [ "$status" != 124 ] || echo "wedged docker $1" >"$answers/wedged"
  return "$status"
}
"""

# $pid: the Engine's process, and $inside: the unit that it runs in; both empty where none runs.
# $arguments: its command line, base64. $configuration: the file that it reads. An Engine inside of
# a container, or a user's own (rootless), is another.
PROCESS = r"""
pid= inside= arguments= rootless=
for file in $(grep -lxs dockerd /proc/[0-9]*/comm); do
  process=${file%/comm}
  [ "$(readlink "$process/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || continue
  group=$(sed -n 's/^[0-9]*:\(name=systemd\)*://p' "$process/cgroup" 2>/dev/null)
  case $group in */docker-*.scope*|*/docker/*|*kubepods*|*/lxc*) continue ;; esac
  if [ "$(awk '/^Uid:/ {print $2}' "$process/status" 2>/dev/null)" != 0 ]; then
    rootless=$(stat -c %U "$process" 2>/dev/null); continue
  fi
  unit=$(printf '%s\n' "$group" | grep -oE '[^/]+\.(service|scope)' | head -n 1)
  if [ -z "$pid" ] || [ "$unit" = docker.service ]; then
    pid=${process#/proc/} inside=$unit
  fi
done
[ -z "$pid" ] || arguments=$(base64 -w0 "/proc/$pid/cmdline" 2>/dev/null)
started=$(systemctl show -P ExecStart docker.service 2>/dev/null \
  | sed -n 's/.*argv\[\]=\(.*\) ; ignore_errors=.*/\1/p' | tail -n 1)
words=$started
[ -z "$arguments" ] || words=$(printf %s "$arguments" | base64 -d | tr '\0' ' ')
configuration=$(printf '%s\n' "$words" \
  | sed -n 's/.* --config-file[= ]\([^ ]*\).*/\1/p')
configuration=${configuration:-/etc/docker/daemon.json}
"""

# Go's names of the fields (docker info -f '{{json .}}'), and two that older clients do not have or
# that older Engines leave empty.
_INFO = (
    "info [{{json .LiveRestoreEnabled}},{{json .Swarm.LocalNodeState}},{{json .SecurityOptions}},"
    "{{json .DockerRootDir}},{{json .Driver}},{{json .DriverStatus}},{{json .OperatingSystem}}]"
)
_CDI = "cdi {{json .CDISpecDirs}}"

_PROPERTIES = (
    "LoadState,ActiveState,UnitFileState,InvocationID,KillMode,ExecMainStartTimestamp,"
    "Environment,EnvironmentFiles"
)


@dataclass(frozen=True)
class DaemonState:
    """The Engine's process and configuration.

    ``pid`` is 0 where none runs, ``unit`` the one of systemd in which it runs; ``program`` and
    ``arguments`` are its command line, or that of ``docker.service`` where none runs;
    ``next_arguments`` are those of its next start. ``rootless``: user with an Engine of his own.

    ``loaded``, ``active``, ``enabled``, ``invocation`` and ``kill_mode`` are of ``docker.service``,
    in systemd's words. ``path`` is the file that it reads, links followed; ``content`` None without
    one; ``waiting``: it was changed after the Engine's start; ``unloaded``: keys that a run of ours
    wrote into it since then and that a reload does not load.

    ``answers``: whether the Engine does, and says what follows. ``cdi``: folders of device
    descriptions, none where CDI is off; ``snapshotter``: images are in containerd's store.
    ``swarm``: it is a node of one, also when it does not run. ``forwarding`` and ``masquerading``:
    whether the kernel passes packets on, and whether somebody's rule gives them its address.
    """

    pid: int = 0
    unit: str = ""
    program: str = ""
    arguments: tuple[str, ...] = ()
    next_arguments: tuple[str, ...] = ()
    rootless: str = ""
    loaded: str = ""
    active: bool = False
    enabled: str = ""
    invocation: str = ""
    kill_mode: str = ""
    path: str = DAEMON_JSON
    content: bytes | None = None
    waiting: bool = False
    unloaded: tuple[str, ...] = ()
    answers: bool = False
    live_restore: bool = False
    swarm: bool = False
    security: tuple[str, ...] = ()
    data_root: str = ""
    storage_driver: str = ""
    snapshotter: bool = False
    system: str = ""
    cdi: tuple[str, ...] = ()
    forwarding: bool = False
    masquerading: bool = False
    wedged: bool = False


class Daemon(Fact[DaemonState]):
    """Returns the ``DaemonState`` of the host."""

    @staticmethod
    def default() -> DaemonState:
        return DaemonState()

    def command(self) -> StringCommand:
        # Variables of the unit's command come from its files, which win, and from the unit itself,
        # which quotes values that hold blanks, as xargs reads them.
        return question(
            ENGINE
            + PROCESS
            + r"""
            info=$1 cdi=$2 properties=$3 unloaded=$4
            if command -v docker >/dev/null; then
              { engine info -f "$info" 2>/dev/null || echo silent; } \
                | grep -v '^$' >"$answers/info" &
              engine info -f "$cdi" 2>/dev/null | grep '^cdi \[' >"$answers/cdi" &
            fi
            [ -z "$pid" ] || echo "process $pid $inside"
            [ -z "$arguments" ] || echo "arguments $arguments"
            [ -z "$rootless" ] || echo "rootless $rootless"
            echo "next $started"
            shown=$(systemctl show --timestamp=unix -p "$properties" docker.service 2>/dev/null)
            printf '%s\n' "$shown" | sed -n '/^Environment/!s/^/unit /p'
            for name in $(printf %s "$started" | grep -oE '\$\{?\w+' | tr -d '${' | sort -u); do
              value=$(printf '%s\n' "$shown" | sed -n 's/^Environment=//p' \
                | xargs -n 1 printf '%s\n' 2>/dev/null | sed -n "s/^$name=//p" | tail -n 1)
              for file in $(printf '%s\n' "$shown" | sed -n 's/^EnvironmentFiles=\(.*\) (.*/\1/p')
              do
                last=$(sed -n "s/^[[:space:]]*$name=//p" "$file" 2>/dev/null | tail -n 1)
                [ -z "$last" ] || value=$last
              done
              echo "variable $name $(printf %s "$value" | base64 -w0)"
            done
            file=$(readlink -f -- "$configuration" || echo "$configuration")
            echo "file $file"
            if [ -f "$file" ]; then
              echo "changed $(stat -c %Y -- "$file")"
              echo "content $(base64 -w0 -- "$file")"
            fi
            [ ! -f "$unloaded" ] || echo "unloaded $(paste -sd ' ' "$unloaded")"
            root=$(sed -n 's/.*"data-root"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' \
              "$file" 2>/dev/null | head -n 1)
            [ ! -e "${root:-/var/lib/docker}/swarm/docker-state.json" ] || echo swarm
            [ "$(cat /proc/sys/net/ipv4/ip_forward 2>/dev/null)" != 1 ] || echo forwarding
            if { cat "$file"; printf '%s' "$arguments" | base64 -d; } 2>/dev/null \
              | grep -aqE 'ip-?(tables|-masq)'; then
              { iptables-save -t nat; nft list ruleset; } 2>/dev/null \
                | grep -qi masquerade && echo masquerading
            fi
            wait
            cat "$answers"/* 2>/dev/null
            true
            """,
            _INFO,
            _CDI,
            _PROPERTIES,
            UNLOADED,
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
        invocation = unit.get("InvocationID", "")
        unloaded = words.get("unloaded", "").split()
        root = next(iter(values(following[1:], "data-root")[-1:]), "")
        changed, begun = words.get("changed", ""), unit.get("ExecMainStartTimestamp", "")
        return DaemonState(
            pid=int(pid),
            unit=inside,
            program=command[0] if command else "",
            arguments=command[1:],
            next_arguments=following[1:],
            rootless=words.get("rootless", ""),
            loaded=unit.get("LoadState", ""),
            active=unit.get("ActiveState") in ("active", "reloading"),
            enabled=unit.get("UnitFileState", ""),
            invocation=invocation,
            kill_mode=unit.get("KillMode", ""),
            path=words.get("file", DAEMON_JSON),
            content=base64.b64decode(words["content"]) if "content" in words else None,
            waiting=pid != "0" and _seconds(changed) > _seconds(begun),
            unloaded=tuple(unloaded[1:]) if unloaded[:1] == [invocation] else (),
            forwarding="forwarding" in words,
            masquerading="masquerading" in words,
            wedged="wedged" in words,
            **{"data_root": root, "swarm": "swarm" in words, **_info(words)},
        )


def _info(words: dict[str, str]) -> dict[str, Any]:
    """Return what the Engine says of itself, if it does."""
    if "info" not in words:
        return {}
    live, swarm, security, root, driver, status, system = json.loads(words["info"])
    return {
        "answers": True,
        "live_restore": bool(live),
        # Whatever it is at that is not inactive: active, pending, locked, error.
        "swarm": swarm not in ("inactive", ""),
        "security": tuple(security or ()),
        "data_root": root,
        "storage_driver": driver,
        "snapshotter": any("io.containerd.snapshotter" in str(row) for row in status or ()),
        "system": system,
        "cdi": tuple(json.loads(words.get("cdi", "[]")) or ()),
    }


def command_line(encoded: str) -> tuple[str, ...]:
    """Return the words of a process' command line.

    + encoded: ``/proc/<pid>/cmdline`` in base64
    """
    text = base64.b64decode(encoded).decode(errors="surrogateescape")
    return tuple(text.split("\0")[:-1])


def _seconds(text: str) -> int:
    """Read ``@1795161600`` (``systemctl --timestamp=unix``) or plain seconds; 0 for none."""
    digits = text.removeprefix("@")
    return int(digits) if digits.isdigit() else 0


@dataclass(frozen=True)
class Running:
    """A container that runs. ``restart``: its policy, such as ``no`` or ``always``; ``removed``:
    Docker removes it when it ends (``--rm``); ``task``: Swarm's, which replaces it by another."""

    id: str
    name: str
    restart: str = "no"
    removed: bool = False
    task: bool = False


_RUNNING = (
    "container [{{json .Id}},{{json .Name}},{{json .HostConfig.RestartPolicy.Name}},"
    "{{json .HostConfig.AutoRemove}},{{json .Config.Labels}}]"
)


class Containers(Fact[list[Running]]):
    """Returns the containers that run, whoever started them, paused ones too."""

    @staticmethod
    def default() -> list[Running]:
        return []

    def command(self) -> StringCommand:
        return question(
            ENGINE
            + """
            command -v docker >/dev/null || exit 0
            running=$(engine ps -q --no-trunc 2>/dev/null)
            [ -z "$running" ] || engine inspect -f "$1" $running 2>/dev/null
            cat "$answers/wedged" 2>/dev/null
            true
            """,
            _RUNNING,
        )

    def read(self, lines: list[str]) -> list[Running]:
        refuse_wedged(lines)
        found = []
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "container":
                identity, name, restart, removed, labels = json.loads(rest)
                task = "com.docker.swarm.task.id" in (labels or {})
                name = name.removeprefix("/")
                found.append(Running(identity, name, restart or "no", bool(removed), task))
        return sorted(found, key=lambda one: one.name)


def refuse_wedged(lines: list[str]) -> None:
    """Raise UnansweredError if among these lines is the word for a Docker that does not answer."""
    wedged = next((line for line in lines if line.startswith("wedged docker ")), "")
    if wedged:
        raise UnansweredError(f"{WEDGED} (`{wedged.removeprefix('wedged ')}`)")
