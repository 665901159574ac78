"""Checks of a service's own folder and log, and of services for this machine only."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.harness import programs
from tests.unit.acceptance_stacks import container, made_up, probes
from workstation.acceptance import Answer, Probe
from workstation.acceptance.containers import table_probe
from workstation.facts.shell import script
from workstation.findings import Finding

TROUBLES = {"owned by unexpected": "give it back", "no space": "make room"}
COMFY = {
    "image": "c:1",
    "volumes": ["/srv/comfy:/comfy/mnt", "/srv/out:/outputs"],
    "x-workstation": {
        "owners": {"/srv/comfy": "1024:1024 775"},
        "log": {"says": "Starting server", "troubles": TROUBLES},
    },
}
DOCKER = """
case "$*" in
  *Mounts*) printf 'mount %s\\n' $MOUNTS ;;
  *StartedAt*) echo 2026-11-21T12:00:00Z ;;
  *LogPath*) echo "$LOGS/json.log" ;;
  "logs --since 2026-11-21T12:00:00Z box") cat "$LOGS/text" ;;
  *) echo "Error: $*" >&2; exit 1 ;;
esac
"""


def of(**keys: Any) -> dict[str, Probe]:
    found = probes(made_up(comfy={**COMFY, **keys}), container("comfy", id="box"))
    return {name.removeprefix("s/comfy "): probe for name, probe in found.items()}


def judged(probe: Probe, environment: dict[str, str]) -> list[Finding]:
    done = subprocess.run(
        ["sh", "-c", script(probe.script, *probe.arguments).get_raw_value()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    return probe.findings(Answer(done.returncode == 0, done.stdout, done.returncode))


def owner(tmp_path: Path, stat: str, mounts: str = "/comfy/mnt /outputs") -> Finding:
    probe = of()["has /comfy/mnt as one folder of its own"]
    environment = programs(tmp_path / "bin", docker=DOCKER, stat=stat)
    (finding,) = judged(probe, {**environment, "MOUNTS": mounts})
    return finding


@pytest.mark.parametrize(
    ("said", "ok"),
    [
        ("owner 1024:1024 775 UNKNOWN:UNKNOWN", True),
        ("owner 0:0 775 root:root", False),
        ("owner 1024:0 775 UNKNOWN:root", False),
        ("owner 1024:1024 755 UNKNOWN:UNKNOWN", False),
        ("owner 1024:5000 775 DOM\\\\anna b:domain users", False),
    ],
)
def test_a_folder_has_the_owner_and_mode_that_its_service_wants(
    tmp_path: Path, said: str, ok: bool
):
    """Compared the same way as in its init script."""
    finding = owner(tmp_path, f"echo '{said}'")
    assert finding.ok is ok
    assert finding.detail == f"it belongs to {said.split()[1]}, mode {said.split()[2]}"
    assert "owned by unexpected user/group" in finding.fix


def test_names_of_owners_are_compared_as_names(tmp_path: Path):
    """For example root and docker, whatever docker's number is."""
    keys = {**COMFY, "x-workstation": {"owners": {"/srv/comfy": "root:docker 2775"}}}
    (probe,) = probes(made_up(comfy=keys), container("comfy", id="box")).values()
    environment = programs(tmp_path, docker=DOCKER, stat="echo 'owner 0:998 2775 root:docker'")
    (finding,) = judged(probe, {**environment, "MOUNTS": ""})
    assert finding.ok


def test_a_mount_below_the_folder_is_named(tmp_path: Path):
    """The folder itself, and one whose name only begins the same, do not count."""
    stat = "echo 'owner 1024:1024 775 a:domain users'"
    assert owner(tmp_path, stat, "/comfy/mnt /comfy/mnt2").ok
    finding = owner(tmp_path, stat, "/comfy/mnt /comfy/mnt/models")
    assert (finding.ok, finding.detail) == (False, "/comfy/mnt/models is mounted below it")


def test_a_folder_that_is_gone_is_told_in_the_hosts_words(tmp_path: Path):
    """Nothing is read from a missing folder."""
    finding = owner(tmp_path, "echo 'stat: cannot statx /srv/comfy'; exit 1")
    assert not finding.ok
    assert "cannot statx" in finding.detail


def log(tmp_path: Path, text: str, rotated: bool = False) -> dict[str, Finding]:
    (tmp_path / "text").write_text(text)
    if rotated:
        (tmp_path / "json.log.1").touch()
    environment = programs(tmp_path / "bin", docker=DOCKER)
    findings = judged(of()["s/comfy's log"], {**environment, "LOGS": str(tmp_path)})
    assert all("docker compose -p s logs comfy" in one.evidence for one in findings)
    return {one.name.removeprefix("s/comfy's log "): one for one in findings}


def test_a_log_that_is_as_it_should_be(tmp_path: Path):
    """Only the log since the container's current start counts."""
    found = log(tmp_path, "== Cloning\nStarting server\n127.0.0.1 GET /\n")
    assert {name: (one.ok, one.detail) for name, one in found.items()} == {
        "is clean": (True, "no known problem"),
        'says "Starting server"': (True, "Starting server"),
    }


def test_a_known_trouble_is_told_with_what_to_do(tmp_path: Path):
    """With its own fix, not that of another."""
    text = "Directory /comfy/mnt owned by unexpected user/group, expected 1024:1024\n"
    found = log(tmp_path, text)
    assert not found["is clean"].ok
    assert found["is clean"].fix == "give it back"
    assert found["is clean"].detail.startswith("Directory /comfy/mnt owned by unexpected")
    assert not found['says "Starting server"'].ok
    assert log(tmp_path, "write: no space left\n")["is clean"].fix == "make room"


def test_a_log_whose_beginning_was_rotated_away_fails_nothing(tmp_path: Path):
    """A promise is not broken just because the log was rotated."""
    found = log(tmp_path, "127.0.0.1 GET /\n", rotated=True)['says "Starting server"']
    assert (found.ok, found.note, found.detail) == (
        False,
        True,
        "unknown, because the log was rotated",
    )
    found = log(tmp_path, "Starting server\n", rotated=True)['says "Starting server"']
    assert found.ok


def test_a_container_that_is_gone_has_no_log(tmp_path: Path):
    """A single finding, with Docker's message."""
    environment = programs(tmp_path, docker="echo 'Error: No such object: box' >&2; exit 1")
    (finding,) = judged(of()["s/comfy's log"], environment)
    assert (finding.ok, finding.detail) == (False, "Error: No such object: box")


@pytest.mark.parametrize(
    ("curl", "ok", "detail"),
    [
        (
            "echo 'curl: (35) OpenSSL/3: error:0A00010B:SSL routines::wrong version number'; "
            "exit 35",
            True,
            "its address is http://127.0.0.1:8188, https:// there fails (wrong version number)",
        ),
        ("exit 0", False, "it answers at https://127.0.0.1:8188 instead of http://127.0.0.1:8188"),
        ("echo 'curl: (7) refused'; exit 7", False, "curl: (7) refused"),
    ],
)
def test_plain_http_is_told_from_https(tmp_path: Path, curl: str, ok: bool, detail: str):
    """A person who types https:// sees a wrong version number."""
    probe = of(ports=["127.0.0.1:8188:8188"])["speaks plain HTTP"]
    (finding,) = judged(probe, programs(tmp_path, curl=curl))
    assert (finding.ok, finding.detail) == (ok, detail)


@pytest.mark.parametrize(
    ("rows", "ok", "detail"),
    [
        (["s/web\tweb\tUp 3 minutes (healthy)\t", "s/db\tdb\tUp 1 second\t80/tcp"], True, "2 of 2"),
        (
            ["s/web\tweb\tUp 3 minutes\t", "s/db\tdb\tExited (1)\t"],
            False,
            "1 of 2 are up; down: s/db",
        ),
        ([], False, "0 of 2 are up; down: s/web, s/db"),
    ],
)
def test_every_service_is_in_dockers_table(rows: list[str], ok: bool, detail: str):
    """With the status Up; other people's containers do not matter."""
    probe = table_probe([made_up(web={"image": "w:1"}, db={"image": "d:1"})])
    output = "\n".join([*rows, "/\tstranger\tExited (1)\t"])
    (finding,) = probe.findings(Answer(True, output, 0))
    assert finding.ok is ok
    assert finding.detail.startswith(detail)
    assert "stranger" in finding.evidence
