"""A Docker Engine from Debian's packages that runs in a folder, next to any other, for image builds
that are too big for an emulated machine.

Needs root. The folder contains a Debian 13; `dockerd` runs in it with a mount namespace of its own,
so its mounts end with it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError
from lab.image import SUITE, as_root, debian_mirror, outer_bundle, sources
from lab.paths import cache
from lab.process import Daemon

PACKAGES = [
    *("docker.io", "docker-cli", "docker-buildx", "docker-compose"),
    *("iptables", "ca-certificates", "git"),
]

# The folder is a mount point because dockerd changes how its root is mounted. /run is emptied at
# each start: a stale pid file would look like a running Engine.
_START = """
set -eu
mount --bind "$1" "$1"
cd "$1"
mount --rbind /proc proc; mount --rbind /sys sys; mount --rbind /dev dev
mount -t tmpfs none run; cp -L /etc/resolv.conf etc/resolv.conf
shift
# Not chroot alone: a process that enters a container later would find itself outside the folder.
pivot_root . mnt; umount -l mnt
exec dockerd --host "unix:///var/lib/engine.sock" "$@"
"""


class Engine:
    """The Engine and its client, which only sees the folder's files.

    + folder: for Debian, images and build cache (about 60 GB for all images of dhoch3)
    + insecure_registry: host[:port] of a plain HTTP registry
    """

    def __init__(self, folder: Path | None = None, insecure_registry: str = "") -> None:
        self.root = (folder or cache() / "engine") / "root"
        self.options = [f"--insecure-registry={insecure_registry}"] if insecure_registry else []
        self.process = Daemon("engine", self.root.parent)

    def start(self) -> None:
        """Create the folder if it is missing, and start the Engine; idempotent."""
        if not (self.root / "usr/sbin/dockerd").exists():
            self._bootstrap()
        shutil.copy(outer_bundle(), self.root / "etc/ssl/certs/ca-certificates.crt")
        if not self.process.alive():
            (self.root / "var/lib/engine.sock").unlink(missing_ok=True)
            command = ["unshare", "--mount", "--propagation", "private"]
            self.process.start([*command, "sh", "-c", _START, "sh", str(self.root), *self.options])
        deadline = time.monotonic() + 60
        while self.docker("version").returncode:
            if time.monotonic() > deadline or not self.process.alive():
                raise LabError(f"dockerd does not start:\n{self.process.tail()}")
            time.sleep(0.5)

    def stop(self) -> None:
        """Stop the Engine and its containers; images and build cache stay."""
        self.process.stop(20)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a client; paths in it are below the folder."""
        docker = ["docker", "--host", "unix:///var/lib/engine.sock", *arguments]
        return ["chroot", str(self.root), *docker]

    def docker(
        self, *arguments: str, stdin: str = "", check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run the client. Raises LabError with its last lines if ``check`` and it fails."""
        result = subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            end = "\n".join((result.stdout + result.stderr).splitlines()[-30:])
            raise LabError(f"docker {' '.join(arguments)} failed:\n{end}")
        return result

    def place(self, folder: str, files: Mapping[str, bytes], *, fresh: bool = True) -> None:
        """Write files below a folder that the client sees; ``fresh``: remove everything else."""
        target = self.root / folder.lstrip("/")
        if fresh:
            shutil.rmtree(target, ignore_errors=True)
        for name, content in files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _bootstrap(self) -> None:
        self.root.parent.mkdir(parents=True, exist_ok=True)
        new = self.root.with_name("root.new")
        as_root(["rm", "-rf", str(new)], "engine: removing what is unfinished")
        command: Sequence[str] = [
            *("mmdebstrap", "--mode=root", "--variant=minbase"),
            *("--aptopt=Acquire::Languages none", f"--include={','.join(PACKAGES)}"),
            *(SUITE, str(new), *sources(debian_mirror())),
        ]
        as_root(list(command), f"engine: Debian {SUITE} with docker.io")
        new.rename(self.root)
