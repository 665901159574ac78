"""What kind of machine the host is: system, architecture, listeners, users."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra.api import FactBase, StringCommand

from workstation.facts.shell import script


@dataclass(frozen=True)
class MachineState:
    """``os_release`` as in ``/etc/os-release``; memory and free disk in bytes; ``kernel`` and
    ``architecture`` as ``uname`` says; ``listeners`` maps a TCP port to the programs that listen
    on an address other than loopback."""

    os_release: dict[str, str] = field(default_factory=dict)
    architecture: str = ""
    kernel: str = ""
    memory: int = 0
    free_disk: int = 0
    listeners: dict[int, str] = field(default_factory=dict)
    snap_docker: bool = False
    ufw_active: bool = False
    systemd: bool = False

    @property
    def distribution(self) -> str:
        return self.os_release.get("ID", "")

    @property
    def codename(self) -> str:
        return self.os_release.get("VERSION_CODENAME", "")

    @property
    def version(self) -> str:
        return self.os_release.get("VERSION_ID", "")


class Machine(FactBase[MachineState]):
    """Returns the ``MachineState`` of the host."""

    @staticmethod
    def default() -> MachineState:
        return MachineState()

    def command(self) -> StringCommand:
        return script(
            """
            sed 's/^/os /' /etc/os-release
            echo "uname $(uname -m) $(uname -r)"
            awk '/^MemTotal:/ {print "memory", $2}' /proc/meminfo
            df -Pk / | awk 'NR == 2 {print "disk", $4}'
            [ ! -e /snap/bin/docker ] || echo snap-docker
            [ ! -d /run/systemd/system ] || echo systemd
            if command -v ufw >/dev/null && ufw status 2>/dev/null | grep -q '^Status: active'; then
              echo ufw-active
            fi
            ss -Hltnp 2>/dev/null | sed 's/^/listen /'
            """
        )

    def process(self, output: list[str]) -> MachineState:
        os_release: dict[str, str] = {}
        listeners: dict[int, str] = {}
        words: dict[str, list[str]] = {}
        for line in output:
            word, _, rest = line.partition(" ")
            if word == "os" and "=" in rest:
                key, _, value = rest.partition("=")
                os_release[key] = value.strip("\"'")
            elif word == "listen":
                _add_listener(listeners, rest)
            else:
                words[word] = rest.split()
        return MachineState(
            os_release=os_release,
            architecture=words.get("uname", [""])[0],
            kernel=words.get("uname", ["", ""])[1],
            memory=int(words.get("memory", ["0"])[0]) * 1024,
            free_disk=int(words.get("disk", ["0"])[0]) * 1024,
            listeners=listeners,
            snap_docker="snap-docker" in words,
            ufw_active="ufw-active" in words,
            systemd="systemd" in words,
        )


def _add_listener(listeners: dict[int, str], line: str) -> None:
    """Read one line of ``ss -Hltnp``: state, queues, local address, peer, process."""
    columns = line.split(None, 5)
    address, _, port = columns[3].rpartition(":")
    address = address.split("%")[0].strip("[]")
    if address.removeprefix("::ffff:").startswith("127.") or address == "::1":
        return
    program = columns[5].split('"')[1] if len(columns) > 5 and '"' in columns[5] else "?"
    listeners[int(port)] = program


class Accounts(FactBase[dict[str, str]]):
    """
    Returns ``user:<name>`` and ``group:<name>`` mapped to numeric ids (``uid:gid`` or ``gid``),
    and ``uid:<number>``/``gid:<number>`` mapped to the name that holds the number.

    + users, groups: names
    + uid, gid: numbers to look up
    """

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def command(self, users: list[str], groups: list[str], uid: int, gid: int) -> StringCommand:
        return script(
            """
            getent passwd $1 "$3" | sort -u | awk -F: '{print "user:" $1, $3 ":" $4}'
            getent group $2 "$4" | sort -u | awk -F: '{print "group:" $1, $3}'
            true
            """,
            " ".join(users),
            " ".join(groups),
            uid,
            gid,
        )

    def process(self, output: list[str]) -> dict[str, str]:
        accounts: dict[str, str] = {}
        for line in output:
            name, _, ids = line.partition(" ")
            accounts[name] = ids
            kind = "uid" if name.startswith("user:") else "gid"
            accounts[f"{kind}:{ids.split(':')[0]}"] = name.split(":", 1)[1]
        return accounts
