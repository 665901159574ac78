"""A machine that is busy with other work: every processor, for ten minutes, as with a training run.
No route disappears, no container restarts, and acceptance still passes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.conftest import CURL, Workstation

pytestmark = pytest.mark.long

SERVICES = ("comfyui", "fooocus", "forge", "invokeai", "fluxgym", "ai-toolkit", "dockge")

MINUTES = 10

# Four for each processor, with the same priority as a service, like a careless build.
_BURN = f"""
for number in $(seq $(($(nproc) * 4))); do (while :; do :; done) & done
sleep {MINUTES * 60 + 900}
"""

# One line for each answer: service and status. 000 is no answer in time, which is acceptable for a
# busy service; 404, 502, 503 and 504 are Traefik's answers for a route without a service.
_WATCH = f"""
while :; do
  for service in {" ".join(SERVICES)}; do
    status=$({CURL} -s -o /dev/null -w "%{{http_code}}" --max-time 120 \\
      -H "Host: $service.localhost" http://127.0.0.1/)
    echo "$service $status" >>/run/watched
  done
  sleep 5
done
"""


def _start(machine: Workstation, name: str, script: str) -> None:
    """Run a script on the machine until its unit is stopped."""
    machine.send(script.encode(), f"/run/{name}.sh")
    machine.run(f"systemd-run -q --unit={name} --collect sh /run/{name}.sh")


@contextmanager
def busy(machine: Workstation) -> Iterator[None]:
    """Keep every processor of the machine busy."""
    _start(machine, "busy", _BURN)
    try:
        yield
    finally:
        machine.run("systemctl stop busy", check=False)


def _lost(machine: Workstation) -> list[str]:
    """Return the proxy's answers that mean that a route has no service."""
    lines = machine.run("cat /run/watched").splitlines()
    assert {line.split()[0] for line in lines} == set(SERVICES)
    return [line for line in lines if line.split()[1] in ("404", "502", "503", "504")]


def test_ten_minutes_of_other_work_take_no_route_away(converged: Workstation) -> None:
    """Every service stays behind the proxy, and no container becomes unhealthy or restarts."""
    containers = converged.containers()
    restarts = "docker ps -aq | xargs docker inspect -f '{{.Name}} {{.RestartCount}}'"
    before = converged.run(restarts)
    converged.run("rm -f /run/watched")
    _start(converged, "watch", _WATCH)
    try:
        with busy(converged):
            end = time.monotonic() + MINUTES * 60
            while time.monotonic() < end:
                time.sleep(30)
                unwell = converged.run(
                    "docker ps --filter health=unhealthy --format '{{.Names}}'"
                ).split()
                assert unwell == []
            run = converged.pyinfra("tasks/acceptance.py", "-y")
            assert run.status == 0, run.error
    finally:
        converged.run("systemctl stop watch", check=False)
    assert _lost(converged) == []
    assert converged.containers() == containers
    assert converged.run(restarts) == before


def test_a_run_on_a_busy_machine_changes_what_it_should_and_passes(converged: Workstation) -> None:
    """A re-created container has enough time to become healthy, and the run waits for it."""
    converged.run("docker rm -f dhoch3-fooocus-1")
    with busy(converged):
        run = converged.pyinfra("deploy.py", "-y")
    assert run.status == 0, run.error
    assert run.changed == ["Services of dhoch3"]
