"""QEMU's command line, and whether this machine's KVM works.

The guest sees the same network as in production, provided by QEMU without privileges (`-netdev
user`): 192.168.0.15 the guest, .2 gateway, .3 name server, .5 mirror (port 80), .6 NAS (port 445).

Source: qemu(1), QEMU 7.2.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lab import progress
from lab.errors import LabError
from lab.image import Image
from lab.paths import cache

Accelerator = Literal["kvm", "tcg"]

BINARY = "qemu-system-x86_64"
MEMORY_MIB = 6144
GUEST = "192.168.0.15"
NETWORK = "user,id=lan,net=192.168.0.0/24,host=192.168.0.2,dns=192.168.0.3,dhcpstart=192.168.0.200"
# rcu: its thread wakes every 12 ms while something waits for it, which is expensive on an emulated
# processor: a boot took 26 s without these options, and 18 s with them (Linux 6.12, TCG).
KERNEL = (
    "root=/dev/vda rw console=ttyS0 panic=10 mitigations=off rcupdate.rcu_expedited=1"
    " rcutree.jiffies_till_first_fqs=25 rcutree.jiffies_till_next_fqs=25"
)

# A working KVM reaches the initrd's user space long before that.
PROBE_SECONDS = 25


@dataclass(frozen=True)
class Forward:
    """A loopback port of this machine that leads to a port of the guest."""

    outer: int
    guest: int

    def __str__(self) -> str:
        """Return it in QEMU's syntax."""
        return f"tcp:127.0.0.1:{self.outer}-{GUEST}:{self.guest}"


@dataclass(frozen=True)
class Upstream:
    """An address and port of the guest's network that lead to a loopback port of this machine."""

    address: str
    port: int
    outer: int

    def __str__(self) -> str:
        """Return it in QEMU's syntax: one socat per connection."""
        return f"tcp:{self.address}:{self.port}-cmd:socat - TCP:127.0.0.1:{self.outer}"


def processors(accelerator: Accelerator) -> int:
    """Return the guest's number of processors. Emulation gains little from more than two.

    With one processor each for two machines on two processors, forks and boots were a quarter
    faster, but a run on the machine that remained alone took more than half as long again.
    """
    return min(4, os.cpu_count() or 1) if accelerator == "kvm" else 2


def machine_arguments(accelerator: Accelerator) -> list[str]:
    """Return the arguments that must be the same when a RAM snapshot is saved and loaded."""
    accel = "kvm" if accelerator == "kvm" else "tcg,thread=multi,tb-size=1024"
    # Emulated vector instructions are slower than the plain ones that programs use instead.
    processor = "max" if accelerator == "kvm" else "qemu64"
    return [
        *("-machine", "pc", "-accel", accel, "-cpu", processor),
        *("-smp", str(processors(accelerator)), "-m", str(MEMORY_MIB)),
        *("-nodefaults", "-display", "none"),
    ]


def arguments(
    image: Image,
    accelerator: Accelerator,
    disk: Path,
    forwards: Iterable[Forward],
    upstreams: Iterable[Upstream],
    snapshot: str | None = None,
) -> list[str]:
    """Return the command line of the lab's machine, with sockets and logs in the working folder.

    + disk: a qcow2 overlay on the image's disk
    + snapshot: of RAM and disk, to start from instead of a boot
    """
    lan = ",".join(
        [NETWORK, *(f"hostfwd={f}" for f in forwards), *(f"guestfwd={u}" for u in upstreams)]
    )
    return [
        BINARY,
        *machine_arguments(accelerator),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", KERNEL),
        # unsafe: the guest's flushes end in the host kernel's cache, which survives when QEMU is
        # killed; data that the guest did not flush is lost all the same.
        *("-drive", f"file={_escaped(disk)},format=qcow2,if=virtio,cache=unsafe,discard=unmap"),
        *("-netdev", lan, "-device", "virtio-net-pci,netdev=lan,romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", "virtio-balloon-pci,free-page-reporting=on"),
        *(
            "-chardev",
            "file,id=console,path=log/console.log,append=on",
            "-serial",
            "chardev:console",
        ),
        *("-qmp", "unix:run/qmp.sock,server=on,wait=off"),
        *(("-loadvm", snapshot) if snapshot else ()),
    ]


def version() -> str:
    """Return QEMU's version line; raise LabError if QEMU is not installed."""
    if not shutil.which(BINARY):
        raise LabError(f"{BINARY} is missing; `./provision lab` installs what the lab needs")
    result = subprocess.run([BINARY, "--version"], check=True, capture_output=True, text=True)
    return result.stdout.splitlines()[0]


def accelerator(image: Image) -> Accelerator:
    """Return "kvm" if a guest really boots with it, else "tcg"; the answer is cached.

    `/dev/kvm` may exist and be useless: some nested hosts abort on an MSR or an instruction.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    memory = cache() / "accelerator.json"
    key = f"{version()} on {os.uname().release}, {_processor()}"
    known: dict[str, Accelerator] = json.loads(memory.read_text()) if memory.exists() else {}
    if key not in known:
        with progress.step("machine: does KVM work?") as running:
            works = _kvm_boots(image)
            running.title += " yes" if works else " no, the machine is emulated (slower)"
        known[key] = "kvm" if works else "tcg"
        memory.write_text(json.dumps(known, indent=1))
    return known[key]


def _kvm_boots(image: Image) -> bool:
    """Return whether the guest's kernel reaches its initrd's user space under KVM."""
    command: Sequence[str] = [
        BINARY,
        *machine_arguments("kvm"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initrd)),
        *("-append", "console=ttyS0 panic=-1", "-no-reboot", "-serial", "stdio"),
    ]
    deadline = time.monotonic() + PROBE_SECONDS
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        seen = b""
        try:
            while time.monotonic() < deadline:
                seen += process.stdout.read() or b""
                # The first message of initramfs-tools; then KVM's own message, after which QEMU
                # only pauses.
                if b"Begin: " in seen:
                    return True
                if b"KVM internal error" in seen or process.poll() is not None:
                    return False
                time.sleep(0.1)
            return False
        finally:
            process.kill()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


def _escaped(path: Path) -> str:
    """Return a path for a QEMU option list, in which commas are doubled."""
    return str(path).replace(",", ",,")
