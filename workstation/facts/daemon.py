"""The Engine's own program: how it was started, what it read then, and what a restart would do."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand

from workstation.daemon import WEDGED
from workstation.daemon_flags import started_by, values
from workstation.daemon_json import read_or_nothing
from workstation.facts.shell import Fact, UnansweredError, question

DAEMON_JSON = "/etc/docker/daemon.json"

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
    rootless=$(answered stat -c %U "$process" 2>/dev/null); continue
  fi
  unit=$(printf '%s\n' "$group" | grep -oE '[^/]+\.(service|scope)' | head -n 1)
  if [ -z "$pid" ] || [ "$unit" = docker.service ]; then
    pid=${process#/proc/} inside=$unit
  fi
done
[ -z "$pid" ] || arguments=$(base64 -w0 "/proc/$pid/cmdline" 2>/dev/null)
started=$(answered systemctl show -P ExecStart docker.service 2>/dev/null \
  | sed -n 's/.*argv\[\]=\(.*\) ; ignore_errors=.*/\1/p' | tail -n 1)
reload=$(answered systemctl show -P NeedDaemonReload docker.service 2>/dev/null)
if [ "$reload" = yes ]; then
  # systemd has not read what stands on the disk, but will.
  disk=$(systemd-analyze cat-config systemd/system/docker.service 2>/dev/null \
    | sed -e ':a' -e '/\\$/{N;s/\\\n/ /;ba' -e '}' | sed -n 's/^ExecStart=[-@:+!]*//p' | tail -n 1)
  started=${disk:-$started}
fi
words=$started
if [ "$inside" = docker.service ] || [ -z "$started" ]; then
  words=$(printf %s "$arguments" | base64 -d | tr '\0' ' ')
fi
configuration=$(printf '%s\n' "$words" \
  | sed -n 's/.* --config-file[= ]\([^ ]*\).*/\1/p')
configuration=${configuration:-/etc/docker/daemon.json}
"""

# Go's names of the fields (docker info -f '{{json .}}'). Without an Engine the client fills in
# nothings and says that all is well. CDI's folders are a field that older clients do not have.
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


# What a node of a Swarm keeps below the Engine's data root; with userns-remap that is a folder
# further down, named by two numbers (moby: daemon/daemon_unix.go, setupDaemonRoot).
_SWARMS = """
for root; do
  for folder in "${root%/}" "${root%/}"/[0-9]*.[0-9]*; do
    [ ! -e "$folder/swarm/docker-state.json" ] || echo "swarm $folder"
  done
done
"""


@dataclass(frozen=True)
class DaemonState:
    """The Engine's process and configuration.

    ``pid`` is 0 where none runs, ``unit`` the one of systemd in which it runs; ``program`` and
    ``arguments`` are its command line, or that of ``docker.service`` where none runs;
    ``next_arguments`` are those of its next start. ``other``: one that is not ours to use, since it
    is not ``docker.service`` and does not answer for it; ``rootless``: user with one of his own.

    ``loaded``, ``active``, ``enabled``, ``invocation`` and ``kill_mode`` are of ``docker.service``,
    in systemd's words. ``path`` is the file that it reads, links followed; ``content`` None without
    one; ``waiting``: it was changed after the Engine's start; ``unloaded``: keys that a run of ours
    wrote into it since then and that a reload does not load.

    ``client``: whether there is one; ``answers``: whether the Engine does, and says what follows.
    ``cdi``: folders of device descriptions, none where CDI is off; ``snapshotter``: images are in
    containerd's store. ``swarm``: it is a node of one, also when it does not run. ``forwarding``
    and ``masquerading``: whether the kernel passes packets on, and whether somebody's rule gives
    them its address.
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
    path: str = DAEMON_JSON
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
            info=$1 cdi=$2 properties=$3 unloaded=$4 swarms=$5 values=
            if command -v docker >/dev/null; then
              echo client
              engine info -f "$info" 2>/dev/null >"$answers/info" &
              engine info -f "$cdi" 2>/dev/null >"$answers/cdi" &
            fi
            [ -z "$pid" ] || echo "process $pid $inside"
            [ -z "$arguments" ] || echo "arguments $arguments"
            [ -z "$rootless" ] || echo "rootless $rootless"
            echo "next $started"
            shown=$(answered systemctl show --timestamp=unix -p "$properties" docker.service \
              2>/dev/null)
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
              values="$values$value"$'\n'
            done
            file=$(readlink -f -- "$configuration" || echo "$configuration")
            echo "file $file"
            if [ -f "$file" ]; then
              echo "changed $(stat -c %Y -- "$file")"
              echo "content $(base64 -w0 -- "$file")"
            fi
            [ ! -f "$unloaded" ] || echo "unloaded $(paste -sd ' ' "$unloaded")"
            mapfile -t roots < <(
              printf '%s\n' "$started" "$words" "$values" | tr -d "\"'" \
                | grep -oE -- '(^|--data-root|--graph|-g)[= ]*/[^[:space:]]*' | sed 's/^[^/]*//'
              [ ! -f "$file" ] || tr -d '\0' <"$file" | tr '\n' ' ' \
                | grep -aoE '"data-root"[[:space:]]*:[[:space:]]*"/[^"]*"' | sed 's/.*"\(.*\)"/\1/'
              echo /var/lib/docker
            )
            limited 20 bash -c "$swarms" bash "${roots[@]}"
            [ $? != 124 ] || { echo "the folder of Docker's data does not answer" >&2; exit 1; }
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
            _SWARMS,
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
        path = words.get("file", DAEMON_JSON)
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
            waiting=pid != "0" and _seconds(changed) > _seconds(begun),
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
    """Return whether an Engine that is started like this is a node of a Swarm.

    + nodes: folders in which a node keeps what it knows
    """

    def given(key: str) -> str:
        return str((values(arguments, key) or [configured.get(key) or ""])[-1])

    root = (given("data-root") or "/var/lib/docker").rstrip("/")
    if given("userns-remap"):
        return any(node.rpartition("/")[0] == root for node in nodes)
    return root in nodes


def _info(words: dict[str, str]) -> dict[str, Any]:
    """Return what the Engine says of itself, if it does."""
    if "info" not in words:
        return {}
    swarm, security, root, driver, status, system, version = json.loads(words["info"])
    return {
        "answers": True,
        # Whatever it is at that is not inactive: active, pending, locked, error.
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
    """A container that runs. ``removed``: Docker removes it when it ends (``--rm``); ``task``:
    Swarm's, which replaces it by another."""

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
    """What a restart of the Engine touches: ``containers`` that run, whoever started them, paused
    ones too; ``units`` of systemd that it would restart with it; ``clients``: programs that are at
    work with the Engine, such as ``docker run (process 17 of app.service)``, and would end."""

    containers: tuple[Running, ...] = ()
    units: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()


class Stake(Fact[StakeState]):
    """Returns the ``StakeState`` of the host."""

    @staticmethod
    def default() -> StakeState:
        return StakeState()

    def command(self) -> StringCommand:
        # A unit that requires docker.service, is bound to it or part of it is restarted with it
        # (systemd.unit(5)). Of a command line only the verb is told: the rest may hold a password.
        return question(
            ENGINE
            + r"""
            command -v docker >/dev/null || exit 0
            for file in $(grep -lxsE 'docker|docker-compose|docker-buildx|com\.docker\.cli' \
                /proc/[0-9]*/comm); do
              process=${file%/comm}
              verb=$(tr '\0' '\n' <"$process/cmdline" 2>/dev/null | sed 1d \
                | grep -xE -m 1 'run|attach|exec|start|up|build|bake|pull|push|cp|save|load')
              [ -n "$verb" ] || continue
              unit=$(grep -oE '[^/]+\.service$' "$process/cgroup" 2>/dev/null | head -n 1)
              echo "client docker $verb (process ${process#/proc/}${unit:+ of $unit})"
            done
            for unit in $(answered systemctl show -P RequiredBy -P BoundBy -P ConsistsOf \
                docker.service 2>/dev/null | tr ' ' '\n' | sort -u); do
              case $unit in ai-workstation-*) continue ;; esac
              ! answered systemctl -q is-active "$unit" || echo "unit $unit"
            done
            running=$(engine ps -q --no-trunc 2>/dev/null)
            [ -z "$running" ] || engine inspect -f "$1" $running 2>/dev/null
            cat "$answers/wedged" 2>/dev/null
            true
            """,
            _RUNNING,
        )

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
    """Raise UnansweredError if among these lines is the word for a Docker that does not answer."""
    wedged = next((line for line in lines if line.startswith("wedged docker ")), "")
    if wedged:
        raise UnansweredError(f"{WEDGED} (`{wedged.removeprefix('wedged ')}`)")


class Refusal(Fact[str]):
    """
    Returns why the Engine would not start with a configuration, or nothing.

    + program: path of ``dockerd``
    + arguments: its command line; an option that stands there may not stand in the file

    The configuration is given as ``_stdin``, in base64. Older than 23.0 knows no ``--validate``.
    """

    @staticmethod
    def default() -> str:
        return ""

    def command(self, program: str, arguments: list[str]) -> StringCommand:
        return question(
            r"""
            program=$1; shift
            command -v "$program" >/dev/null || exit 0
            base64 -d >"$answers/daemon.json"
            limited 60 sh -c '"$@" 2>&1; echo "status $?"' sh "$program" "$@" \
              --validate --config-file "$answers/daemon.json"
            """,
            program,
            *arguments,
        )

    def read(self, lines: list[str]) -> str:
        said = [line for line in lines if line.strip()]
        if not said or said[-1] == "status 0" or any("flag: --validate" in line for line in said):
            return ""
        why = said[0].partition("daemon.json: ")[2] or said[0]
        # Values of the file, which may hold a proxy's password.
        return _VALUES.sub("", why)
