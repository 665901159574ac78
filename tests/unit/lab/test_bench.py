"""The parts of the benchmark: what it measures, what it compares, and the delaying port."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import pkgutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from lab.bench import contestants, delay, measure, report, wanted
from lab.bench.measure import Sample, Series
from lab.errors import LabError
from lab.paths import REPOSITORY
from workstation import operations
from workstation.facts.docker import Engine, EngineState
from workstation.facts.files import Paths, PathState
from workstation.operations.files import Absent, Directory, File
from workstation.operations.units import Unit


def series(*seconds: float, trips: tuple[int, ...] = ()) -> Series:
    """A series of runs with these times."""
    return Series([Sample(one, one / 2, 10 * one, 0, "", "") for one in seconds], list(trips))


# ---- measuring


def test_one_slow_run_does_not_move_the_result():
    """Medians are compared; memory is the highest peak."""
    assert series(1, 2, 90).median == 2
    assert measure.ratio(series(30, 20, 100), series(1, 2, 90)) == 15
    assert series(1, 2, 90).memory == 900
    assert series(1, trips=(7, 9, 8)).turns == 8
    assert series(1).turns is None


def test_a_run_is_measured_without_what_measures_it():
    """The measuring process is larger than ``true``, and smaller than a program that holds 200
    MiB."""
    environment = dict(os.environ)
    small = measure.run(["true"], Path("/"), environment)
    script = "import sys; x = bytearray(200 << 20); print('out'); sys.exit('err')"
    large = measure.run([sys.executable, "-c", script], Path("/"), environment)
    assert small.memory < 20
    assert 200 < large.memory < 300
    assert (large.code, large.output, large.errors) == (1, "out\n", "err\n")
    assert 0 < large.processor < 10
    slow = measure.run(["sleep", "0.3"], Path("/"), environment)
    assert 0.3 <= slow.seconds < 3


def test_an_interrupted_run_is_ended(tmp_path):
    """Together with all of its processes."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1)
    script = f"sleep 1000 & echo $! >{tmp_path}/pid; wait"
    try:
        with pytest.raises(KeyboardInterrupt):
            measure.run(["sh", "-c", script], tmp_path, dict(os.environ))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    stat = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    deadline = time.monotonic() + 5
    while stat.exists() and ") Z " not in stat.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not stat.exists() or ") Z " in stat.read_text()


# ---- the report


def test_the_table_names_every_contestant_and_its_ratio():
    """A condition is named once; missing values stay empty; 80 columns are enough."""
    rows = [
        report.Row("loopback", "tasks/storage.py", series(2)),
        report.Row("loopback", "theirs", series(310), 155),
        report.Row("20 ms added", "ours", series(403, 405, 404, trips=(1070, 1070, 1071))),
    ]
    console = Console(width=80, file=open(os.devnull, "w"), record=True)  # noqa: SIM115
    console.print(report.table(rows))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["loopback", "tasks/storage.py", "2.00", "2.0-2.0", "1.00", "20"] in lines
    assert ["theirs", "310.00", "310.0-310.0", "155.00", "155.00", "3100"] in lines
    row = ["ours", "404.00", "403.0-405.0", "1070", "202.00", "4050"]
    assert ["20", "ms", "added", *row] in lines


@pytest.mark.parametrize(
    ("goal", "met", "text"),
    [
        (report.Goal("a", 15.0, least=15), True, "a: 15.00 (at least 15: met)"),
        (report.Goal("a", 14.99, least=15), False, "a: 14.99 (at least 15: missed)"),
        (report.Goal("b", 0.25, most=0.25), True, "b: 0.25 (at most 0.25: met)"),
        (report.Goal("b", 3.01, most=3), False, "b: 3.01 (at most 3: missed)"),
    ],
)
def test_a_goal_says_whether_it_is_met(goal, met, text):
    """A value at the limit meets it."""
    assert goal.met is met
    assert str(goal) == text


def test_every_single_run_is_in_the_file(tmp_path):
    """With the conditions, as JSON."""
    rows = [report.Row("loopback", "theirs", series(2, 4, 3, trips=(5, 5, 5)), 1.5)]
    goals = [report.Goal("a", 1.5, least=2)]
    report.write(tmp_path / "results.json", report.document({"cores": 2}, rows, goals))
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["conditions"] == {"cores": 2}
    assert written["rows"] == [
        {
            "condition": "loopback",
            "who": "theirs",
            "median_seconds": 3,
            "seconds": [2, 4, 3],
            "ratio": 1.5,
            "round_trips": 5,
            "processor_seconds": 1.5,
            "peak_memory_mib": 40,
        }
    ]
    assert written["goals"] == [{"goal": str(goals[0]), "met": False}]
    assert list(tmp_path.iterdir()) == [tmp_path / "results.json"]


# ---- whether a run changed something

RECAP = "workstation : ok=9 changed={} unreachable={} failed={} skipped=0\n"
PLAYED = "TASK [Files] ***\nok: [workstation] => (item=/a)\nchanged: [workstation] => (item=/b)\n"


@pytest.mark.parametrize(
    ("code", "output", "changes"),
    [
        (0, "TASK [Files] ***\nok: [workstation]\n" + RECAP.format(0, 0, 0), ""),
        (0, PLAYED + RECAP.format(1, 0, 0), "Files"),
        (0, RECAP.format(1, 0, 0), "something"),
        (2, RECAP.format(0, 0, 1), "failed (exit code 2)"),
        (4, RECAP.format(0, 1, 0), "failed (exit code 4)"),
        (0, "", "failed (exit code 0)"),
    ],
)
def test_what_a_playbook_changed_is_read_from_its_recap(code, output, changes):
    """A run without a recap does not count as one that changed nothing."""
    said = contestants.ansible_changes(Sample(1, 1, 1, code, output, ""))
    assert said.startswith(changes)
    assert bool(said) == bool(changes)


def pyinfra_output(*operations: tuple[str, str]) -> str:
    """pyinfra's JSON for operations and their results on one host."""
    results = ("success", "error", "no_change")
    listed = [
        {"name": name, **{one: ["h"] if one == result else [] for one in results}}
        for name, result in operations
    ]
    return json.dumps({"plan": [], "results": {"operations": listed}})


@pytest.mark.parametrize(
    ("code", "output", "changes"),
    [
        (0, pyinfra_output(("a", "no_change")), ""),
        (0, pyinfra_output(("a", "no_change"), ("b", "success")), "b"),
        (1, pyinfra_output(("a", "error")), "failed (exit code 1): last words"),
        (0, pyinfra_output(), "failed (exit code 0): last words"),
        (0, "", "failed (exit code 0): last words"),
    ],
)
def test_what_pyinfra_changed_is_read_from_its_json(code, output, changes):
    """A run without operations does not count as one that changed nothing."""
    said = contestants.pyinfra_changes(Sample(1, 1, 1, code, output, "last words\n"))
    assert said == changes


def test_no_contestant_is_pointed_elsewhere_by_the_caller(monkeypatch, tmp_path):
    """All reach the same machine at the same port, regardless of the environment."""
    monkeypatch.setenv("SSH_USER", "somebody")
    monkeypatch.setenv("ANSIBLE_PIPELINING", "0")
    target = contestants.Target(tmp_path / "env", "192.0.2.1", 22, "operator", "/key").through(99)
    ours = contestants.ours(target, "ours", *contestants.TASKS)
    plain, ansible = contestants.plain(target), contestants.ansible(target, tmp_path)
    assert ours.environment["SSH_PORT"] == "99"
    assert json.loads(plain.environment["BENCH_TARGET"])["ssh_port"] == 99
    assert '"ansible_port": 99' in " ".join(ansible.command)
    for contestant in (ours, plain, ansible):
        assert "SSH_USER" not in contestant.environment
        assert "ANSIBLE_PIPELINING" not in contestant.environment
        assert "192.0.2.1" not in str(contestant)


def test_all_tasks_are_compared_but_the_first_and_the_last_two():
    """In the order of deploy.py."""
    tree = ast.parse((REPOSITORY / "deploy.py").read_text())
    (names,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TASKS"
    ]
    assert (names[0], *names[-2:]) == ("preflight", "worker", "acceptance")
    assert tuple(f"tasks/{name}.py" for name in names[1:-2]) == contestants.TASKS


# ---- the port that is far away


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that returns its input, and its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_every_answer_comes_later_by_both_delays(echo):
    """Each wait is counted."""
    with (
        delay.DelayedPort("127.0.0.1", echo, 0.02) as port,
        socket.create_connection(("127.0.0.1", port.port), timeout=10) as client,
    ):
        for number in range(1, 6):
            started = time.monotonic()
            client.sendall(b"question")
            assert client.recv(100) == b"question"
            assert time.monotonic() - started >= 0.04
            assert port.round_trips == number


def test_delay_takes_no_throughput_and_keeps_the_order(echo):
    """Chunks travel at the same time: together they take about as long as a single one."""
    sent = os.urandom(1 << 20) * 16
    with (
        delay.DelayedPort("127.0.0.1", echo, 0.1) as port,
        socket.create_connection(("127.0.0.1", port.port), timeout=10) as client,
    ):
        started = time.monotonic()
        sender = threading.Thread(target=client.sendall, args=(sent,))
        sender.start()
        received = bytearray()
        while len(received) < len(sent):
            received += client.recv(1 << 20)
        sender.join()
        # One after the other, 256 chunks of 64 KiB would take 51 s.
        assert time.monotonic() - started < 10
        assert received == sent


def test_the_end_of_a_connection_is_passed_on(echo):
    """In both directions; a port on which nothing listens is passed on too."""
    with (
        delay.DelayedPort("127.0.0.1", echo, 0.01) as port,
        socket.create_connection(("127.0.0.1", port.port), timeout=10) as client,
    ):
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == b"last"
    nobody = socket.create_server(("127.0.0.1", 0))
    closed = nobody.getsockname()[1]
    nobody.close()
    with (
        delay.DelayedPort("127.0.0.1", closed, 0.01) as port,
        socket.create_connection(("127.0.0.1", port.port), timeout=10) as client,
    ):
        assert client.recv(1) == b""


def test_nothing_listens_when_it_is_over(echo):
    """Open connections are closed."""
    with delay.DelayedPort("127.0.0.1", echo, 0.01) as port:
        client = socket.create_connection(("127.0.0.1", port.port), timeout=10)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    with client:
        assert client.recv(1) == b""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port.port)) != 0


# ---- the end state that all are given


def host(facts: dict[type, object]) -> SimpleNamespace:
    """A host that gives these facts."""
    return SimpleNamespace(get_fact=lambda fact, **_: facts[fact])


def path_state(mode: str, user: str = "root", uid: int = 0) -> PathState:
    return PathState("file", mode, user, user, uid, uid, 0.0)


def test_what_tasks_say_is_noted_once():
    """Files by path, packages and units without duplicates, and paths to remove in a separate
    list."""
    recorder = wanted.Recorder(host({Paths: {}}))
    for _ in range(2):
        recorder.note("packages.installed", {"packages": ["curl", "gpg"]})
        recorder.note(
            "files.present", {"entries": [Directory("/d"), File("/d/f", b"x"), Absent("/gone")]}
        )
        recorder.note(
            "units.running",
            {"units": [Unit("a.service"), Unit("b.service", enabled=False, running=False)]},
        )
    recorder.note("packages.installed", {"packages": ["nvidia=1"], "hold": True})
    noted = recorder.finish()
    assert noted.packages == ["curl", "gpg"]
    assert noted.held == ["nvidia=1"]
    assert noted.units == ["a.service"]
    assert noted.absent == ["/gone"]
    assert list(noted.files) == ["/d/f"]
    assert list(noted.directories) == ["/d"]


def test_the_machine_fills_in_what_is_merged_and_kept():
    """daemon.json with its other keys, the mode of a file that is merged into, and the names of
    owners."""
    there = b'{"log-driver": "local", "features": {"cdi": true}}'
    recorder = wanted.Recorder(
        host(
            {
                Engine: EngineState(daemon_json=there),
                Paths: {
                    "/etc/docker/daemon.json": path_state("600"),
                    "/data": path_state("755", "ai", 2000),
                },
            }
        )
    )
    recorder.note("docker.daemon_config", {"wanted": {"features": {"cdi": True}}})
    recorder.note("files.present", {"entries": [Directory("/data", user="2000", group="2000")]})
    noted = recorder.finish()
    merged = noted.files["/etc/docker/daemon.json"]
    assert (merged.content, merged.mode) == (there, "600")
    assert (noted.directories["/data"].user, noted.directories["/data"].group) == ("ai", "ai")


def test_an_operation_that_nobody_can_compare_is_an_error():
    """The same is true for an operation with a new argument."""
    recorder = wanted.Recorder(host({}))
    with pytest.raises(LabError, match=r"operation backup\.made .*wanted\.py"):
        recorder.note("backup.made", {})
    with pytest.raises(LabError, match=r"packages\.installed .*'purge'"):
        recorder.note("packages.installed", {"packages": [], "purge": True})


def test_every_operation_of_a_task_can_be_compared():
    """Each is known, and takes the same arguments as its counterpart in the recorder."""
    checked = set()
    for found in pkgutil.iter_modules(operations.__path__):
        module = importlib.import_module(f"{operations.__name__}.{found.name}")
        for name, value in vars(module).items():
            key = f"{found.name}.{name}"
            if not hasattr(value, "_inner") or found.name in ("acceptance", "preflight"):
                continue
            if key in wanted.LEFT_OUT or key in wanted.COMPOSED:
                checked.add(key)
                continue
            handler = getattr(wanted.Recorder, f"_{found.name}_{name}", None)
            assert handler is not None, f"lab/bench/wanted.py does not know {key}"
            given = list(inspect.signature(value.changes).parameters)
            assert list(inspect.signature(handler).parameters)[1:] == given, key
            checked.add(key)
    assert {*wanted.LEFT_OUT, *wanted.COMPOSED, "files.present", "compose.up"} <= checked


def test_the_export_holds_the_bytes_and_what_is_said_of_them(tmp_path):
    """Ansible's modes have four digits; nobody else may read the contents."""
    noted = wanted.Wanted(
        files={"/etc/a b": File("/etc/a b", b"\0bytes", mode="600", user="x", group="y")},
        directories={"/d": Directory("/d", mode="2775")},
    )
    folder = tmp_path / "wanted"
    wanted.export(noted, folder)
    wanted.export(noted, folder)
    data = json.loads((folder / "vars.json").read_text())["wanted"]
    content = folder / "files/etc/a b"
    assert data["files"] == [
        {"path": "/etc/a b", "mode": "0600", "owner": "x", "group": "y", "content": str(content)}
    ]
    assert data["directories"] == [{"path": "/d", "mode": "2775", "owner": "root", "group": "root"}]
    assert content.read_bytes() == b"\0bytes"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("file", ["ansible/playbook.yml", "plain/deploy.py"])
def test_both_counterparts_make_everything_true(file):
    """Both the playbook and the plain deploy use every part of the end state."""
    text = (contestants.HERE / file).read_text()
    for part in fields(wanted.Wanted):
        assert f"wanted.{part.name}" in text or f'wanted["{part.name}"]' in text, part.name
