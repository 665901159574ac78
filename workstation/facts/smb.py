"""The CIFS share: what is mounted, what is hidden under it, and what the server answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.daemon import refuse_wedged
from workstation.facts.shell import Fact, question
from workstation.mounts import cifs, mountinfo
from workstation.mounts.fstab import decode
from workstation.mounts.mountinfo import Mount as Layer
from workstation.stack import is_below
from workstation.units.show import blocks, unix_time

PATIENCE = 60
"""Seconds that a server may take to answer once it has accepted the connection."""


@dataclass(frozen=True)
class ShareAnswer:
    """The server's answer and its own words. ``verdict``: ``accepted``; ``refused``;
    ``unreachable``; ``silent``: it accepts connections but does not answer; ``version``: it does
    not support the requested one; ``ticket``: there is no Kerberos ticket; ``options``: the kernel
    rejects them; ``absent``: the kernel has no CIFS client, or lacks a part of it; or
    ``unknown``."""

    verdict: str = "unknown"
    detail: str = "python3 is not installed on the host"


class ShareLogin(Fact[ShareAnswer]):
    """
    Returns the file server's answer to these credentials.

    + server, share, user, domain: as in the settings
    + options: the mount options that the kernel gets, see ``workstation.mounts.cifs``
    + seconds: how long to wait for a connection

    The password must be passed as ``_stdin``.
    """

    def requires_command(self, **_: object) -> str:
        return "python3"

    def command(
        self,
        server: str,
        share: str,
        user: str,
        domain: str = "",
        options: Sequence[str] = (),
        seconds: int = 5,
    ) -> StringCommand:
        return question(
            'code=$1; shift; exec python3 -B -c "$code" "$@"',
            scripts.text("smb/probe.py"),
            *(server, share, user, domain, seconds, PATIENCE, ",".join(options)),
        )

    def read(self, lines: list[str]) -> ShareAnswer:
        verdict, _, detail = lines[-1].partition(" ")
        return ShareAnswer(verdict, detail)


class ShareFiles(Fact[dict[str, str]]):
    """
    Returns ``folder -> content`` of a small file in several folders of the share, read in a
    second session with the server instead of through the mount. Afterwards the files are removed
    through the mount.

    + server, share, user, domain, options: see ``ShareLogin``
    + file_name: of the file in each folder
    + folders: paths below the share's root
    + mount: where the share is mounted

    The password must be passed as ``_stdin``.
    """

    def command(
        self,
        server: str,
        share: str,
        user: str,
        domain: str,
        file_name: str,
        folders: list[str],
        mount: str,
        options: Sequence[str] = (),
    ) -> StringCommand:
        return question(
            scripts.text("smb/share_files.sh"),
            scripts.text("smb/probe.py"),
            mount,
            *(server, share, user, domain, 5, PATIENCE, ",".join(options)),
            file_name,
            *folders,
        )

    def read(self, lines: list[str]) -> dict[str, str]:
        files = {}
        for line in lines:
            word, _, rest = line.partition(" ")
            if word == "file":
                folder, _, content = rest.rpartition(" ")
                files[folder] = content
        return files


@dataclass(frozen=True)
class MountUnit:
    """A systemd unit of a mountpoint, such as ``mnt-ki_Daten.mount``, as loaded. ``file``: its unit
    file, empty if generated from ``/etc/fstab``; ``overrides``: drop-ins that change what is
    mounted; ``needs_reload``: its source, such as ``/etc/fstab``, is newer than what systemd has
    read."""

    name: str = ""
    active: bool = False
    masked: bool = False
    file: str = ""
    overrides: tuple[str, ...] = ()
    needs_reload: bool = False


@dataclass(frozen=True)
class MountState:
    """``/etc/fstab``, and the state of the mountpoint.

    ``linked``: lines of fstab that name the mountpoint through a link; ``real``: its real path, if
    there are links on the way; ``layers``: what is mounted on it, lowest first; ``above``: an
    automounter's map that controls a folder above it; ``mark``: identifies the options it was
    mounted with, see ``mounts.cifs``; ``mount``, ``automount``: its units; ``mounted_at``,
    ``credentials_at``: Unix times; ``folder``: whether the folder under all mounts exists,
    ``immutable``: nothing can be written into it (``chattr +i``); ``flags``: its file system
    supports that; ``hidden``: number of files in it; ``stopped``: names of containers that a run
    left without the share: stopped, or started while it was unmounted.
    """

    fstab: bytes = b""
    linked: tuple[int, ...] = ()
    real: str = ""
    layers: tuple[Layer, ...] = ()
    above: str = ""
    mark: str = ""
    mount: MountUnit = MountUnit()
    automount: MountUnit = MountUnit()
    mounted_at: float = 0.0
    credentials_at: float = 0.0
    folder: bool = False
    immutable: bool = False
    flags: bool = True
    hidden: int = 0
    stopped: tuple[str, ...] = ()

    @property
    def share(self) -> Layer | None:
        """The mounted share, if the mountpoint shows one."""
        top = self.layers[-1] if self.layers else None
        return top if top and top.kind in ("cifs", "smb3") else None


STOPPED = "/var/lib/ai-workstation/stopped-for-the-share"
"""Names of containers that are stopped or restarted when the share is remounted."""


class Mount(Fact[MountState]):
    """
    Returns the ``MountState`` of a mountpoint.

    + target: the mountpoint
    + credentials: path of the credentials file
    """

    def command(self, target: str, credentials: str) -> StringCommand:
        return question(
            scripts.text("smb/mount.sh"),
            target,
            credentials,
            STOPPED,
            scripts.text("smb/beneath.sh"),
        )

    def read(self, lines: list[str]) -> MountState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        passed = mountinfo.passed(mountinfo.parse(_text(words.get("mounts", ""))), words["target"])
        remembered = mountinfo.remembered(_text(words.get("utab", "")), words["target"])
        units = blocks(rest for word, rest in pairs if word == "unit")
        mount, automount = [*units, {}, {}][:2]
        overrides = tuple(rest for word, rest in pairs if word == "override")
        return MountState(
            fstab=base64.b64decode(words.get("fstab", "")),
            linked=tuple(int(rest) for word, rest in pairs if word == "linked"),
            real=words.get("real", ""),
            layers=tuple(one for one in passed if one.target == words["target"]),
            above="".join(
                one.source
                for one in passed
                if one.kind == "autofs"
                and one.target != words["target"]
                and one.source != mountinfo.SYSTEMD
            ),
            mark=cifs.mark(remembered),
            mount=_unit(mount, overrides),
            automount=_unit(automount, ()),
            mounted_at=unix_time(mount.get("ActiveEnterTimestamp", "")),
            credentials_at=float(words.get("credentials") or 0),
            folder="folder" in words,
            immutable="immutable" in words,
            flags="flagless" not in words,
            hidden=int(words.get("hidden") or 0),
            stopped=tuple(dict.fromkeys(rest for word, rest in pairs if word == "stopped")),
        )


def _text(encoded: str) -> str:
    return decode(base64.b64decode(encoded))


def _unit(shown: dict[str, str], overrides: tuple[str, ...]) -> MountUnit:
    file = shown.get("FragmentPath", "")
    return MountUnit(
        name=shown.get("Id", ""),
        active=shown.get("ActiveState") == "active",
        masked=shown.get("LoadState") == "masked",
        file="" if file.startswith("/run/systemd/generator") else file,
        overrides=overrides,
        needs_reload=shown.get("NeedDaemonReload") == "yes",
    )


@dataclass(frozen=True)
class ShareUser:
    """A container that uses the share, whoever owns it. ``fleeting``: Docker removes it once it
    stops (``--rm``); ``swarm``: Swarm would replace it."""

    name: str
    fleeting: bool = False
    swarm: bool = False


# Go's names of the fields (docker inspect).
_CONTAINER = (
    "container [{{json .Name}},{{json .HostConfig.AutoRemove}},{{json .Mounts}},"
    '{{json (index .Config.Labels "com.docker.swarm.task.id")}}]'
)


class ShareUsers(Fact[list[ShareUser]]):
    """
    Returns the running containers that keep the mount that existed when they started: those that
    mount it, a folder of it, or a folder above it to which later mounts do not propagate.

    + target: where the share is mounted
    """

    def command(self, target: str) -> StringCommand:
        return question(
            scripts.text("smb/share_users.sh"), target, _CONTAINER, "{{.State.Pid}} {{.Name}}"
        )

    def read(self, lines: list[str]) -> list[ShareUser]:
        refuse_wedged(lines)
        pairs = [line.partition(" ")[::2] for line in lines]
        target = dict(pairs)["target"]
        having = {rest for word, rest in pairs if word == "has"}
        users = []
        for name, fleeting, mounted, task in (
            json.loads(rest) for word, rest in pairs if word == "container"
        ):
            if _holds(mounted or (), target, name in having):
                users.append(ShareUser(name.removeprefix("/"), bool(fleeting), bool(task)))
        return users


def _holds(mounted: Sequence[dict[str, str]], target: str, has: bool) -> bool:
    """Return whether a container with these mounts keeps the share's mount. ``has``: the kernel
    lists it there, as it also does for a container that gets it through a folder above."""
    below = any(is_below(one.get("Source", ""), target) for one in mounted)
    above = [one for one in mounted if is_below(target, one.get("Source", "") or target + "/")]
    stays = [one for one in above if not one.get("Propagation", "").endswith(("slave", "shared"))]
    return below or any(one["Source"] != "/" for one in stays) or (has and not above)
