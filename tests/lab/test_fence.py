"""A compromised program in a container: what it reaches of the machine, the file server and Ollama,
before and after Docker starts again."""

from __future__ import annotations

import shlex

import pytest

from tests.lab.conftest import Workstation

pytestmark = pytest.mark.long

CONTAINER = "dhoch3-fooocus-1"
HOST, NAS = "192.168.0.15", "192.168.0.6"
OLLAMA = "http://host.docker.internal:11434"

# Prints those of its arguments (address:port) that accept a connection.
_REACH = """
import socket, sys
for target in sys.argv[1:]:
    address, port = target.rsplit(":", 1)
    try:
        socket.create_connection((address, int(port)), 10).close()
        print(target)
    except OSError:
        pass
"""

# Prints the status of METHOD ADDRESS.
_ASK = """
import sys, urllib.error, urllib.request
asked = urllib.request.Request(sys.argv[2], method=sys.argv[1], data=b"{}")
try:
    print(urllib.request.urlopen(asked, timeout=60).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def inside(machine: Workstation, program: str, *words: str) -> str:
    return machine.run(shlex.join(["docker", "exec", CONTAINER, "python3", "-c", program, *words]))


def attack(machine: Workstation) -> None:
    """Try everything, and one allowed thing."""
    host = (f"{HOST}:22", f"{HOST}:80", "172.17.0.1:22")
    targets = (*host, f"{NAS}:445", "dockge:5001", "dhoch3-dockge-1:5001", "forge:7861")
    assert inside(machine, _REACH, *targets).split() == ["forge:7861"]
    assert inside(machine, _ASK, "DELETE", f"{OLLAMA}/api/delete").strip() == "403"
    assert inside(machine, _ASK, "POST", f"{OLLAMA}/api/pull").strip() == "403"
    assert inside(machine, _REACH, "host.docker.internal:11434").strip()


def test_a_container_reaches_what_it_may_and_nothing_else(converged: Workstation):
    """Also after Docker has made its own rules again."""
    attack(converged)
    converged.run("systemctl restart docker")
    converged.run(f"timeout 300 sh -c 'until docker exec {CONTAINER} true; do sleep 2; done'")
    attack(converged)


def test_haproxys_own_instance_does_not_run(converged: Workstation):
    assert not converged.succeeds("systemctl is-active haproxy.service")
    assert not converged.succeeds("systemctl is-enabled haproxy.service")
