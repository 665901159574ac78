"""Preflight's queries, run on this machine: the shell scripts run for real."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fixtures.harness import command_of, gather, programs, run_here
from workstation.facts.machine import Machine
from workstation.facts.surroundings import Answer, Surroundings, SurroundingsState

HOSTILE = "a b'c\"d$(touch /tmp/never);`id`&|*\\ü%s#"
NO_PROXY = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "")


class Server(http.server.BaseHTTPRequestHandler):
    """Answers HEAD with the status in the path; ``/moved`` redirects to an unreachable place."""

    def do_HEAD(self) -> None:
        moved = self.path == "/moved"
        self.send_response(302 if moved else int(self.path.strip("/") or 200))
        if moved:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve on a loopback port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """A server that answers."""
    with serving() as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A key with its self-signed certificate for 127.0.0.1, and the certificate alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    file = tmp_path_factory.mktemp("authority") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(private + certificate)
    return file, certificate


def asked(
    *addresses: str, stdin: str = "", seconds: int = 4, load: int = 0, before: str = ""
) -> dict[str, Answer]:
    """Query addresses, on a machine with this load; ``before`` is Python code to run first."""
    one = command_of(Surroundings, folders=[], addresses=list(addresses), now=0, seconds=seconds)
    with tempfile.TemporaryDirectory() as folder:
        text = f"import os, socket, time\nos.getloadavg = lambda: ({load}, 0, 0)\n{before}"
        (Path(folder) / "sitecustomize.py").write_text(text)
        done = run_here(replace(one, stdin=stdin), {**NO_PROXY, "PYTHONPATH": folder})
    assert done.returncode == 0, done.stderr
    state: SurroundingsState = Surroundings().process(done.stdout.splitlines())
    return state.answers


def one(address: str, **arguments: Any) -> Answer:
    return asked(address, **arguments)[address]


@pytest.mark.parametrize("status", ["200", "401", "404", "503"])
def test_a_server_that_answers_gives_its_status(upstream: str, status: str):
    """No matter whether it likes the request."""
    assert one(upstream + status) == Answer("http", status)


def test_a_redirection_is_an_answer(upstream: str):
    """The target is not requested, because it could be a large download."""
    assert one(f"{upstream}moved") == Answer("http", "302")


def test_a_closed_port_is_told_at_once():
    """In the system's own words."""
    started = time.monotonic()
    assert one("http://127.0.0.1:1/") == Answer("connect", "Connection refused")
    assert time.monotonic() - started < 3


def test_a_name_that_does_not_exist_is_told_apart():
    """DNS needs a different fix than a route."""
    assert one("https://no-such-host.invalid/v2/").step == "name"


def test_a_server_that_is_silent_costs_seconds_and_not_minutes(upstream: str):
    """Many of them cost no more than one, and the others are reported all the same."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        port = silent.getsockname()[1]
        addresses = [f"http://127.0.0.1:{port}/{number}" for number in range(8)]
        started = time.monotonic()
        found = asked(*addresses, upstream, seconds=2)
        assert time.monotonic() - started < 5
    assert found.pop(upstream) == Answer("http", "200")
    assert {answer.step for answer in found.values()} == {"connect"}
    assert len(found) == 8


def test_a_machine_that_is_busy_is_given_longer(upstream: str):
    """Answers have to wait for a processor there."""
    late = (
        "real = socket.getaddrinfo\nsocket.getaddrinfo = lambda *_: time.sleep(1.5) or real(*_)\n"
    )
    assert one(f"{upstream}200", seconds=1, before=late) == Answer("name", "no answer")
    assert one(f"{upstream}200", seconds=1, load=99, before=late) == Answer("http", "200")


def test_a_name_server_that_is_silent_is_not_waited_for():
    """The hanging lookup is left behind."""
    late = "socket.getaddrinfo = lambda *_: time.sleep(60)\n"
    started = time.monotonic()
    answer = one("http://localhost/", seconds=1, before=late)
    assert answer == Answer("name", "no answer")
    assert time.monotonic() - started < 5


def test_a_certificate_that_nobody_trusts_is_told(authority: tuple[Path, bytes]):
    """It is trusted if it is among those that the run will install, comments included."""
    file, certificate = authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with serving(context) as port:
        address = f"https://127.0.0.1:{port}/"
        assert one(address) == Answer("tls", "self-signed certificate")
        bundle = f"# Türkei\n{certificate.decode()}\n"
        assert one(address, stdin=bundle) == Answer("http", "200")


def test_plain_http_where_tls_is_expected_is_no_traceback(upstream: str):
    """The same is true the other way round."""
    assert one(upstream.replace("http:", "https:")).step == "tls"


def test_without_python_everything_else_is_told(tmp_path: Path):
    """A bare Debian may have no Python."""
    tools = "awk bash cat date df dirname dpkg-query env mktemp rm sed sh timeout"
    for tool in tools.split():
        found = subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True)
        (tmp_path / tool).symlink_to(found.stdout.strip())
    arguments = {"folders": ["/"], "addresses": ["http://127.0.0.1:1/"], "now": 0}
    state = gather(Surroundings, **arguments, environment={"PATH": str(tmp_path)})
    assert state.answers == {}
    assert state.disks["/"].mountpoint == "/"


def around(environment: dict[str, str] | None = None, **changes: Any) -> SurroundingsState:
    arguments = {"folders": [], "addresses": [], "now": 0, **changes}
    state: SurroundingsState = gather(Surroundings, environment=environment, **arguments)
    return state


def test_the_clocks_are_compared():
    """Our time is part of the query."""
    assert around(now=int(time.time()) - 3600).clock == pytest.approx(3600, abs=5)
    assert around(now=int(time.time()) + 3600).clock == pytest.approx(-3600, abs=5)


def test_a_folder_that_is_not_there_yet_lies_on_the_disk_above_it(tmp_path: Path):
    """Up to the root, whatever characters its name contains."""
    folders = [str(tmp_path), f"{tmp_path}/not/yet", "/no/such", f"/{HOSTILE}"]
    disks = around(folders=folders).disks
    assert list(disks) == folders
    assert disks[folders[0]].mountpoint == disks[folders[1]].mountpoint
    assert disks[folders[2]].mountpoint == disks[folders[3]].mountpoint == "/"
    expected = os.statvfs(tmp_path)
    assert disks[folders[0]].free == pytest.approx(expected.f_bavail * expected.f_frsize, rel=0.05)


DOCKER = r"""
case "$*" in
  "ps "*) echo abc ;;
  "inspect "*) echo 'container ["abc","/edge","traefik:v3.1",{"com.docker.compose.project":"web",'\
'"org.opencontainers.image.version":"v3.1.2"},{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"80"},'\
'{"HostIp":"::","HostPort":"80"}],"443/tcp":null,"53/udp":[{"HostIp":"","HostPort":"53"}]},'\
'{"base":{}}]' ;;
  "info "*) echo engine-proxied ;;
  "version "*) echo "minimum-api 1.44" ;;
esac
"""


def test_running_containers_are_told_with_their_ports(tmp_path: Path):
    """Only TCP ports, each once; with project, networks, and the version in the image's label."""
    tools = programs(tmp_path, docker=DOCKER, timedatectl="echo yes")
    state = around(environment=tools)
    (container,) = state.containers
    assert (container.name, container.image, container.project) == ("edge", "traefik:v3.1", "web")
    assert (container.version, container.ports, container.networks) == ("v3.1.2", (80,), ("base",))
    assert (state.minimum_api, state.engine_proxied) == ("1.44", True)
    assert state.synchronised == "yes"


def test_an_engine_that_does_not_answer_is_no_error(tmp_path: Path):
    """It may be stopped or missing."""
    tools = programs(tmp_path, docker="echo Cannot connect >&2; exit 1", timedatectl="exit 1")
    state = around(environment=tools)
    assert (state.containers, state.minimum_api, state.engine_proxied) == ((), "", False)
    assert state.synchronised == ""


def test_nothing_is_left_behind(tmp_path: Path, upstream: str):
    """Neither in memory nor on disk, nor as compiled Python."""
    memory = Path("/dev/shm")
    before = set(memory.iterdir())
    environment = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    around(environment=environment, addresses=[upstream])
    assert not list(tmp_path.iterdir())
    # Temporary files of other programs disappear by themselves.
    new = set(memory.iterdir()) - before
    for _ in range(100):
        new &= set(memory.iterdir())
        if not new:
            break
        time.sleep(0.2)
    assert not new


def test_no_value_becomes_part_of_the_script():
    """Values are positional parameters, whatever characters they contain."""
    one = command_of(Surroundings, folders=[HOSTILE], addresses=[HOSTILE], now=5)
    assert HOSTILE not in one.script
    assert one.arguments.count(HOSTILE) == 2
    assert subprocess.run(["bash", "-n", "-c", one.script], capture_output=True).stderr == b""


def test_a_host_that_says_nothing_is_the_default():
    """For example, if no temporary folder can be created."""
    assert Surroundings.default() == SurroundingsState()
    assert Surroundings().read([]) == SurroundingsState()


# The part of the machine's fact about packages and programs


def machine(tmp_path: Path, environment: dict[str, str] | None = None) -> Any:
    """Return the machine with dpkg's and apt's folders below ``tmp_path``."""
    one = command_of(Machine)
    text = one.script
    for path in ("/var/lib/dpkg", "/var/lib/apt"):
        (tmp_path / path.strip("/")).mkdir(parents=True, exist_ok=True)
        text = text.replace(path, f"{tmp_path}{path}")
    done = run_here(replace(one, script=text), environment)
    assert done.returncode == 0, done.stderr
    return Machine().process(done.stdout.splitlines())


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
input()
"""


def test_who_holds_a_lock_of_dpkg_is_named(tmp_path: Path):
    """According to the kernel's table; a waiting process does not hold it."""
    lock = tmp_path / "var/lib/dpkg/lock-frontend"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert machine(tmp_path).package_managers == ()
    with holding(lock) as holder:
        holder.stdout.readline()
        with holding(lock):
            (found,) = machine(tmp_path).package_managers
    assert found.startswith("python")
    assert found.endswith(f"({holder.pid})")


@contextmanager
def holding(lock: Path) -> Iterator[Any]:
    """Run a program that holds a lock, or waits for it."""
    command = [sys.executable, "-c", HOLD, str(lock)]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with program:
        try:
            yield program
        finally:
            program.kill()


def test_an_upgrade_in_the_background_is_named(tmp_path: Path):
    """While it downloads, it holds no lock."""
    state = 'case "$*" in *apt-daily-upgrade*) echo activating ;; *) echo inactive; exit 3 ;; esac'
    tools = programs(tmp_path / "bin", systemctl=state)
    assert machine(tmp_path, tools).package_managers == ("apt-daily-upgrade.service",)


def test_half_installed_packages_are_named(tmp_path: Path):
    """Held or removed packages, and those that wait for a trigger, are fine."""
    listing = "ii |good\nrc |removed\nhi |held\niW |waits\nit |pending\niU |unpacked\niF |failed"
    listing += "\niHR|half\niiR|again"
    tools = programs(tmp_path / "bin", dpkg_query=f"printf '%s\\n' '{listing}'", needrestart=":")
    found = machine(tmp_path, tools)
    assert set(found.broken_packages) == {"unpacked", "failed", "half", "again"}
    assert found.needrestart
    updates = tmp_path / "var/lib/dpkg/updates"
    updates.mkdir()
    (updates / "tmp.i").touch()
    quiet = programs(tmp_path / "bin", dpkg_query="true")
    assert machine(tmp_path, quiet).broken_packages == ()
    (updates / "0001").touch()
    (found,) = machine(tmp_path, quiet).broken_packages
    assert found.endswith("/var/lib/dpkg/updates")


def test_a_listener_of_this_machine_is_named_with_its_address():
    """Also on loopback, with the program's name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = [one for one in gather(Machine).listeners if one.port == port]
    if not found:
        pytest.skip("no ss here")
    own = Path("/proc/self/comm").read_text().strip()
    assert [(one.address, one.program) for one in found] == [("127.0.0.1", own)]
