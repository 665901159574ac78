"""What kind of machine the host is: system, architecture, listeners, packages, users."""

from __future__ import annotations

from dataclasses import dataclass, field

from pyinfra.api import StringCommand

from workstation import scripts, sockets
from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket. ``address``: ``*`` for all addresses; ``program``: ``?`` if unknown;
    ``unit``: the systemd unit that it runs in, if any."""

    address: str
    port: int
    program: str = "?"
    unit: str = ""

    def __str__(self) -> str:
        return self.program + (f" ({self.unit})" if self.unit else "")


@dataclass(frozen=True)
class MachineState:
    """``os_release``: as in ``/etc/os-release``; ``memory``: in bytes; ``kernel`` and
    ``architecture``: as printed by ``uname``; ``user``: number of the user that runs our commands.

    ``package_managers``: programs that hold a lock of apt or dpkg, or upgrade in the background;
    ``broken_packages``: packages that an interrupted dpkg left half installed.
    """

    os_release: dict[str, str] = field(default_factory=dict)
    architecture: str = ""
    kernel: str = ""
    user: int = 0
    memory: int = 0
    listeners: tuple[Listener, ...] = ()
    snap_docker: bool = False
    ufw_active: bool = False
    systemd: bool = False
    package_managers: tuple[str, ...] = ()
    broken_packages: tuple[str, ...] = ()
    needrestart: bool = False

    @property
    def distribution(self) -> str:
        return self.os_release.get("ID", "")

    @property
    def version(self) -> str:
        return self.os_release.get("VERSION_ID", "")


class Machine(Fact[MachineState]):
    """Returns the ``MachineState`` of the host."""

    def command(self) -> StringCommand:
        return question(scripts.text("machine/machine.sh"))

    def read(self, lines: list[str]) -> MachineState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = {word: rest.split() for word, rest in pairs}
        os_release = {}
        for key, separator, value in (rest.partition("=") for word, rest in pairs if word == "os"):
            if separator:
                os_release[key] = value.strip("\"'")
        groups = dict(rest.partition(" ")[::2] for word, rest in pairs if word == "group")
        return MachineState(
            os_release=os_release,
            architecture=words.get("uname", [""])[0],
            kernel=words.get("uname", ["", ""])[1],
            user=int(words.get("user", ["0"])[0]),
            memory=int(words.get("memory", ["0"])[0]) * 1024,
            listeners=tuple(_listener(rest, groups) for word, rest in pairs if word == "listen"),
            snap_docker="snap-docker" in words,
            ufw_active="ufw-active" in words,
            systemd="systemd" in words,
            package_managers=tuple(rest for word, rest in pairs if word == "busy"),
            broken_packages=tuple(rest for word, rest in pairs if word == "broken"),
            needrestart="needrestart" in words,
        )


def _listener(line: str, groups: dict[str, str]) -> Listener:
    """Return the listener of one line of ``ss``.

    + groups: process id -> its control group
    """
    socket = sockets.parse(line)
    unit = sockets.unit_of(groups.get(socket.pid, ""))
    return Listener(socket.address, socket.port, socket.program, unit)


class Accounts(Fact[dict[str, str]]):
    """
    Returns ``user:<name>`` and ``group:<name>`` mapped to numeric ids (``uid:gid`` or ``gid``),
    and ``uid:<number>``/``gid:<number>`` mapped to the name that has the number.

    + users, groups: names
    + uid, gid: numbers to look up

    A directory service may report an account under another name, such as ``DOM\\domain users`` or
    ``ki@example.org``; here it has the name that was looked up.
    """

    def command(self, users: list[str], groups: list[str], uid: int, gid: int) -> StringCommand:
        return question(
            scripts.text("machine/accounts.sh"), len(users) + 1, *users, uid, *groups, gid
        )

    def read(self, lines: list[str]) -> dict[str, str]:
        accounts: dict[str, str] = {}
        for line in lines:
            kind, asked, name, ids = line.split("\t")
            word, numbers = ("user", "uid") if kind == "passwd" else ("group", "gid")
            number = ids.partition(":")[0]
            if asked == number:
                accounts.setdefault(f"{numbers}:{number}", name)
            else:
                accounts[f"{word}:{asked}"] = ids
                accounts[f"{numbers}:{number}"] = asked
        return accounts
