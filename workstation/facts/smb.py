"""The CIFS share: what is mounted, what lies under it, and what the server answers."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question

# Logs in with mount(2) in a mount namespace of its own, which is gone when the script ends:
# the kernel's own client is the judge, nothing on the host changes, nothing is installed.
# The password comes on standard input, since a process list shows arguments. In the kernel's
# option string a comma is doubled (fs/smb/client/fs_context.c).
_PROBE = r"""
import ctypes, os, socket, subprocess, sys
server, share, user, domain, seconds = sys.argv[1:6]
password = sys.stdin.readline().rstrip("\n")
try:
    address = socket.getaddrinfo(server, 445, type=socket.SOCK_STREAM)[0][4][0]
    socket.create_connection((address, 445), float(seconds)).close()
except OSError as error:
    sys.exit(print(f"unreachable {error.strerror or error}"))
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000) or libc.mount(b"none", b"/", None, 0x44000, None):
    sys.exit(print("unknown no mount namespace can be made:", os.strerror(ctypes.get_errno())))
subprocess.run(["modprobe", "-q", "cifs"], check=False)
options = [f"ip={address}", f"unc=\\\\{server}\\{share}", "vers=3.1.1", "nosharesock", "soft"]
options += [f"user={user}", "pass=" + password.replace(",", ",,")]
options += [f"domain={domain}"] if domain else []
source = f"//{server}/{share}".encode()
if libc.mount(source, b"/mnt", b"cifs", 1, ",".join(options).encode()):
    number = ctypes.get_errno()
    log = subprocess.run(["dmesg"], capture_output=True, text=True).stdout.splitlines()
    said = [line.split("STATUS_")[1].split()[0] for line in log[-20:] if "STATUS_" in line]
    answer = "STATUS_" + said[-1] if said else os.strerror(number)
    print("absent" if number == 19 else "refused", answer.rstrip(".:,"))
else:
    print("accepted")
    name, *folders = (sys.argv[6:] or [""])
    for folder in folders:
        try:
            print("file", folder, open(f"/mnt/{folder}/{name}").read())
        except OSError as error:
            print("file", folder, error.strerror)
"""


@dataclass(frozen=True)
class ShareAnswer:
    """What the server said: ``accepted``, ``refused``, ``unreachable``, ``absent`` (the kernel
    has no CIFS client) or ``unknown``, and its words."""

    verdict: str = "unknown"
    detail: str = "python3 is not installed on the host"


class ShareLogin(Fact[ShareAnswer]):
    """
    Returns what the file server answers to these credentials.

    + server, share, user, domain: as in the settings
    + seconds: how long to wait for the connection

    The password must be given as ``_stdin``.
    """

    @staticmethod
    def default() -> ShareAnswer:
        return ShareAnswer()

    def requires_command(self, **_: object) -> str:
        return "python3"

    def command(
        self, server: str, share: str, user: str, domain: str = "", seconds: int = 5
    ) -> StringCommand:
        return question(
            'code=$1; shift; exec python3 -B -c "$code" "$@"',
            _PROBE,
            server,
            share,
            user,
            domain,
            seconds,
        )

    def read(self, lines: list[str]) -> ShareAnswer:
        verdict, _, detail = lines[-1].partition(" ")
        return ShareAnswer(verdict, detail)


class ShareFiles(Fact[dict[str, str]]):
    """
    Returns ``folder -> content`` of a small file in several folders of the share, read in a
    second session with the server, not through the mount. The files are removed afterwards
    through the mount.

    + server, share, user, domain: as in the settings
    + file_name: of the file in each folder
    + folders: paths below the share's root
    + mount: where the share is mounted

    The password must be given as ``_stdin``.
    """

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def command(
        self,
        server: str,
        share: str,
        user: str,
        domain: str,
        file_name: str,
        folders: list[str],
        mount: str,
    ) -> StringCommand:
        return question(
            """
            code=$1 mount=$2; shift 2
            python3 -B -c "$code" "$@"
            name=$6; shift 6
            mountpoint -q -- "$mount" || exit 0
            for folder; do rm -f -- "$mount/$folder/$name"; done
            """,
            _PROBE,
            mount,
            server,
            share,
            user,
            domain,
            5,
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
class MountState:
    """``/etc/fstab``, and the mount on the mountpoint: its source and the kernel's options
    (empty if nothing is mounted), when it was made (Unix time), whether the folder under it
    exists and is immutable (``chattr +i``)."""

    fstab: bytes = b""
    source: str = ""
    options: str = ""
    mounted_at: float = 0.0
    credentials_at: float = 0.0
    folder: bool = False
    guarded: bool = False


def _unescape(text: str) -> str:
    """Return what ``findmnt --raw`` writes as ``\\x20`` and the like as it is."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)


class Mount(Fact[MountState]):
    """
    Returns the ``MountState`` of a mountpoint.

    + target: the mountpoint
    + credentials: path of the credentials file
    """

    @staticmethod
    def default() -> MountState:
        return MountState()

    def command(self, target: str, credentials: str) -> StringCommand:
        # Looking under the mount happens in a mount namespace of its own. A mount that does not
        # answer (server gone) must not hang the fact: nothing here looks into the share.
        return question(
            """
            [ ! -f /etc/fstab ] || echo "fstab $(base64 -w0 /etc/fstab)"
            findmnt -rn -t cifs,smb3 -o SOURCE,OPTIONS -M "$1" | tail -n 1 | sed 's/^/mount /'
            unit=$(systemd-escape -p --suffix=mount "$1")
            since=$(systemctl show --timestamp=unix -P ActiveEnterTimestamp -- "$unit")
            echo "since ${since#@}"
            [ ! -f "$2" ] || echo "credentials $(stat -c %Y -- "$2")"
            unshare -m sh -c '
              if findmnt -rn -M "$1" >/dev/null; then umount -l "$1" || exit 0; fi
              [ -d "$1" ] || exit 0
              echo folder
              lsattr -d "$1" 2>/dev/null | cut -d" " -f1 | grep -q i && echo guarded
              true' sh "$1"
            """,
            target,
            credentials,
        )

    def read(self, lines: list[str]) -> MountState:
        words = dict(line.partition(" ")[::2] for line in lines)
        source, _, options = words.get("mount", "").partition(" ")
        return MountState(
            fstab=base64.b64decode(words.get("fstab", "")),
            source=_unescape(source),
            options=options,
            mounted_at=float(words.get("since") or 0),
            credentials_at=float(words.get("credentials") or 0),
            folder="folder" in words,
            guarded="guarded" in words,
        )
