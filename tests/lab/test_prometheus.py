"""A second machine: the stack prometheus alone, on two separate disks, from bare to rebuilt."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests

from lab.control import Lab
from lab.machine import BARE
from lab.process import free_port
from tests.lab.alone import NO_SHARE
from tests.lab.conftest import Run, Workstation

pytestmark = pytest.mark.long

PROMETHEUS = "prometheus"
FAST, BULK = "/mnt/local/nvme/ai", "/mnt/local/ssd/ai"
COMFY = f"{FAST}/services/comfy-mnt"

# Disk image files replace the two disks; the lines of fstab are those of docs/prometheus.md.
_DISKS = """
set -e
options=loop,nofail,x-systemd.before=docker.service
for name in nvme ssd; do
  truncate -s 4G /var/local/$name.img
  mkfs.ext4 -q /var/local/$name.img
  mkdir -p /mnt/local/$name
  echo "/var/local/$name.img /mnt/local/$name ext4 $options 0 2" >>/etc/fstab
done
systemctl daemon-reload
mount -a
"""


def _environment(machine: Workstation) -> dict[str, str]:
    """The settings of its `.env`, without any of the share."""
    return {**machine.environment_without(*NO_SHARE), "STACKS": PROMETHEUS}


def _run(machine: Workstation, *arguments: str) -> Run:
    return machine.pyinfra(*arguments, environment=_environment(machine))


def _provision(lab: Lab) -> tuple[Workstation, Run]:
    """Wipe the machine, give it its disks, and run everything."""
    machine = Workstation(lab)
    machine.faults("{}")
    lab.machine.restore(BARE)
    machine.run(_DISKS)
    return machine, _run(machine, "deploy.py", "-y", "--json")


@pytest.fixture(scope="module")
def first(lab: Lab) -> Run:
    """The first run on a bare machine; kept as a checkpoint."""
    _, run = _provision(lab)
    assert run.status == 0, run.error
    lab.machine.checkpoint(PROMETHEUS)
    return run


@pytest.fixture
def machine(lab: Lab, first: Run) -> Workstation:
    """A machine on which the whole deploy has run once."""
    lab.machine.restore(PROMETHEUS)
    return Workstation(lab)


@contextmanager
def _tunnel(machine: Workstation, port: int) -> Iterator[str]:
    """Run the command that acceptance prints, and return the address of its local end."""
    near = free_port()
    command = [*machine.lab.machine.ssh.command(), "-N", "-L", f"{near}:127.0.0.1:{port}"]
    with subprocess.Popen(command) as process:
        try:
            time.sleep(5)
            yield f"http://127.0.0.1:{near}"
        finally:
            process.terminate()


def _healthy(machine: Workstation, name: str, seconds: int = 180) -> bool:
    """Wait until a container is healthy."""
    inspect = f"docker inspect -f '{{{{.State.Health.Status}}}}' {name}"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if machine.run(inspect).strip() == "healthy":
            return True
        time.sleep(2)
    return False


def test_without_its_disks_nothing_is_changed(bare: Workstation) -> None:
    """Plain folders of those names do not count: preflight names both disks, with the fix."""
    bare.run("mkdir -p /mnt/local/nvme /mnt/local/ssd")
    before = bare.files()
    run = _run(bare, "deploy.py", "-y")
    assert run.status != 0
    for disk in ("nvme", "ssd"):
        assert f"mount /mnt/local/{disk}: nothing is mounted there" in run.output
    assert "Traceback" not in run.output
    for task in ("tasks/storage.py", "tasks/stacks.py"):
        run = _run(bare, task, "-y")
        assert run.status != 0
        assert "mount /mnt/local/nvme: nothing is mounted there" in run.output
    assert bare.files() == before


def test_the_first_run_tells_of_the_long_start_and_does_what_it_planned(first: Run) -> None:
    """The plan mentions it, and while waiting, the last line of ComfyUI's log is shown. A file that
    two tasks write is created by the first and changed by the second; see test_converged.py."""
    assert "create prometheus: create comfy" in first.planned
    planned, done = (
        {one.partition(" ")[2] for one in told} for told in (first.planned, first.done)
    )
    assert planned == done
    assert "its first start takes 10 to 20 minutes" in str(first.report["plan"])
    assert re.search(r"waiting for .*comfy.* \([2-9]\d s\)", first.output)
    assert re.search(r"comfy: == (Cloning|Creating|Installing)", first.output)


def test_only_what_the_stack_needs_is_there(machine: Workstation) -> None:
    """No proxy, no share, no native Ollama; folders are as in the procedure."""
    names = machine.run("docker ps --format '{{.Names}}'").split()
    assert sorted(names) == ["comfy", "ollama", "openwebui", "prometheus-gate-1"]
    for absent in ("/usr/local/bin/ollama", "/opt/stacks/proxy", "/mnt/ki_Daten", "/vol"):
        assert not machine.succeeds(f"test -e {absent}")
    listing = machine.run(
        f"stat -c '%n %u:%g %G %a' {COMFY} {FAST}/cache {FAST}/models {FAST}/services/ollama "
        f"{BULK}/outputs/comfy {BULK}/projects/openwebui"
    )
    found = {line.split()[0]: line.split()[1:] for line in listing.splitlines()}
    assert found[COMFY] == ["1024:1024", "UNKNOWN", "775"]
    assert found[f"{BULK}/outputs/comfy"] == ["1024:1024", "UNKNOWN", "775"]
    assert found[f"{FAST}/models"][1:] == ["docker", "2775"]
    assert found[f"{BULK}/projects/openwebui"] == ["0:0", "root", "700"]
    assert {"ComfyUI", "venv"} <= set(machine.run(f"ls {COMFY}").split())
    assert machine.run(f"stat -c %u {COMFY}/ComfyUI/main.py") == "1024\n"


def test_a_second_run_changes_nothing(machine: Workstation) -> None:
    """Containers keep their ids and start times."""
    containers = machine.containers()
    run = _run(machine, "deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []
    assert run.planned == run.done == set()
    assert run.commands <= 30
    assert machine.containers() == containers


def test_acceptance_is_the_procedures_checklist(machine: Workstation) -> None:
    """Table, answer and log; and the tunnels that it names lead there from outside."""
    run = _run(machine, "tasks/acceptance.py", "-y")
    found = machine.findings()
    assert run.status == 0, run.error
    assert "FAILED" not in run.output
    assert found["all containers are up"]["detail"] == "3 of 3 are up"
    for check in (
        "comfy answers on 127.0.0.1:8188",
        "comfy speaks plain HTTP",
        "comfy does not answer on the LAN",
        "comfy has /comfy/mnt as one folder of its own",
        "comfy's log is clean",
        'comfy\'s log says "Starting server"',
        "comfy reads models, and only reads",
        "comfy sees the GPU",
    ):
        assert found[f"prometheus/{check}"]["ok"], check
    for port in (8188, 11434, 3000):
        assert f"ssh -L {port}:127.0.0.1:{port} " in run.output
        assert not machine.succeeds(f"curl -s --max-time 3 http://192.168.0.15:{port}/")
    assert "Traefik" not in run.output
    assert machine.run("curl -sI http://127.0.0.1:8188").startswith("HTTP/1.1 200")
    with _tunnel(machine, 8188) as address:
        assert requests.get(address, timeout=30).status_code == 200
    with _tunnel(machine, 3000) as address:
        answer = requests.get(f"{address}/standin/ollama", timeout=30)
        assert answer.status_code == 200, answer.text


def test_a_reboot_brings_everything_back(machine: Workstation) -> None:
    """The disks first, then the containers."""
    machine.lab.machine.reboot()
    machine.run("systemctl is-system-running --wait", check=False)
    run = _run(machine, "tasks/acceptance.py", "-y")
    assert run.status == 0, run.error
    assert "FAILED" not in run.output


def test_a_power_cut_is_survived(machine: Workstation) -> None:
    """Everything starts by itself, and the next run changes nothing."""
    machine.lab.machine.power_cut()
    machine.run("systemctl is-system-running --wait", check=False)
    run = _run(machine, "deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == []


def test_a_folder_of_the_wrong_owner_is_told_with_its_fix_and_healed(machine: Workstation) -> None:
    """The image refuses it; the next run restores the owner."""
    machine.run(f"chown 0:0 {COMFY} && docker restart comfy && sleep 5")
    run = _run(machine, "tasks/acceptance.py", "-y")
    found = machine.findings()
    assert run.status != 0
    log = found["prometheus/comfy's log is clean"]
    assert "owned by unexpected user/group, expected 1024:1024, actual 0:0" in log["detail"]
    assert "run tasks/stacks.py" in log["fix"]
    folder = found["prometheus/comfy has /comfy/mnt as one folder of its own"]
    assert folder["detail"] == "it belongs to 0:0, mode 775"
    healed = _run(machine, "tasks/stacks.py", "-y")
    assert healed.status == 0, healed.error
    assert machine.run(f"stat -c %u:%g {COMFY}") == "1024:1024\n"
    assert _healthy(machine, "comfy")
    assert _run(machine, "tasks/acceptance.py", "-y").status == 0


def test_nothing_is_written_in_the_place_of_a_disk_that_is_gone(machine: Workstation) -> None:
    """Neither by a run nor by Docker."""
    machine.run("docker stop comfy openwebui && umount /mnt/local/ssd")
    run = _run(machine, "tasks/stacks.py", "-y")
    assert run.status != 0
    assert "mount /mnt/local/ssd: nothing is mounted there" in run.output
    assert not machine.succeeds("docker start comfy")
    assert machine.run("ls -A /mnt/local/ssd") == ""


def test_what_would_be_lost_is_listed_and_the_machine_can_be_made_anew(lab: Lab) -> None:
    """All folders that its containers may write to are on the list; after a wipe, the machine
    becomes the same again."""
    machine, run = _provision(lab)
    assert run.status == 0, run.error
    machine.run(f"echo picture > {BULK}/outputs/comfy/a.png")
    before = machine.our_files()
    listed = _run(machine, "tasks/losses.py", "-y")
    assert listed.status == 0, listed.error
    writable = "{{range .Mounts}}{{if .RW}}{{println .Source}}{{end}}{{end}}"
    mounts = machine.run(f"docker ps -q | xargs docker inspect -f '{writable}'").split()
    assert len(mounts) == 5
    for place in (*mounts, f"{FAST}/models"):
        assert f"  {place}: " in listed.output
    assert "not described" not in listed.output
    assert set(machine.our_files()) == set(before)

    machine, again = _provision(lab)
    assert again.status == 0, again.error
    assert not machine.succeeds(f"test -e {BULK}/outputs/comfy/a.png")
    assert again.planned == run.planned
    assert set(machine.our_files()) == set(before)
    assert _run(machine, "deploy.py", "-y", "--json").changed == []
