"""The virtual workstation: wipe, boot, cut the power, save and restore snapshots."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import progress, qemu
from lab.errors import LabError
from lab.image import Image
from lab.paths import STATE, cache
from lab.process import Daemon, free_port
from lab.qemu import Accelerator, Forward, Upstream
from lab.qmp import Monitor
from lab.ssh import Ssh

BARE = "bare"  # the snapshot right after the first boot
BOOT_SECONDS = 300  # emulated, on a busy machine; 30 s is usual
SSH_PORT, HTTP_PORT = 22, 80


@dataclass
class Hardware:
    """The parts of the machine, kept in `machine.json` from one command to the next."""

    image: Path
    accelerator: Accelerator
    forwards: list[Forward]
    upstreams: list[Upstream]


class Machine:
    """The lab's one virtual machine.

    + folder: the lab's state folder, which holds its disk, sockets, pid file and console log
    """

    def __init__(self, folder: Path = STATE) -> None:
        self.folder = folder
        self.process = Daemon("machine", folder)
        self._disk = folder / "disk.qcow2"
        self._record = folder / "machine.json"

    # ---- what it is

    @property
    def hardware(self) -> Hardware:
        """Its parts. Raises LabError if there is no machine yet."""
        if not self._record.exists():
            raise LabError("there is no lab machine yet; `./provision lab up` creates one")
        record = json.loads(self._record.read_text())
        return Hardware(
            image=Path(record["image"]),
            accelerator=record["accelerator"],
            forwards=[Forward(**forward) for forward in record["forwards"]],
            upstreams=[Upstream(**upstream) for upstream in record["upstreams"]],
        )

    @property
    def exists(self) -> bool:
        """Whether it has a disk, and the cache still has its base image."""
        made = self._record.exists() and self._disk.exists()
        return made and Image(self.hardware.image).disk.exists()

    @property
    def running(self) -> bool:
        """Whether QEMU is running."""
        return self.process.alive()

    @property
    def ssh(self) -> Ssh:
        """SSH to it."""
        return Ssh(self.port(SSH_PORT), self.folder / "known_hosts")

    @property
    def console(self) -> Path:
        """The log of its serial console, covering all boots since it was wiped."""
        return self.folder / "log" / "console.log"

    def port(self, guest: int) -> int:
        """Return the loopback port that leads to a port of the guest, opening it if needed."""
        hardware = self.hardware
        for forward in hardware.forwards:
            if forward.guest == guest:
                return forward.outer
        forward = Forward(free_port(), guest)
        if self.running:
            self._silent(f"hostfwd_add lan {forward}")
        hardware.forwards.append(forward)
        self._save(hardware)
        return forward.outer

    # ---- power

    def reset(self, image: Image, upstreams: Iterable[Upstream] = ()) -> None:
        """Wipe it: a bare machine, running, within seconds once a bare snapshot is in the cache.

        It keeps its ports if they are still free.
        """
        accelerator = qemu.accelerator(image)
        bare = _bare_disk(image, accelerator)
        self.process.kill()
        self._define(image, accelerator, upstreams)
        with progress.step("machine: wiped and running") as running:
            self.console.unlink(missing_ok=True)
            _copy(bare, self._disk)
            try:
                self._start(BARE)
                self.wait(30)
            except LabError as error:
                running.detail = f"booting, the snapshot is of no use ({error})"
                self.process.kill()
                _blank(image, self._disk)
                self._start()
                self.wait()
            self.set_clock()

    def boot(self) -> None:
        """Power it on and wait until it has booted; do nothing if it is running."""
        if self.running:
            return
        self._start()
        self.wait()

    def rewire(self, upstreams: Iterable[Upstream]) -> None:
        """Power it off. The next boot chooses again where its network leads."""
        self.process.kill()
        hardware = self.hardware
        self._define(Image(hardware.image), hardware.accelerator, upstreams)

    def power_cut(self, at: str = "") -> None:
        """Cut its power, losing what was not flushed to its disk, then boot it again.

        + at: a checkpoint to go back to first
        """
        if at:
            self._silent(f"loadvm {at}")
        self.process.kill()
        self.boot()

    def reboot(self) -> None:
        """Reboot it cleanly and wait until it is back."""
        before = self.boot_id()
        self.ssh.run("systemctl reboot", check=False)
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            # While it shuts down or is not up yet, there is no id.
            if self.boot_id() not in ("", before):
                self.wait(deadline - time.monotonic())
                return
            time.sleep(1)
        raise LabError(f"the machine did not reboot; see {self.console}")

    def stop(self) -> None:
        """Kill it. Its disk stays."""
        self.process.kill()

    # ---- snapshots

    def checkpoint(self, name: str, settled: bool = True) -> None:
        """Save RAM and disk under a name, replacing an earlier snapshot of that name.

        + settled: write and drop the guest's page cache first, which would be most of the snapshot
        """
        if settled:
            # The balloon gives free memory back in whole huge pages, some two seconds later.
            vm = "/proc/sys/vm"
            self.ssh.run(f"sync; echo 1 >{vm}/drop_caches; echo 1 >{vm}/compact_memory; sleep 4")
        self._silent(f"savevm {name}")

    def forget(self, name: str) -> None:
        """Remove a checkpoint."""
        self._silent(f"delvm {name}")

    def restore(self, name: str) -> None:
        """Go back to a checkpoint, running. Raises LabError if there is none of that name.

        This cuts the guest's open connections to the outside.
        """
        if self.running:
            self._silent(f"loadvm {name}")
        else:
            self._start(name)
        self.wait(60)
        self.set_clock()

    def checkpoints(self) -> set[str]:
        """Return the names of the snapshots on its disk."""
        # A running QEMU locks the image; -U reads it nevertheless.
        command = ["qemu-img", "info", "-U", "--output=json", str(self._disk)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        return {snapshot["name"] for snapshot in json.loads(result.stdout).get("snapshots", [])}

    # ---- in the guest

    def wait(self, seconds: float = BOOT_SECONDS) -> None:
        """Wait until it accepts logins. Raises LabError if QEMU ends or time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running:
                raise LabError(f"QEMU ended:\n{self.process.tail()}")
            # Ordinary users can only log in once systemd has finished the basic boot.
            if self.ssh.answers():
                probe = self.ssh.run("true", user="operator", check=False, timeout=60)
                if probe.returncode == 0:
                    return
            time.sleep(0.2)
        raise LabError(f"no SSH after {seconds:.0f} s; see {self.console}")

    def set_clock(self) -> None:
        """Set its clock, which a snapshot resets to when it was made; TLS needs it to be right."""
        self.ssh.run(f"date --utc --set=@{time.time():.3f}")

    def boot_id(self) -> str:
        """Return the kernel's id of this boot; "" while it does not answer."""
        probe = self.ssh.run("cat /proc/sys/kernel/random/boot_id", check=False, timeout=60)
        return probe.stdout.strip()

    # ---- within

    def _define(
        self, image: Image, accelerator: Accelerator, upstreams: Iterable[Upstream]
    ) -> None:
        """Choose its parts; loopback ports are kept if they are free."""
        known: dict[int, int] = {}
        if self._record.exists():
            known = {forward.guest: forward.outer for forward in self.hardware.forwards}
        guests = dict.fromkeys((SSH_PORT, HTTP_PORT, *known))
        self.folder.mkdir(parents=True, exist_ok=True)
        forwards = [Forward(free_port(known.get(guest)), guest) for guest in guests]
        self._save(Hardware(image.folder, accelerator, forwards, list(upstreams)))
        self.ssh.trust()

    def _save(self, hardware: Hardware) -> None:
        record = {**asdict(hardware), "image": str(hardware.image)}
        self._record.write_text(json.dumps(record, indent=1))

    def _start(self, snapshot: str | None = None) -> None:
        hardware = self.hardware
        for name in ("log", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        command = qemu.arguments(
            Image(hardware.image),
            hardware.accelerator,
            self._disk.resolve(),
            hardware.forwards,
            hardware.upstreams,
            snapshot,
        )
        self.process.start(command, cwd=self.folder)

    def _silent(self, line: str) -> None:
        with Monitor(self.folder / "run" / "qmp.sock") as monitor:
            monitor.human_silent(line)


def _bare_disk(image: Image, accelerator: Accelerator) -> Path:
    """Return an overlay with the snapshot of a booted bare machine, making it first if needed."""
    fixed = [qemu.version(), qemu.KERNEL, *qemu.machine_arguments(accelerator)]
    key = hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:12]
    bare = image.folder / f"bare-{key}.qcow2"
    if bare.exists():
        return bare
    work = cache() / f"first-boot-{os.getpid()}"
    first = Machine(work)
    try:
        first._define(image, accelerator, [])
        _blank(image, first._disk)
        with progress.step("machine: first boot") as running:
            first._start()
            first.wait()
            running.detail = "waiting until it is idle"
            first.ssh.run("systemctl is-system-running --wait", check=False)
        with progress.step("machine: snapshot of the bare machine"):
            first.checkpoint(BARE)
            first.stop()
            first._disk.rename(bare)
    finally:
        first.stop()
        shutil.rmtree(work, ignore_errors=True)
    return bare


def _blank(image: Image, disk: Path) -> None:
    """Create an empty overlay on the image."""
    disk.unlink(missing_ok=True)
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.disk)]
    subprocess.run([*create, str(disk)], check=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a disk, sharing its blocks if the file system can."""
    subprocess.run(
        ["cp", "--reflink=auto", "--sparse=always", str(source), str(target)], check=True
    )
