"""A run that is interrupted: by a person, by the kernel, by the network."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import Workstation
from tests.lab.state import differences, state

LOCKED = "pgrep -f '^ai-workstation-lock: '"


def _begun(machine: Workstation, process: subprocess.Popen[str], sign: str) -> None:
    """Wait for a sign of the run's work, given as a shell condition on the machine."""
    deadline = time.monotonic() + 300
    while not machine.succeeds(sign):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.5)


def _interrupt(process: subprocess.Popen[str], _: Workstation) -> None:
    os.kill(process.pid, signal.SIGINT)


def _kill(process: subprocess.Popen[str], _: Workstation) -> None:
    os.kill(process.pid, signal.SIGKILL)


def _cut_connection(_: subprocess.Popen[str], machine: Workstation) -> None:
    machine.run("pkill -KILL -f '^sshd-session: operator' || pkill -KILL -f '^sshd: operator'")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        pytest.param(_interrupt, 130, id="ctrl-c", marks=pytest.mark.long),
        pytest.param(_kill, -signal.SIGKILL, id="killed", marks=pytest.mark.long),
        pytest.param(_cut_connection, 1, id="connection cut", marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_ended_in_the_middle_is_finished_by_the_next(
    end: Callable[..., None], code: int, converged: Workstation, checkout: Callable[[], Path]
) -> None:
    """It is interrupted while an image is built. The lock does not block the next run, which does
    the rest."""
    copy = checkout()
    start = copy / "templates" / "stacks" / "dhoch3" / "fooocus" / "entrypoint.py"
    start.write_text(start.read_text() + "\n")
    before = state(converged)
    process = converged.start("tasks/stacks.py", "-y", folder=copy)
    _begun(converged, process, "pgrep -f 'docker buildx bake' || pgrep -f docker-buildx")
    assert converged.succeeds(LOCKED)
    end(process, converged)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    assert "Traceback" not in output

    deadline = time.monotonic() + 100
    while converged.succeeds(LOCKED):
        assert time.monotonic() < deadline, "the lock of a run that is gone is held"
        time.sleep(1)
    run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    assert run.status == 0, run.error
    different = [line.partition(": ")[0] for line in differences(before, state(converged))]
    assert "container /dhoch3-fooocus-1" in different
    of_the_stack = ("/compose.yaml", "/dhoch3.yaml")
    others = [one for one in different if "fooocus" not in one and not one.endswith(of_the_stack)]
    assert others == []
    assert converged.pyinfra("tasks/stacks.py", "-y", folder=copy).changed == []
