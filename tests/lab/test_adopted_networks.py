"""Networks and GPUs on an adopted machine: machines that reached containers still do, and
containers that had the GPU still have it."""

from __future__ import annotations

import pytest

from tests.lab.conftest import Workstation
from tests.lab.test_adopted import run_of, theirs

pytestmark = pytest.mark.long

# Replaces NVIDIA's legacy hook, which `docker run --gpus` runs: it mounts a device into the
# container and allows it without systemd's knowledge, here by removing the filter.
_HOOK = r"""
cat >/usr/local/bin/nvidia-container-runtime-hook <<'END'
#!/bin/sh
[ "$1" = prestart ] || exit 0
state=$(cat)
pid=$(printf %s "$state" | sed -n 's/.*"pid":\([0-9]*\).*/\1/p')
bundle=$(printf %s "$state" | sed -n 's/.*"bundle":"\([^"]*\)".*/\1/p')
root=$(sed -n 's/.*"root":{"path":"\([^"]*\)".*/\1/p' "$bundle/config.json")
nsenter -t "$pid" -m sh -c \
  'touch "$1/dev/nvidia7"; mount --bind /dev/nvidia7 "$1/dev/nvidia7"' sh "$root"
group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
for id in $(bpftool cgroup show "$group" | awk '$2 == "cgroup_device" {print $1}'); do
  bpftool cgroup detach "$group" cgroup_device id "$id"
done
END
chmod +x /usr/local/bin/nvidia-container-runtime-hook
mknod /dev/nvidia7 c 1 11
DEBIAN_FRONTEND=noninteractive apt-get install -y bpftool
systemctl restart docker
for name in train other; do docker run -d --name $name --gpus all theirs:1 sleep 1000000; done
"""


def _opens(machine: Workstation, name: str) -> bool:
    """Return whether a container can open the device."""
    return machine.succeeds(f"docker exec {name} sh -c ': >/dev/nvidia7'")


def test_containers_keep_the_gpu_that_systemd_does_not_know_of(bare: Workstation) -> None:
    """They are named in preflight and plan. A container that systemd is not told about loses it, as
    the last one shows. The device is the kernel's log, because there is no card."""
    before = theirs(bare, more=_HOOK)
    assert _opens(bare, "train")
    assert _opens(bare, "other")
    run = bare.pyinfra("tasks/preflight.py", "tasks/docker.py", "-y")
    assert run.status == 0, run.error
    told = " ".join(run.output.split())
    assert "GPU of containers: other, train got the GPU from NVIDIA's hook" in told
    assert "~ container train (registers its GPU with systemd" in told
    bare.run("systemctl daemon-reload")
    assert _opens(bare, "train")
    assert _opens(bare, "other")
    assert run_of(bare) == before
    assert bare.pyinfra("tasks/docker.py", "-y").changed == []
    bare.run("docker restart -t 0 other; systemctl daemon-reload")
    assert not _opens(bare, "other")
    assert _opens(bare, "train")


# A neighbor behind an interface that is not Docker's, one behind a bridge of the LAN with a name
# like Docker's, both with routes to all of Docker's networks, and an open forward chain.
_NEIGHBORS = """
set -e
for name in near far; do
  ip netns add $name
  ip link add $name type veth peer name eth0 netns $name
  ip -n $name link set lo up
done
ip link add br-lan type bridge
ip link set far master br-lan
while read -r name interface network; do
  ip address add $network.1/24 dev $interface
  ip link set $name up; ip link set $interface up
  ip -n $name address add $network.2/24 dev eth0
  ip -n $name link set eth0 up
  ip -n $name route add default via $network.1
done <<'END'
near near 10.77.0
far br-lan 10.88.0
END
iptables -P FORWARD ACCEPT
systemd-run --quiet ip netns exec far python3 -m http.server 9
"""
_NETWORKS = """
while read -r name network mode; do
  docker network create --subnet $network.0/24 \\
    -o com.docker.network.bridge.gateway_mode_ipv4=$mode $name
  docker run -d --name in-$name --network $name --ip $network.9 -p 80 \\
    theirs:1 httpd -f -p 80 -h /bin
done <<'END'
routed 10.99.0 routed
shut 10.96.0 nat
END
"""
_FAR = "10.88.0.2:9"


def _reached(machine: Workstation, name: str) -> set[str]:
    """Return the addresses that a neighbor reaches."""
    connect = "exec 3<>/dev/tcp/${0%:*}/${0#*:}"
    return {
        address
        for address in ("10.99.0.9:80", "10.96.0.9:80", _FAR)
        if machine.succeeds(f"timeout 5 ip netns exec {name} bash -c '{connect}' {address}")
    }


def test_what_docker_routes_is_still_reached(bare: Workstation) -> None:
    """Nothing else of Docker's can be reached, and the LAN behind a bridge named br-lan is not cut
    off. Docker before 27 does not know the mode, but it is still what the network's owner asked
    for."""
    before = theirs(bare, more=_NETWORKS)
    bare.run(_NEIGHBORS)
    assert {"10.99.0.9:80", _FAR} <= _reached(bare, "near")
    run = bare.pyinfra("tasks/docker.py", "-y")
    assert run.status == 0, run.error
    told = " ".join(run.output.split())
    assert "= network routed (Docker lets neighbors in: left as it is)" in told
    assert _reached(bare, "near") == {"10.99.0.9:80", _FAR}
    assert _reached(bare, "far") - {_FAR} == {"10.99.0.9:80"}
    assert run_of(bare) == before
    assert bare.pyinfra("tasks/docker.py", "-y").changed == []
