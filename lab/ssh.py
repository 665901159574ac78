"""SSH to the guest, with the lab's own key and known host, untouched by ~/.ssh."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import keys
from lab.errors import LabError


@dataclass(frozen=True)
class Ssh:
    """How to reach the guest.

    + port: on 127.0.0.1
    + known_hosts: a file of ours, see `trust`
    """

    port: int
    known_hosts: Path

    def trust(self) -> None:
        """Write the guest's host key, which is known in advance, to the known_hosts file."""
        entry = f"[127.0.0.1]:{self.port} {keys.host_key().public}\n"
        if not self.known_hosts.exists() or self.known_hosts.read_text() != entry:
            self.known_hosts.write_text(entry)

    def command(self, user: str = "root") -> list[str]:
        """Return the ssh command line, to which a remote command may be added."""
        options = {
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "15",
            "LogLevel": "ERROR",
        }
        return [
            *("ssh", "-F", "none", "-i", str(keys.user_key().private), "-p", str(self.port)),
            *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
            f"{user}@127.0.0.1",
        ]

    def run(
        self,
        script: str,
        user: str = "root",
        given: str | None = None,
        check: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script in the guest and return its exit code and output.

        The guest's language is German, but the script runs in English.

        + given: standard input
        + check: raise LabError when the exit code is not 0
        + timeout: seconds, after which subprocess.TimeoutExpired is raised
        """
        result = subprocess.run(
            [*self.command(user), f"export LC_ALL=C.UTF-8\n{script}"],
            input=given or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if check and result.returncode:
            output = (result.stderr or result.stdout).strip()
            raise LabError(f"in the guest, exit code {result.returncode}: {script}\n{output}")
        return result

    def answers(self, seconds: float = 2) -> bool:
        """Return whether an SSH server sends its greeting: QEMU accepts connections even for a dead
        guest."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as probe,
        ):
            return probe.recv(4) == b"SSH-"
        return False
