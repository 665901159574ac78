"""The lab as a whole: machine, NAS and upstream mirror, brought up and down together."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from lab import environment, image, nas, progress
from lab.machine import HTTP_PORT, SSH_PORT, Machine
from lab.nas import Nas
from lab.paths import REPOSITORY, STATE, cache
from lab.process import Daemon, free_port, wait_port
from lab.qemu import Upstream

MIRROR_ADDRESS = "192.168.0.5"


class Mirror:
    """The HTTP server that replaces every upstream.

    + folder: the lab's state folder; the served tree is in `mirror/`
    """

    def __init__(self, folder: Path = STATE) -> None:
        self.root = folder / "mirror"
        self.file = folder / "mirror.yml"
        self.process = Daemon("mirror", folder)
        self._port_file = folder / "run" / "mirror.port"

    @property
    def running(self) -> bool:
        """Whether it is running."""
        return self.process.alive()

    @property
    def port(self) -> int:
        """The loopback port; it stays the same across restarts if it is free."""
        known = int(self._port_file.read_text()) if self._port_file.exists() else None
        if known is not None and self.running:
            return known
        port = free_port(known)
        self._port_file.parent.mkdir(parents=True, exist_ok=True)
        self._port_file.write_text(str(port))
        return port

    def build(self, running: progress.Step) -> None:
        """Create the served tree and the mirror file that describes it."""
        # Imported here because the rest works without the tools that build the stand-ins.
        upstream = importlib.import_module("lab.upstream")
        store = cache() / "upstream"
        for folder in (self.root, store):
            folder.mkdir(parents=True, exist_ok=True)
        description = upstream.build(
            self.root,
            store,
            # With the port: without one, Docker tries port 443 first for an insecure registry.
            address=f"{MIRROR_ADDRESS}:80",
            tell=lambda line: setattr(running, "detail", line),
        )
        self.file.write_text(yaml.safe_dump(description, sort_keys=False, allow_unicode=True))

    def start(self) -> None:
        """Start the server; idempotent, except that one older than its code is restarted."""
        port = self.port
        code = REPOSITORY / "lab"
        if self.process.older_than([code / "mirror.py", *code.glob("upstream/*.py")]):
            self.stop()
        if self.running:
            return
        command = [sys.executable, "-u", "-m", "lab.mirror"]
        self.process.start(
            [*command, "--root", str(self.root), "--port", str(port)], cwd=REPOSITORY
        )
        wait_port(port, self.process)

    def stop(self) -> None:
        """Stop the server: the guest's connections to every upstream are refused."""
        self.process.stop(3)


class Lab:
    """The whole lab.

    + folder: its state folder
    + user: the user that the deploy logs in as: root, or operator, who uses sudo
    """

    def __init__(self, folder: Path = STATE, user: str = "operator") -> None:
        self.folder = folder
        self.user = user
        self.machine = Machine(folder)
        self.nas = Nas(folder)
        self.mirror = Mirror(folder)

    @property
    def env_file(self) -> Path:
        """The environment file for the deploy (`ENV_FILE`)."""
        return self.folder / "env"

    def up(self) -> None:
        """Bring it up from any state: running parts stay, a stopped machine boots from its disk."""
        with self._locked():
            self._prepare()
            wanted = self._upstreams()
            if not self.machine.exists:
                self.machine.reset(image.ensure(), wanted)
            elif not self.machine.running or self.machine.hardware.upstreams != wanted:
                with progress.step("machine: boot"):
                    self.machine.rewire(wanted)
                    self.machine.boot()
            self._write_environment()

    def reset(self) -> None:
        """Bring it up with a wiped machine and an empty share."""
        with self._locked():
            self._step("machine: off", self.machine.stop)
            self._step("NAS: wiped", self.nas.wipe)
            self._prepare()
            self.machine.reset(image.ensure(), self._upstreams())
            self._write_environment()

    def down(self) -> None:
        """Stop all of its processes. The machine's disk and the share's files stay."""
        with self._locked():
            self._step("machine: off", self.machine.stop)
            self._step("NAS: stopped", self.nas.stop)
            self._step("mirror: stopped", self.mirror.stop)

    def status(self) -> list[tuple[str, bool, str]]:
        """Return name, whether it is running, and where, for each part."""
        machine = ""
        if self.machine.exists:
            ssh, http = (self.machine.port(port) for port in (SSH_PORT, HTTP_PORT))
            accelerator = self.machine.hardware.accelerator
            machine = f"{accelerator}, SSH on port {ssh}, HTTP on port {http} of 127.0.0.1"
        return [
            ("machine", self.machine.running, machine),
            ("NAS", self.nas.running, f"//{nas.ADDRESS}/{nas.SHARE} is {self.nas.data}"),
            ("mirror", self.mirror.running, f"http://{MIRROR_ADDRESS} serves {self.mirror.root}"),
        ]

    def _prepare(self) -> None:
        """Start the servers that the machine's network leads to."""
        with progress.step("mirror: stand-ins and their index") as running:
            self.mirror.build(running)
        self._step("mirror: running", self.mirror.start)
        self._step("NAS: running", self.nas.start)

    def _upstreams(self) -> list[Upstream]:
        return [
            Upstream(MIRROR_ADDRESS, 80, self.mirror.port),
            # Plain HTTP here too, so that a client that tries TLS first finds none. If nothing here
            # claimed the port, QEMU would connect to the real network's 192.168.0.5.
            Upstream(MIRROR_ADDRESS, 443, self.mirror.port),
            Upstream(nas.ADDRESS, 445, self.nas.port),
        ]

    def _write_environment(self) -> None:
        port = self.machine.port(SSH_PORT)
        values = environment.content(self.folder, port, self.user, self.mirror.file)
        environment.write(self.env_file, values)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let only one command change the lab at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.console.print("waiting for another lab command to end")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @staticmethod
    def _step(title: str, action: Callable[[], None]) -> None:
        with progress.step(title):
            action()
