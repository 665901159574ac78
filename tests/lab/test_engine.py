"""What happens to running services when Docker, the toolkit or systemd's units change under them,
and what somebody else had set up before."""

from __future__ import annotations

import json

import pytest

from tests.lab.conftest import Workstation

pytestmark = pytest.mark.long

GPU_USER = "dhoch3-comfyui-1"
TOOLKIT_VERSION = "1.20.0-1"
TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)


def _sees_gpu(machine: Workstation) -> bool:
    return machine.succeeds(f"docker exec {GPU_USER} nvidia-smi")


def test_changes_of_engine_and_toolkit_under_running_containers(converged: Workstation) -> None:
    """Containers keep their ids, start times and the GPU; the next run holds the packages again,
    which apt lets go when it is told to install them, and nothing else."""
    before = converged.containers()
    for change in (
        "systemctl daemon-reload",
        "apt-get install -y --reinstall --allow-change-held-packages "
        + " ".join(f"{package}={TOOLKIT_VERSION}" for package in TOOLKIT_PACKAGES),
        "systemctl restart docker",
        "apt-get install -y --reinstall docker.io",
    ):
        converged.run(f"DEBIAN_FRONTEND=noninteractive {change} >/dev/null 2>&1 </dev/null")
        assert converged.containers() == before, change
        assert _sees_gpu(converged), change
    run = converged.pyinfra("deploy.py", "-y")
    assert run.status == 0, run.error
    assert run.changed == ["tasks/nvidia.py | NVIDIA Container Toolkit"]
    assert converged.containers() == before


def test_what_somebody_had_set_up_before_is_kept(bare: Workstation) -> None:
    """A daemon.json, an entry in fstab, a network in Docker's usual range, a container of another
    project: merged or left alone, and the run converges beside them."""
    bare.run(
        "apt-get update >/dev/null 2>&1;"
        "mkdir -p /etc/docker /srv/data;"
        'echo \'{"log-driver": "local", "bip": "172.20.0.1/16", "labels": ["mine"]}\''
        " > /etc/docker/daemon.json;"
        "echo 'tmpfs /srv/data tmpfs size=1m 0 0 # mine' >> /etc/fstab; mount /srv/data;"
        "DEBIAN_FRONTEND=noninteractive apt-get install -y docker.io docker-cli >/dev/null 2>&1;"
        "docker network create --subnet 172.18.0.0/16 theirs"
    )
    run = bare.pyinfra("deploy.py", "-y")
    assert run.status == 0, run.output[-3000:]
    kept = json.loads(bare.run("cat /etc/docker/daemon.json"))
    assert kept["bip"] == "172.20.0.1/16"
    assert kept["labels"] == ["mine"]
    assert "tmpfs /srv/data tmpfs size=1m 0 0 # mine" in bare.run("cat /etc/fstab")
    assert "theirs" in bare.run("docker network ls --format '{{.Name}}'")
    assert bare.pyinfra("deploy.py", "-y").changed == []
