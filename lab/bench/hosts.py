"""Many hosts on this machine: each with namespaces, a writable layer and an SSH server of its own.

They have neither systemd nor Docker, so only tasks that need neither run on them
(``hosts_deploy.py``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import keys
from lab.bench.contestants import FOLDER, HERE, Contestant, pyinfra
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.process import Daemon, free_port, wait_port

SSHD = Path("/usr/sbin/sshd")
KNOWN_HOSTS = FOLDER / "hosts" / "known_hosts"


def obstacle() -> str:
    """Return why hosts cannot be started here and how to fix it; empty if they can."""
    if os.geteuid() != 0:
        return "many hosts need root, for namespaces and mounts: run ./provision bench as root"
    if not SSHD.exists():
        return f"many hosts need {SSHD}: install the package openssh-server"
    return ""


@contextlib.contextmanager
def running(count: int) -> Iterator[list[int]]:
    """Run this many hosts during the body, and yield their SSH ports on 127.0.0.1.

    Raises LabError if one does not start.
    """
    if problem := obstacle():
        raise LabError(problem)
    hosts = [Daemon(f"host{number}", FOLDER) for number in range(1, count + 1)]
    try:
        ports = [_start(host) for host in hosts]
        for host, port in zip(hosts, ports, strict=True):
            wait_port(port, host)
        entries = [f"[127.0.0.1]:{port} {keys.host_key().public}\n" for port in ports]
        KNOWN_HOSTS.write_text("".join(entries))
        yield ports
    finally:
        for host in hosts:
            host.kill()
            with contextlib.suppress(FileNotFoundError):
                _folder(host).rmdir()


def contestant(ports: Sequence[int]) -> Contestant:
    """Return this project's run on the hosts at these ports."""
    return pyinfra(
        f"{len(ports)} hosts" if len(ports) > 1 else "1 host",
        REPOSITORY,
        [str(HERE / "hosts_inventory.py"), str(HERE / "hosts_deploy.py")],
        BENCH_PORTS=" ".join(map(str, ports)),
        BENCH_KEY=str(keys.user_key().private),
        BENCH_KNOWN_HOSTS=str(KNOWN_HOSTS),
    )


def _start(host: Daemon) -> int:
    """Start one, replacing what an earlier run may have left, and return its port."""
    host.kill()
    folder = _folder(host)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    key = keys.user_key().private
    host.start(
        [
            *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"),
            *(str(HERE / "host.sh"), str(folder), host.name, str(port)),
            *(str(keys.host_key().private), str(key.with_name(key.name + ".pub"))),
        ]
    )
    return port


def _folder(host: Daemon) -> Path:
    """Return where a host mounts its file system, visible only to itself."""
    return FOLDER / "hosts" / host.name
