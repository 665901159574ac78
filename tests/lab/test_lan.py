"""The ports that a neighbor on the LAN can reach.

QEMU's user networking has no second machine, so the guest gets one: a network namespace behind an
interface of the host that is neither Docker's nor loopback, like a LAN's card. Its packets take the
same way through the kernel as those of another machine.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable

import pytest

from tests.lab.conftest import CURL, ENGINE, Workstation

pytestmark = pytest.mark.long

LAN = ("192.168.0.15", "10.77.0.1")
"""Addresses of the host; the second is on the neighbor's own network."""
ALLOWED = {22, 80}
OLLAMA = 11434
DOCKER_API = {2375, 2376}

# Its name must not look like Docker's (docker0, br-*, veth*), nor match the guest's own network
# configuration (en*).
_NEIGHBOUR = """
set -e
ip netns add neighbour
ip link add lan1 type veth peer name eth0 netns neighbour
ip address add 10.77.0.1/24 dev lan1
ip link set lan1 up
ip -n neighbour address add 10.77.0.2/24 dev eth0
ip -n neighbour link set lo up
ip -n neighbour link set eth0 up
ip -n neighbour route add 192.168.0.15/32 via 10.77.0.1
"""

# Prints those of its arguments (address:port) that accept a connection.
_SCAN = """
import asyncio, sys

async def answers(target):
    address, _, port = target.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, int(port)), 10)
    except OSError:
        return ""
    writer.close()
    return target

async def main():
    print(*filter(None, await asyncio.gather(*map(answers, sys.argv[1:]))))

asyncio.run(main())
"""

# Prints name and address:port of everything that containers listen on, except on their loopback.
_IN_CONTAINERS = r"""
for id in $(docker ps -q); do
  set -- $(docker inspect -f \
    '{{.Name}} {{.State.Pid}}{{range .NetworkSettings.Networks}} {{.IPAddress}}{{end}}' "$id")
  name=$1 pid=$2; shift 2
  for port in $(nsenter --target "$pid" --net ss -Hltn \
      | awk '$4 !~ /^(127\.|\[::1\])/ {sub(/.*:/, "", $4); print $4}' | sort -u); do
    for address; do echo "$name $address:$port"; done
  done
done
"""

_GATEWAYS = r"""ip -o -4 address | awk '$2 ~ /^(docker0|br-)/ {sub(/\/.*/, "", $4); print $4}'"""

_ASK_OLLAMA = (
    'docker exec dhoch3-fooocus-1 python3 -c "import urllib.request as r; print(r.urlopen('
    f"'http://host.docker.internal:{OLLAMA}/api/version', timeout=10).status)\""
)


# Part of a network from Docker's last pool, in a container of its own.
_ASK_OLLAMA_FROM_A_LATE_NETWORK = (
    "docker run --rm --network late --add-host host.docker.internal:host-gateway"
    " --entrypoint python3 $(docker inspect -f '{{.Config.Image}}' dhoch3-fooocus-1) -c"
    ' "import urllib.request as r; print(r.urlopen('
    f"'http://host.docker.internal:{OLLAMA}/api/version', timeout=60).status)\""
)


def _scan(machine: Workstation, targets: Iterable[str], before: str = "") -> set[str]:
    """Return those targets that accept a connection from the host.

    + before: the command in front of the scan
    """
    return set(
        machine.run(f"{before} python3 -c {shlex.quote(_SCAN)} {' '.join(sorted(targets))}").split()
    )


def _neighbour_reaches(machine: Workstation, targets: Iterable[str]) -> set[str]:
    """Return those targets that accept a connection from the neighbor."""
    return _scan(machine, targets, "ip netns exec neighbour")


def _ports(machine: Workstation) -> set[int]:
    """Return every port on which the host listens, on any address, and some on which nothing may
    listen."""
    listed = machine.run("ss -Hltn").splitlines()
    found = {int(line.split()[3].rpartition(":")[2]) for line in listed}
    assert {OLLAMA, *ALLOWED} <= found
    return found | DOCKER_API


def _in_containers(machine: Workstation) -> dict[str, str]:
    """Return address:port -> container for all listeners in containers, as far as they answer the
    host itself: if one of these is silent to a neighbor, something is blocking the neighbor."""
    listed = dict(line.split()[::-1] for line in machine.run(_IN_CONTAINERS).splitlines())
    open_here = _scan(machine, listed)
    found = {target: name for target, name in listed.items() if target in open_here}
    assert set(found.values()) == set(machine.containers())
    return found


def _of(addresses: Iterable[str], ports: Iterable[int]) -> set[str]:
    ports = set(ports)
    return {f"{address}:{port}" for address in addresses for port in ports}


def _published(containers: dict[str, str]) -> set[str]:
    """Return the address at which Traefik itself listens for its published port: a neighbor with a
    route may connect to it either there or at the host."""
    return {
        target
        for target, name in containers.items()
        if name == "/proxy-traefik-1" and target.endswith(":80")
    }


def _only_what_is_allowed(machine: Workstation) -> None:
    """Assert what a neighbor reaches that has routes to the LAN's address and to all of Docker's
    networks."""
    machine.run("ip -n neighbour route replace default via 10.77.0.1")
    ports, containers = _ports(machine), _in_containers(machine)
    gateways = machine.run(_GATEWAYS).split()
    assert "172.17.0.1" in gateways
    ours = _of([*LAN, *gateways], ports | {int(one.rpartition(":")[2]) for one in containers})
    reached = _neighbour_reaches(machine, ours | containers.keys())
    assert reached >= _of(LAN, ALLOWED)
    assert reached - _of([*LAN, *gateways], ALLOWED) - _published(containers) == set()


def test_a_neighbour_reaches_ssh_and_the_proxy_alone(converged: Workstation) -> None:
    """Of all ports on which the host listens; the proxy serves requests."""
    converged.run(_NEIGHBOUR)
    reached = _neighbour_reaches(converged, _of(LAN, _ports(converged)))
    assert reached == _of(LAN, ALLOWED)
    ask = (
        f"ip netns exec neighbour {CURL} -s -o /dev/null -w '%{{http_code}}' --max-time 30"
        f" -H 'Host: comfyui.localhost' http://{LAN[0]}/system_stats"
    )
    # Traefik's connection to Docker may be new after a restore.
    deadline = time.monotonic() + 120
    while (status := converged.run(ask, check=False)) != "200" and time.monotonic() < deadline:
        time.sleep(2)
    assert status == "200"


def test_a_neighbour_with_routes_to_dockers_networks_reaches_no_more(
    converged: Workstation,
) -> None:
    """Neither Ollama on the bridge's address nor any listener in a container."""
    converged.run(_NEIGHBOUR)
    _only_what_is_allowed(converged)


def test_containers_are_closed_on_a_machine_that_forwards_for_others(
    converged: Workstation,
) -> None:
    """Docker before 28 relies on the policy of the forward chain, which is open if something else
    turned on forwarding before. The guard blocks the neighbor there, and nothing else does. Docker
    28 drops such packets itself."""
    converged.run(_NEIGHBOUR)
    converged.run("iptables -P FORWARD ACCEPT")
    _only_what_is_allowed(converged)
    containers = _in_containers(converged)
    converged.run("systemctl stop ai-workstation-guard.service")
    reached = _neighbour_reaches(converged, containers)
    if ENGINE == "distribution":
        assert reached > _published(containers)
    else:
        assert reached <= _published(containers)
    converged.run("systemctl start ai-workstation-guard.service")
    assert _neighbour_reaches(converged, containers) <= _published(containers)


def test_ufw_keeps_containers_from_ollama_until_a_run_lets_them(converged: Workstation) -> None:
    """An active ufw drops packets from containers to the host, here also because of a rule that
    comes first. A run of tasks/ollama.py puts its rules before it, for networks of any pool, and
    neighbors gain nothing. Acceptance passes, and the next run changes nothing."""
    assert converged.run(_ASK_OLLAMA) == "200\n"
    converged.run(
        "set -e; export DEBIAN_FRONTEND=noninteractive; apt-get -qq update;"
        "apt-get -qq install --yes ufw; ufw deny 11434; ufw allow 22; ufw allow 80;"
        "ufw --force enable; docker network create --subnet 192.168.240.0/20 late"
    )
    assert not converged.succeeds(_ASK_OLLAMA)
    run = converged.pyinfra("tasks/ollama.py", "tasks/acceptance.py", "-y")
    assert run.status == 0, run.error
    assert [name.rpartition("| ")[2] for name in run.changed] == [
        "Firewall lets containers reach Ollama"
    ]
    assert converged.run(_ASK_OLLAMA) == "200\n"
    assert converged.run(_ASK_OLLAMA_FROM_A_LATE_NETWORK) == "200\n"
    converged.run("docker network rm late")
    converged.run(_NEIGHBOUR)
    _only_what_is_allowed(converged)
    assert converged.pyinfra("tasks/ollama.py", "-y").changed == []
