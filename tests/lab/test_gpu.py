"""A card that warns, one that hangs, and an outdated description, on a machine with services.

The card is the lab's stand-in for nvidia-smi; Docker, CDI and systemd are real.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.conftest import Workstation

pytestmark = pytest.mark.long

SMI = "/usr/bin/nvidia-smi"
WARNING = "WARNING: infoROM is corrupted at gpu 0000:01:00.0"
GPU_USER = "dhoch3-comfyui-1"


@contextmanager
def nvidia_smi(machine: Workstation, script: str) -> Iterator[None]:
    """Install another nvidia-smi on the host; containers keep the one that they have."""
    text = shlex.quote(f"#!/bin/sh\n{script}\n")
    machine.run(f"mv {SMI} {SMI}.real && printf %s {text} >{SMI} && chmod 755 {SMI}")
    try:
        yield
    finally:
        machine.run(f"mv -f {SMI}.real {SMI}")


def test_a_warning_beside_the_card_is_a_note(converged: Workstation) -> None:
    """With status 14, nothing is installed or restarted; acceptance passes and shows the
    warning."""
    before = converged.containers()
    with nvidia_smi(converged, f'{SMI}.real "$@"; echo "{WARNING}"; exit 14'):
        run = converged.pyinfra(
            "deploy.py", "-y", environment={"GPU": "required", "NVIDIA_DRIVER": "590-open"}
        )
    assert run.status == 0, run.error
    assert f"nvidia-smi: {WARNING}" in run.output
    assert run.changed == []
    assert converged.containers() == before


def test_a_card_that_hangs_stops_the_run_before_it_changes_anything(
    converged: Workstation,
) -> None:
    """After a minute, with one sentence; a process that no signal reaches is left behind."""
    before = converged.containers()
    with nvidia_smi(converged, "trap '' TERM; exec sleep 600"):
        run = converged.pyinfra("tasks/preflight.py", "tasks/nvidia.py", "-y")
        converged.run(f"pkill -KILL -f '[s]leep 600' || true; ls -l {SMI}")
    assert run.status != 0
    assert "nvidia-smi does not answer within 60 s: the card or its driver hangs" in run.output
    assert "Traceback" not in run.output
    assert converged.containers() == before


def test_a_description_of_another_driver_is_renewed_and_kept(converged: Workstation) -> None:
    """As after an upgrade of the driver; this includes the file in /etc, which nothing else
    renews."""
    before = converged.containers()
    converged.run(
        "mkdir -p /etc/cdi && cp /var/run/cdi/nvidia.yaml /etc/cdi/nvidia.yaml"
        " && sed -i 's/libcuda.so.[0-9.]*/libcuda.so.570.133.07/' /etc/cdi/nvidia.yaml"
        " && rm /var/run/cdi/nvidia.yaml"
    )
    planned = converged.pyinfra("tasks/nvidia.py", "--dry")
    assert "~ GPU described to Docker (driver 570.133.07 -> 580.95.05)" in planned.output
    assert "- /etc/cdi/nvidia.yaml (old; kept as" in planned.output
    run = converged.pyinfra("tasks/nvidia.py", "-y")
    assert run.status == 0, run.error
    assert run.changed == ["Containers see the GPU"]
    assert converged.succeeds("grep -q libcuda.so.580.95.05 /var/run/cdi/nvidia.yaml")
    assert converged.run("ls /etc/cdi").split() == ["nvidia.yaml.before-ai-workstation"]
    assert converged.containers() == before
    assert converged.pyinfra("tasks/nvidia.py", "-y").changed == []
    converged.run("rm -r /etc/cdi")


def test_a_description_that_names_what_is_gone_is_renewed(converged: Workstation) -> None:
    """Otherwise Docker would say `no such file or directory` whenever a container starts."""
    converged.run(
        "sed -i 's|hostPath: .*|hostPath: /usr/lib/libcuda.so.580.95.05|' /var/run/cdi/nvidia.yaml"
    )
    broken = "docker run --rm --pull never --device nvidia.com/gpu=all"
    image = converged.run(f"docker inspect -f '{{{{.Image}}}}' {GPU_USER}").strip()
    assert not converged.succeeds(f"{broken} --entrypoint true {image}")
    run = converged.pyinfra("tasks/nvidia.py", "-y")
    assert run.status == 0, run.error
    assert converged.succeeds(f"{broken} --entrypoint true {image}")
