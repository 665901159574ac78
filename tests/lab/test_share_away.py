"""The file server is away: at boot, while everything runs, and with another password.

``AWAY`` is the number of seconds that it is away at boot (600).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from lab.nas import PASSWORD
from tests.lab.conftest import CURL, Workstation

pytestmark = pytest.mark.long

AWAY = float(os.environ.get("AWAY", "600"))
MOUNT = "/mnt/ki_Daten"
USERS = ("comfyui", "fooocus", "forge", "invokeai", "fluxgym", "ai-toolkit")


@pytest.fixture
def machine(converged: Workstation) -> Iterator[Workstation]:
    """The converged machine; after the test, the server is back to normal."""
    yield converged
    converged.lab.nas.thaw()
    converged.lab.nas.stop()
    converged.lab.nas.start()
    converged.lab.nas.set_password(PASSWORD)


def _running(machine: Workstation) -> set[str]:
    return set(machine.run("docker ps --format '{{.Names}}'").split())


def _wait(machine: Workstation, condition: str, seconds: float) -> float:
    """Wait until a shell condition is true on the machine; return the seconds that this took."""
    began = time.monotonic()
    while not machine.succeeds(condition):
        assert time.monotonic() - began < seconds, condition
        time.sleep(2)
    return time.monotonic() - began


def _nothing_beside_the_share(machine: Workstation) -> None:
    """Check that the folder under the mount is empty and cannot be written to."""
    under = "mkdir -p /run/under && mount --bind /mnt /run/under"
    look = f"find /run/under/{MOUNT.removeprefix('/mnt/')} -mindepth 1; lsattr -d /run/under/*"
    seen = machine.run(f"{under}; {look}; umount /run/under")
    assert len(seen.splitlines()) == 1, seen
    assert "i" in seen.split()[0]


def _all_well(machine: Workstation) -> None:
    services = " ".join(f"dhoch3-{name}-1" for name in USERS)
    healthy = (
        f"[ \"$(docker inspect -f '{{{{.State.Health.Status}}}}' {services} 2>/dev/null"
        ' | sort -u)" = healthy ]'
    )
    print(f"all healthy again after {_wait(machine, healthy, 600):.0f} s")
    run = machine.pyinfra("tasks/acceptance.py", "-y")
    assert run.status == 0, run.output[-3000:]


def test_the_server_is_away_at_boot(machine: Workstation) -> None:
    """Services that do not need it run; acceptance reports the problem; once it is back, the others
    start by themselves."""
    machine.lab.nas.stop()
    machine.lab.machine.reboot()
    booted = time.monotonic()
    _wait(machine, "docker ps --format '{{.Names}}' | grep -q dockge", 300)
    assert machine.succeeds("curl -sf http://127.0.0.1:11434/api/version")
    assert {"proxy-traefik-1", "dhoch3-dockge-1"} <= _running(machine)
    assert not machine.succeeds(f"touch {MOUNT}/lost")
    run = machine.pyinfra("tasks/acceptance.py", "-y")
    assert run.status != 0
    failed = [line for line in run.output.splitlines() if line.startswith("FAILED")]
    assert any(MOUNT in line or "share" in line for line in failed), failed
    time.sleep(max(0.0, AWAY - (time.monotonic() - booted)))
    _nothing_beside_the_share(machine)
    machine.lab.nas.start()
    _all_well(machine)
    _nothing_beside_the_share(machine)


def test_the_server_goes_away_and_comes_back(machine: Workstation) -> None:
    """It hangs for two minutes; then it is stopped and started. Running services continue."""
    before = machine.containers()
    machine.lab.nas.freeze()
    time.sleep(120)
    assert machine.succeeds(f"{CURL} -s -o /dev/null -H 'Host: dockge.localhost' http://127.0.0.1/")
    machine.lab.nas.thaw()
    _all_well(machine)
    machine.lab.nas.stop()
    assert not machine.succeeds(f"timeout 100 touch {MOUNT}/ComfyUI/lost")
    run = machine.pyinfra("tasks/acceptance.py", "-y")
    assert run.status != 0
    machine.lab.nas.start()
    _all_well(machine)
    _nothing_beside_the_share(machine)
    assert machine.containers() == before


def test_a_new_password_on_the_server(machine: Workstation) -> None:
    """Sessions end, and acceptance and preflight say so; one run with the new password repairs
    everything."""
    nas = machine.lab.nas
    nas.set_password("another one")
    nas.stop()
    nas.start()
    run = machine.pyinfra("tasks/preflight.py", "-y")
    assert run.status != 0
    assert "STATUS_LOGON_FAILURE" in run.output
    assert machine.pyinfra("tasks/acceptance.py", "-y").status != 0
    new = {"SMB_PASSWORD": "another one"}
    run = machine.pyinfra("tasks/smb.py", "tasks/stacks.py", "-y", environment=new)
    assert run.status == 0, run.error
    run = machine.pyinfra("tasks/acceptance.py", "-y", environment=new)
    assert run.status == 0, run.output[-3000:]
    _nothing_beside_the_share(machine)
