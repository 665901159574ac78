"""Units as systemd reads them: their privileges, the addresses on which they listen, and their
users."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.unit_files import Unit, commands, unit
from workstation.render import template
from workstation.worker import Worker

WORKER = Worker(
    "knowledge-center", "https://a.invalid/b.git", "ab" * 20, "worker", "celery_app.celery", 120
)
PORT = 11500
MODELS = "/vol/models"
ENVIRONMENT = {"OLLAMA_KEEP_ALIVE": "30m"}


def drop_in(**environment: str) -> str:
    return template(
        "ollama/drop-in.conf.j2", models=MODELS, port=PORT, environment=environment or ENVIRONMENT
    )


UNITS = {
    "ollama.service": template("ollama/ollama.service.j2"),
    "ollama-docker.service": template("ollama/ollama-docker.service.j2", port=PORT, manage=False),
    "ollama-docker.socket": template("ollama/ollama-docker.socket.j2", port=PORT).replace(
        "@BRIDGE@", "172.17.0.1"
    ),
    "ollama-docker-guard.service": template("ollama/ollama-docker-guard.service.j2", port=PORT),
    "ai-workstation-guard.service": template(
        "docker/ai-workstation-guard.service.j2", ollama_port=PORT
    ),
    "ai-workstation-containers.service": template(
        "docker/ai-workstation-containers.service.j2", projects=["proxy", "s"], share="/mnt/a%b"
    ),
    WORKER.unit: template("worker/worker.service.j2", worker=WORKER),
    "ai-workstation-tls.service": template(
        "tls/ai-workstation-tls.service.j2",
        script="/etc/ai-workstation/tls.sh",
        arguments=["/etc/ai-workstation/tls", "/home/a b/%n/proxy/routes/tls.yml", "a.example"],
        writes=["/etc/ai-workstation/tls", "/home/a b/%n/proxy/routes"],
    ),
    "ai-workstation-tls.timer": template("tls/ai-workstation-tls.timer.j2"),
}

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze here (package systemd)"
)


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on the units, which does not need a running systemd."""
    for name, text in UNITS.items():
        (folder / name).write_text(text)
    (folder / "ollama.service.d").mkdir()
    (folder / "ollama.service.d/zz-ai-workstation.conf").write_text(drop_in())
    return subprocess.run(
        ["systemd-analyze", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )


def protections(folder: Path, name: str) -> dict[str, bool]:
    """Return each protection that systemd knows -> whether a unit has it."""
    done = analyze(folder, "security", "--offline=true", "--json=short", f"./{name}")
    return {one["json_field"]: bool(one["set"]) for one in json.loads(done.stdout)}


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_every_line(tmp_path: Path, name: str):
    """A key that it does not know, or that is in the wrong section, has no effect."""
    done = analyze(tmp_path, "verify", f"./{name}")
    said = [line for line in done.stderr.splitlines() if line.startswith((name, f"{tmp_path}/"))]
    # The programs are not on this machine.
    assert [line for line in said if "is not executable" not in line] == []


@needs_systemd
def test_the_workers_own_code_may_do_what_a_worker_must(tmp_path: Path):
    """According to systemd; it is the user's own code, and it runs on the host."""
    found = protections(tmp_path, "knowledge-center-worker.service")
    lacking = {
        *("UserOrDynamicUser", "NoNewPrivileges", "RestrictSUIDSGID", "SupplementaryGroups"),
        *("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "DeviceAllow"),
        *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables"),
        *("LockPersonality", "RemoveIPC", "AmbientCapabilities"),
        *(f"RestrictAddressFamilies_{name}" for name in ("AF_PACKET", "AF_NETLINK", "OTHER")),
    } - {name for name, given in found.items() if given}
    assert lacking == set()
    capabilities = {name for name in found if name.startswith("CapabilityBoundingSet_")}
    assert len(capabilities) > 20
    assert [name for name in capabilities if not found[name]] == []


ALL_OPEN = {
    # Each unit is for the network of the machine, or for its own users and files.
    *("PrivateMounts", "PrivateNetwork", "PrivateUsers", "RootDirectoryOrRootImage"),
    *("DeviceAllow", "IPAddressDeny", "ProcSubset"),
    # Parts of @system-service, which ordinary programs use.
    *("SystemCallFilter_privileged", "SystemCallFilter_resources"),
}
AS_ROOT = {"UserOrDynamicUser", "RestrictAddressFamilies_AF_UNIX"}
INTERNET = {"RestrictAddressFamilies_AF_INET_INET6", "RestrictAddressFamilies_AF_UNIX"}
GUARD = {
    *AS_ROOT,
    *("CapabilityBoundingSet_CAP_NET_ADMIN", "RestrictAddressFamilies_AF_NETLINK"),
    "PrivateDevices",
}
OPEN = {
    "ollama.service": {
        *INTERNET,
        *("RestrictAddressFamilies_AF_NETLINK", "MemoryDenyWriteExecute"),
        *("PrivateDevices", "ProtectClock"),  # they would deny the card
        *("ProtectHome", "ProtectSystem"),  # in part: where its files are, differs
        *("RemoveIPC", "UMask"),
    },
    "ollama-docker.service": {*INTERNET, "MemoryDenyWriteExecute"},
    "ollama-docker-guard.service": GUARD,
    "ai-workstation-guard.service": GUARD,
    "ai-workstation-containers.service": {
        *AS_ROOT,
        *("CapabilityBoundingSet_CAP_SYS_ADMIN", "ProtectHome"),
    },
    "knowledge-center-worker.service": {*INTERNET, "MemoryDenyWriteExecute", "ProtectClock"},
    "ai-workstation-tls.service": {*AS_ROOT, "ProtectHome"},
}
"""Protections that a unit does without. The comments in the unit say why."""


@needs_systemd
@pytest.mark.parametrize("name", OPEN)
def test_a_unit_has_every_protection_that_its_program_bears(tmp_path: Path, name: str):
    """According to systemd. Its measure goes from 0 to 10; without these lines, it was 8.4 to 9.6,
    and 4.5 for the worker."""
    done = analyze(tmp_path, "security", "--offline=true", "--json=short", f"./{name}")
    # None: it does not apply, as removing the System V objects of root.
    lacking = {one["json_field"] for one in json.loads(done.stdout) if one["set"] is False}
    assert lacking - OPEN[name] - ALL_OPEN == set()
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", f"./{name}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_renewal_of_the_certificate_can_write_where_its_files_are():
    """The authority's folder and Traefik's, wherever the stacks are; nothing else."""
    found = unit(UNITS["ai-workstation-tls.service"])
    assert found.one("Service", "ProtectSystem") == "strict"
    (writes,) = found.all("Service", "ReadWritePaths")
    assert shlex.split(writes) == ["-/etc/ai-workstation/tls", "-/home/a b/%%n/proxy/routes"]
    (command,) = commands(found, "ExecStart")
    assert command[2:5] == ["renew", "/etc/ai-workstation/tls", "/home/a b/%n/proxy/routes/tls.yml"]


def test_ollama_can_write_where_its_files_are():
    """The home of its user, and its models, wherever they are. A missing folder is no error."""
    found = unit(UNITS["ollama.service"], drop_in())
    assert found.one("Service", "ProtectSystem") == "full"
    assert found.one("Service", "ProtectHome") == "read-only"
    writable = found.words("Service", "ReadWritePaths")
    assert writable == ["-/usr/share/ollama", "-/home/ollama", f'"-{MODELS}"']


def test_ollama_keeps_its_card():
    """No line denies devices. Root creates missing device nodes first, because a program without
    new privileges cannot; without the programs, the unit starts nevertheless."""
    found = unit(UNITS["ollama.service"], drop_in())
    for key in ("PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock", "ProcSubset"):
        assert found.all("Service", key) == []
    before = found.all("Service", "ExecStartPre")
    assert [one.split("/")[-1] for one in before] == ["nvidia-smi -L", "nvidia-modprobe -c 0 -u"]
    assert all(one.startswith("+-/usr/bin/timeout 30 ") for one in before)


@needs_systemd
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("ollama.service", ["UserOrDynamicUser"]),
        ("ollama-docker.service", ["UserOrDynamicUser", "NoNewPrivileges", "PrivateTmp"]),
    ],
)
def test_what_answers_requests_is_not_root(tmp_path: Path, name: str, given: list[str]):
    """According to systemd."""
    found = protections(tmp_path, name)
    assert [one for one in given if not found[one]] == []


def test_the_worker_has_its_password_and_a_place_to_write_and_ends_in_peace():
    """The file with its password belongs to root; an update waits for running tasks."""
    found = unit(UNITS["knowledge-center-worker.service"])
    assert found.yes("Service", "DynamicUser")
    assert found.all("Service", "EnvironmentFile") == [WORKER.environment_file]
    assert found.one("Service", "StateDirectory") == "knowledge-center-worker"
    assert found.one("Service", "KillMode") == "mixed"
    assert int(found.one("Service", "TimeoutStopSec")) > WORKER.timeout
    # systemctl would show a password in the unit itself to everybody.
    assert not {"REDIS_URL", "REDIS_PASSWORD"} & found.environment().keys()


def test_ollama_runs_as_its_own_user():
    """And with its own group."""
    found = unit(UNITS["ollama.service"], drop_in())
    assert (found.one("Service", "User"), found.one("Service", "Group")) == ("ollama", "ollama")


def test_ollama_listens_on_loopback_whatever_another_drop_in_says():
    """It has no login. Because of its name, our drop-in comes after others."""
    theirs = '[Service]\nEnvironment="OLLAMA_HOST=0.0.0.0"\n'
    for texts in ([], [theirs]):
        found = unit(UNITS["ollama.service"], *texts, drop_in())
        assert found.environment()["OLLAMA_HOST"] == f"127.0.0.1:{PORT}"
        assert found.environment()["OLLAMA_MODELS"] == MODELS


def test_ollama_does_not_start_where_its_disk_is_not_mounted():
    """Its models would fill the system's disk."""
    found = unit(UNITS["ollama.service"], drop_in())
    assert found.words("Unit", "RequiresMountsFor") == [MODELS]


@pytest.mark.parametrize("value", ['a "b" c', "c:\\d", "50%h", 'x" "OLLAMA_HOST=0.0.0.0', "'q'"])
def test_a_value_of_the_users_reaches_ollama_as_it_is(value: str):
    """No character of it has a meaning for systemd, or begins another variable."""
    found = unit(UNITS["ollama.service"], drop_in(OLLAMA_X=value)).environment()
    assert found["OLLAMA_X"] == value
    assert found["OLLAMA_HOST"] == f"127.0.0.1:{PORT}"
    assert set(found) == {"OLLAMA_HOST", "OLLAMA_MODELS", "OLLAMA_X"}


def test_ollamas_socket_is_on_the_bridges_address_alone():
    """That address exists only once Docker runs."""
    found = unit(template("ollama/ollama-docker.socket.j2", port=PORT))
    listens = {key: values for (_, key), values in found.values.items() if key.startswith("Listen")}
    assert listens == {"ListenStream": [f"@BRIDGE@:{PORT}"]}
    assert found.yes("Socket", "FreeBind")
    assert found.words("Install", "WantedBy") == ["sockets.target"]


def test_requests_of_containers_go_through_the_filter():
    """In the foreground and with its own configuration, not that of somebody's HAProxy."""
    found = unit(UNITS["ollama-docker.service"])
    (command,) = commands(found, "ExecStart")
    assert command == ["/usr/sbin/haproxy", "-db", "-f", "/etc/ai-workstation/ollama-docker.cfg"]
    assert found.yes("Service", "DynamicUser")
    assert found.words("Unit", "Requires") == ["ollama-docker.socket"]


def test_connections_of_containers_that_may_manage_go_to_ollama_on_loopback():
    """They go nowhere else."""
    found = unit(template("ollama/ollama-docker.service.j2", port=PORT, manage=True))
    (command,) = commands(found, "ExecStart")
    assert command[0].endswith("/systemd-socket-proxyd")
    assert command[-1] == f"127.0.0.1:{PORT}"
    assert [
        word for word in command[1:-1] if not re.fullmatch(r"--connections-max=\d+", word)
    ] == []
    assert found.yes("Service", "DynamicUser")
    assert found.yes("Service", "PrivateTmp")
    assert found.words("Unit", "Requires") == ["ollama-docker.socket"]


def test_containers_that_could_not_start_are_tried_again():
    """A share may come late: until then, the unit fails and is restarted."""
    found = unit(UNITS["ai-workstation-containers.service"])
    assert found.one("Service", "Restart") == "on-failure"
    assert found.one("Unit", "StartLimitIntervalSec") == "0"
    assert "docker.service" in found.words("Unit", "After")


def test_the_reader_reads_as_systemd_does():
    """A self-check: an empty value resets, a backslash joins lines, and comments may come in
    between."""
    text = "[A]\nX=1\nX=\nX=2 \\\n# no\n  3\n; no\n[B]\nX=a\n"
    found = unit(text)
    assert found == Unit({("A", "X"): ["2  3"], ("B", "X"): ["a"]})
    assert unit("[S]\nDynamicUser=yes\n").yes("S", "DynamicUser")
