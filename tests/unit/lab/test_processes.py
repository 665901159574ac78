"""Background processes, ports, and how a rehearsal counts changes."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.process import Daemon, free_port, wait_port
from lab.rehearsal import outcome, routes


def test_a_process_and_its_children_are_ended(tmp_path: Path) -> None:
    """Another Daemon object finds the process by its pid file."""
    Daemon("sleeper", tmp_path).start(["sh", "-c", "sleep 1000 & sleep 1000"])
    found = Daemon("sleeper", tmp_path)
    assert found.alive()
    found.stop()
    assert not found.alive()


def test_a_recycled_pid_is_not_ours(tmp_path: Path) -> None:
    """After a reboot, the pid in an old pid file belongs to another process."""
    daemon = Daemon("old", tmp_path)
    daemon.start(["sleep", "1000"])
    file = tmp_path / "run" / "old.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"started": record["started"] - 1}))
    assert not daemon.alive()
    file.write_text(json.dumps(record))
    daemon.kill()


def test_a_process_that_ends_at_once_says_why(tmp_path: Path) -> None:
    """The error contains the end of its log."""
    daemon = Daemon("broken", tmp_path)
    daemon.start(["sh", "-c", "echo no such option; exit 1"])
    with pytest.raises(LabError, match="no such option"):
        wait_port(free_port(), daemon)


def test_a_taken_port_is_not_chosen() -> None:
    """The preferred port is used unless something listens there."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        assert free_port(taken) != taken
    free = free_port()
    assert free_port(free) == free


def test_a_rehearsal_counts_changed_operations() -> None:
    """pyinfra's JSON lists the hosts on which each operation changed something."""
    operations = [
        {"name": "a", "success": ["h"], "error": [], "no_change": []},
        {"name": "b", "success": [], "error": [], "no_change": ["h"]},
    ]
    document = {"plan": [], "results": {"operations": operations}, "seconds": {"plan": 1.5}}
    result = outcome(0, f"noise\n{json.dumps(document)}\n")
    assert (result.changed, result.failed, result.unchanged) == (["a"], [], 1)
    assert result.seconds == {"plan": 1.5}


def test_a_run_that_broke_off_has_no_counts() -> None:
    """Without JSON only the exit code is known."""
    assert outcome(1, "Traceback").code == 1


def test_routes_are_read_from_labels() -> None:
    """Each host name appears once, sorted."""
    labels = "rule: Host(`b.localhost`)\nrule: Host(`a.localhost`)\nrule: Host(`b.localhost`)\n"
    assert routes(labels) == ["a.localhost", "b.localhost"]
