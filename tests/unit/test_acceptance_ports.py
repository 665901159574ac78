"""The ports that the LAN can reach, compared with those that are allowed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.harness import programs
from tests.unit.acceptance_stacks import configured, made_up
from workstation.acceptance import Answer
from workstation.acceptance.ports import offers, port_probe
from workstation.findings import Finding
from workstation.stack import Stack, parse

PROXY = parse(
    "name: proxy\nservices:\n  traefik: {image: 'traefik:v3', ports: ['80:80']}\n", "/opt/proxy"
)
# From a converged Ubuntu 24.04, where systemd holds SSH's port until the first connection.
BRIDGES = """\
bridge docker0 172.17.0.1
bridge br-0123456789ab 172.18.0.1
bridge br-0123456789ab fe80::1
bridge containers 10.9.0.1"""
SOCKETS = """\
socket /run/dbus/system_bus_socket dbus.socket dbus.service
socket 172.17.0.1:11434 ollama-docker.socket ollama-docker.service
socket [::]:22 ssh.socket ssh.service"""
LISTEN = """\
listen udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=600,fd=14))
listen tcp LISTEN 0 4096 127.0.0.1:11434 0.0.0.0:* users:(("ollama",pid=812,fd=3))
listen tcp LISTEN 0 4096 172.17.0.1:11434 0.0.0.0:* users:(("systemd",pid=1,fd=51))
listen tcp LISTEN 0 4096 0.0.0.0:80 0.0.0.0:* users:(("docker-proxy",pid=900,fd=4))
listen tcp LISTEN 0 4096 [::]:80 [::]:* users:(("docker-proxy",pid=906,fd=4))
listen tcp LISTEN 0 4096 *:22 *:* users:(("systemd",pid=1,fd=87))
listen tcp LISTEN 0 4096 [::ffff:127.0.0.1]:9000 *:* users:(("java",pid=901,fd=4))"""
GROUPS = """\
group 1 /init.scope
group 600 /system.slice/systemd-resolved.service
group 812 /system.slice/ollama.service
group 900 /system.slice/docker.service
group 906 /system.slice/docker.service"""
IDS = {"traefik": "a" * 64, "web": "b" * 64, "other": "c" * 64}


def container(name: str, ports: str, project: str = "", image: str = "x:1") -> str:
    return "container " + json.dumps([IDS[name], name, image, ports, project, name])


TRAEFIK = container("traefik", "0.0.0.0:80->80/tcp, [::]:80->80/tcp", "proxy", "traefik:v3")


def seen(*lines: str) -> str:
    return "\n".join([BRIDGES, TRAEFIK, *lines, SOCKETS, LISTEN, GROUPS])


def judged(*lines: str, stacks: tuple[Stack, ...] = (PROXY,), **changes: Any) -> dict[str, str]:
    """Return what the LAN can reach -> the verdict on it."""
    entered = changes.pop("entered", 0)
    found = offers(seen(*lines), configured(**changes), stacks, entered)
    return {str(offer): offer.judgement for offer in found}


def test_a_converged_host_offers_ssh_and_the_proxy():
    """Loopback and Docker's bridges do not belong to the LAN; a socket of Docker's helper belongs
    to the container."""
    assert judged() == {"22 ssh.socket": "allowed", "80 proxy/traefik": "allowed"}


@pytest.mark.parametrize(
    ("listener", "group", "holder", "judgement"),
    [
        ("tcp LISTEN 0 9 0.0.0.0:11434 *:* ollama", "ollama.service", "11434 ollama", "ours"),
        (
            "tcp LISTEN 0 9 192.168.0.20:11434 *:* systemd-socket-",
            "ollama-docker.service",
            "11434 systemd-socket-",
            "ours",
        ),
        ("tcp LISTEN 0 9 *:11434 *:* ollama", "session-4.scope", "11434 ollama", "ours"),
        ("tcp LISTEN 0 9 0.0.0.0:2222 *:* sshd", "ssh.service", "2222 sshd", "allowed"),
        ("tcp LISTEN 0 9 0.0.0.0:445 *:* smbd", "smbd.service", "445 smbd", "other"),
        ("tcp LISTEN 0 9 [::]:631 [::]:* cupsd", "cups.service", "631 cupsd", "other"),
        ("udp UNCONN 0 0 0.0.0.0:5353 *:* avahi", "avahi.service", "5353/udp avahi", "other"),
        ("udp UNCONN 0 0 192.168.0.20%enp5s0:68 *:* net", "n.service", "68/udp net", "other"),
        ("udp UNCONN 0 0 224.0.0.251:5353 *:* chrome", "x.scope", "5353/udp chrome", "other"),
        ("udp UNCONN 0 0 [fe80::2]%enp5s0:546 *:* net", "n.service", "546/udp net", "other"),
        ("tcp LISTEN 0 9 0.0.0.0:7946 *:* docker-proxy", "x.service", "7946 docker-proxy", "other"),
        ("tcp LISTEN 0 9 172.18.0.1:53 *:* dnsmasq", "x.service", "", ""),
        ("tcp LISTEN 0 9 127.0.0.2:53 *:* dnsmasq", "x.service", "", ""),
        ("udp UNCONN 0 0 [fe80::1]%br-0123456789ab:53 *:* dns", "x.service", "", ""),
    ],
)
def test_each_listener_is_judged_by_its_unit_and_address(
    listener: str, group: str, holder: str, judgement: str
):
    line, _, program = listener.rpartition(" ")
    found = judged(
        f'listen {line} users:(("{program}",pid=4000,fd=3),("systemd",pid=1,fd=4))',
        f"group 4000 /system.slice/{group}",
    )
    expected = {"22 ssh.socket": "allowed", "80 proxy/traefik": "allowed"}
    assert found == expected | ({holder: judgement} if holder else {})


def test_what_the_kernel_holds_has_no_name():
    """For example NFS."""
    assert judged("listen tcp LISTEN 0 64 0.0.0.0:2049 0.0.0.0:*")["2049 ?"] == "other"


def test_the_port_that_this_run_came_in_by_is_allowed_whoever_holds_it():
    line = 'listen tcp LISTEN 0 9 0.0.0.0:2200 *:* users:(("dropbear",pid=4000,fd=3))'
    assert judged(line)["2200 dropbear"] == "other"
    assert judged(line, entered=2200)["2200 dropbear"] == "allowed"


@pytest.mark.parametrize(
    ("ports", "published", "expected"),
    [
        (["8080:80"], "0.0.0.0:8080->80/tcp", {"8080 s/web": "allowed"}),
        (["127.0.0.1:8188:8188"], "127.0.0.1:8188->8188/tcp", {}),
        (["127.0.0.1:8188:8188"], "0.0.0.0:8188->8188/tcp", {"8188 s/web": "ours"}),
        ([], ":::8188->8188/tcp", {"8188 s/web": "ours"}),
        ([], "8188/tcp", {}),
        (["1234:53/udp"], "0.0.0.0:1234->53/udp", {"1234/udp s/web": "allowed"}),
        (["1234:53/tcp"], "0.0.0.0:1234->53/udp", {"1234/udp s/web": "ours"}),
        (
            [{"target": 53, "published": "1234", "protocol": "udp"}],
            "0.0.0.0:1234->53/udp",
            {"1234/udp s/web": "allowed"},
        ),
        (
            ["8000-8001:80-81"],
            "0.0.0.0:8000-8002->80-82/tcp",
            {"8000 s/web": "allowed", "8001 s/web": "allowed", "8002 s/web": "ours"},
        ),
    ],
)
def test_what_a_stack_publishes_on_purpose_is_allowed(
    ports: list[Any], published: str, expected: dict[str, str]
):
    """Even without a listener, because the kernel itself forwards connections."""
    stack = made_up(web={"image": "w:1", "ports": ports})
    found = judged(container("web", published, "s"), stacks=(PROXY, stack))
    assert {name: one for name, one in found.items() if "web" in name} == expected


def test_a_service_with_the_hosts_network_listens_there_itself():
    stack = made_up(web={"image": "w:1", "network_mode": "host"})
    lines = (
        container("web", "", "s"),
        'listen tcp LISTEN 0 9 0.0.0.0:7860 *:* users:(("python3",pid=4000,fd=3))',
        f"group 4000 /system.slice/docker-{IDS['web']}.scope",
    )
    assert judged(*lines, stacks=(PROXY, stack))["7860 python3 in s/web"] == "ours"
    assert judged(*lines)["7860 python3 in s/web"] == "other"


def test_containers_of_others_are_not_our_business():
    found = judged(container("other", "0.0.0.0:3000->3000/tcp"))
    assert found["3000 other"] == "other"


def test_the_existing_proxy_is_allowed_container_or_not():
    lines = (
        container("other", "0.0.0.0:443->443/tcp", image="docker.io/library/traefik:v3@sha256:ab"),
        container("web", "0.0.0.0:3000->3000/tcp", image="grafana:1"),
        'listen tcp LISTEN 0 9 0.0.0.0:8443 *:* users:(("traefik",pid=4000,fd=3))',
    )
    found = judged(*lines, stacks=(), proxy="existing")
    assert found["443 other"] == found["80 proxy/traefik"] == found["8443 traefik"] == "allowed"
    assert found["3000 web"] == "other"
    assert judged(*lines)["443 other"] == "other"


# Findings


def findings(output: str, ok: bool = True) -> dict[str, Finding]:
    probe = port_probe(configured(), (PROXY,), 22)
    found = probe.findings(Answer(ok, output, 0 if ok else 1))
    return {finding.name: finding for finding in found}


OPEN, OTHERS = "ports open to the LAN", "ports of other programs open to the LAN"


def test_a_port_of_ours_that_is_not_allowed_fails():
    found = findings(seen('listen tcp LISTEN 0 9 *:11434 *:* users:(("ollama",pid=812,fd=3))'))
    assert not found[OPEN].ok
    assert not found[OPEN].note
    assert found[OPEN].detail == "not allowed: 11434 ollama"
    assert "tcp LISTEN 0 9 *:11434" in found[OPEN].evidence
    assert "127.0.0.1" not in found[OPEN].evidence
    assert found[OTHERS].ok


def test_ports_of_others_are_a_note_that_lists_them():
    found = findings(
        seen(
            'listen tcp LISTEN 0 9 0.0.0.0:445 *:* users:(("smbd",pid=4000,fd=3))',
            'listen tcp LISTEN 0 9 [::]:445 *:* users:(("smbd",pid=4000,fd=4))',
            'listen udp UNCONN 0 0 0.0.0.0:5353 *:* users:(("avahi-daemon",pid=4001,fd=3))',
        )
    )
    assert found[OPEN].ok
    assert found[OPEN].detail == "all allowed: 22 ssh.socket, 80 proxy/traefik"
    assert "traefik 0.0.0.0:80->80/tcp" in found[OPEN].evidence
    assert (found[OTHERS].ok, found[OTHERS].note) == (False, True)
    assert found[OTHERS].detail == "445 smbd, 5353/udp avahi-daemon"


def test_a_host_that_cannot_list_its_sockets_fails():
    found = findings(f"{BRIDGES}\nsh: 1: ss: not found", ok=False)
    assert list(found) == [OPEN]
    assert (found[OPEN].ok, found[OPEN].detail) == (False, "sh: 1: ss: not found")


@pytest.mark.parametrize("line", ["listen tcp", "container [", "container [1]"])
def test_what_cannot_be_read_fails_and_does_not_pass(line: str):
    found = findings(line)
    assert list(found) == [OPEN]
    assert not found[OPEN].ok


def test_the_script_asks_who_holds_a_socket(tmp_path: Path):
    """This process plays the role of the listener."""
    environment = programs(
        tmp_path,
        ip=r"echo '3: docker0    inet 172.17.0.1/16 scope global docker0\  valid_lft forever'",
        docker="""printf '%s\\n' "$3" "$4" | sed 's/{{json .ID}}.*/1]/'""",
        systemctl="echo '  0.0.0.0:22   ssh.socket   ssh.service'",
        ss=f"""echo 'tcp LISTEN 0 9 *:1 *:* users:(("x",pid={os.getpid()},fd=3))'""",
    )
    probe = port_probe(configured(), (PROXY,), 22)
    done = subprocess.run(
        ["sh", "-c", probe.script, "sh", *probe.arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "bridge docker0 172.17.0.1"
    assert lines[1:4] == [
        "--format",
        "container [1]",
        "socket 0.0.0.0:22   ssh.socket   ssh.service",
    ]
    assert lines[4].startswith("listen tcp LISTEN 0 9 *:1")
    assert lines[5].startswith(f"group {os.getpid()} /")
    refused = {**environment, **programs(tmp_path, ss="echo no permission; exit 2")}
    done = subprocess.run(
        ["sh", "-c", probe.script, "sh", *probe.arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **refused},
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "no permission"
