"""The lab's NAS: an unprivileged Samba server on a loopback port, with the production share.

Sources: smb.conf(5), pdbedit(8) of Samba 4.17.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from lab.errors import LabError
from lab.paths import STATE
from lab.process import Daemon, free_port, wait_port

ADDRESS = "192.168.0.6"  # in the guest's network, as in production
SHARE = "ki_Daten"
USER = "d3kiserver"
# Every character that is special to a shell, .env, Compose, fstab or mount option, and a word that
# can be found however the rest is quoted, escaped or encoded as JSON.
MARKER = "Zq7Marker"
PASSWORD = f"Löwe $HOME \"a\" 'b', #1 100% {MARKER} \\ %d"

FOLDERS = ("private", "state", "cache", "lock", "pid", "ncalrpc")


class Nas:
    """The Samba server and its data.

    + folder: the lab's state folder; all of Samba's files are below `nas/`
    """

    def __init__(self, folder: Path = STATE) -> None:
        self.folder = folder / "nas"
        self.data = self.folder / SHARE
        self.process = Daemon("nas", folder)
        self._port_file = self.folder / "port"

    @property
    def port(self) -> int:
        """The loopback port; it stays the same across restarts if it is free."""
        known = int(self._port_file.read_text()) if self._port_file.exists() else None
        if known is not None and self.running:
            return known
        port = free_port(known)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._port_file.write_text(str(port))
        return port

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self.process.alive()

    def start(self) -> None:
        """Start the server, with the default password unless one was set; idempotent."""
        if self.running:
            return
        port = self.port
        for name in (*FOLDERS, SHARE):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._settings.write_text(settings(self.folder, port))
        # The account is the current user's: Samba needs a Unix user for each of its own.
        (self.folder / "users.map").write_text(f"{_account()} = {USER}\n")
        if not (self.folder / "private" / "passdb.tdb").exists():
            self.set_password(PASSWORD)
        self.process.start(
            [
                *(_binary("smbd"), "--foreground", "--no-process-group"),
                *(f"--configfile={self._settings}", f"--log-basename={self.folder}"),
            ]
        )
        wait_port(port, self.process)

    def stop(self) -> None:
        """Stop it: new connections are refused, existing ones are closed."""
        self.process.stop(3)

    def freeze(self) -> None:
        """Make it hang: connections stay open without answers, like a crashed NAS."""
        self.process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """End `freeze`."""
        self.process.send(signal.SIGCONT)

    def set_password(self, password: str) -> None:
        """Change the share's password; sessions that are open stay."""
        account = _account()
        known = self._pdbedit("--list", f"--user={account}").returncode == 0
        if known:
            self._pdbedit("--delete", f"--user={account}")
        result = self._pdbedit(
            "--create",
            "--password-from-stdin",
            f"--user={account}",
            given=f"{password}\n{password}\n",
        )
        if result.returncode:
            raise LabError(f"pdbedit rejected the password: {result.stderr.strip()}")

    def wipe(self) -> None:
        """Empty the share and set the default password again."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _settings(self) -> Path:
        return self.folder / "smb.conf"

    def _pdbedit(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_binary("pdbedit"), f"--configfile={self._settings}", *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )


def settings(folder: Path, port: int) -> str:
    """Return smb.conf for a server that keeps everything below `folder`."""
    return f"""\
[global]
server role = standalone server
workgroup = WORKGROUP
interfaces = 127.0.0.1
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
server min protocol = SMB3_00
server smb encrypt = desired
unix charset = UTF-8
passdb backend = tdbsam:{folder}/private/passdb.tdb
username map = {folder}/users.map
private dir = {folder}/private
state directory = {folder}/state
cache directory = {folder}/cache
lock directory = {folder}/lock
pid directory = {folder}/pid
ncalrpc dir = {folder}/ncalrpc
log file = {folder}/smbd.log
load printers = no
printing = bsd
disable spoolss = yes

[{SHARE}]
path = {folder}/{SHARE}
read only = no
"""


def _account() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _binary(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if path is None:
        raise LabError(f"{name} is missing; `./provision lab` installs what the lab needs")
    return path
