"""Acceptance of containers: they are healthy, keep running, and were created from the pinned
images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.acceptance_stacks import STARTED, container, made_up, one, run
from workstation.acceptance import Answer
from workstation.acceptance.containers import container_probe, image_findings, table_probe
from workstation.compose.actions import Container, ProjectState
from workstation.findings import Finding
from workstation.stack import Stack


def of_containers(stack: Stack, output: str, *containers: Container) -> dict[str, Finding]:
    state = ProjectState(docker=True, containers=containers)
    found = container_probe([(stack, state)]).findings(Answer(True, output, 0))
    assert all(finding.subject and finding.fix and finding.evidence for finding in found)
    return {finding.name: finding for finding in found}


@pytest.mark.parametrize(
    ("state", "ok", "detail"),
    [
        (f"running none {STARTED} 0", True, "running"),
        (f"running healthy {STARTED} 0", True, "running, healthy"),
        (f"running unhealthy {STARTED} 0", False, "running, unhealthy"),
        (f"running starting {STARTED} 0", False, "running, starting"),
        (f"exited none {STARTED} 0", False, "exited"),
        (f"restarting none {STARTED} 4", False, "restarting"),
    ],
)
def test_health_is_a_finding_with_evidence(state: str, ok: bool, detail: str):
    """A running container without a health check counts as healthy."""
    found = of_containers(made_up(a={"image": "a:1"}), f"state id-a {state}", container("a"))
    finding = found["s/a is healthy"]
    assert (finding.ok, finding.detail) == (ok, detail)
    assert state in finding.evidence
    assert "docker compose -p s logs a" in finding.fix


def test_the_last_words_of_a_container_that_is_not_well_are_its_evidence():
    """The last output of the container and of its health check, and of no other container."""
    output = (
        f"state id-a running unhealthy {STARTED} 0\nstate id-b running healthy {STARTED} 0\n"
        "log id-a out of memory\nlog id-a   twice\ncheck id-a connection refused"
    )
    stack = made_up(a={"image": "a:1"}, b={"image": "b:1"})
    found = of_containers(stack, output, container("a"), container("b"))
    told = found["s/a is healthy"].evidence
    assert "$ docker logs --tail 15 id-a\nout of memory\n  twice" in told
    assert "connection refused" in told
    assert "out of memory" not in found["s/b is healthy"].evidence


def test_a_service_without_a_container_is_not_healthy():
    stack = made_up(a={"image": "a:1"})
    assert of_containers(stack, "")["s/a is healthy"].detail == "no container"
    silent = container_probe([(stack, ProjectState())]).findings(Answer(False, "", 1))
    assert one(silent).detail == "Docker does not answer"


def test_a_container_that_went_meanwhile_is_named_by_docker():
    output = f"state id-b running none {STARTED} 0\nError: No such object: id-a"
    stack = made_up(a={"image": "a:1"}, b={"image": "b:1"})
    found = of_containers(stack, output, container("a"), container("b"))
    assert found["s/a is healthy"].detail == "Error: No such object: id-a"
    assert found["s/b is healthy"].ok


@pytest.mark.parametrize(
    ("state", "ok", "detail"),
    [
        (f"running none {STARTED} 17", True, "up since 2026-11-21 06:41:09 UTC"),
        ("running none 2026-11-21T06:42:00Z 18", False, "restarted at 2026-11-21 06:42:00 UTC"),
        (f"restarting none {STARTED} 4", False, "restarted at 2026-11-21 06:41:09 UTC"),
    ],
)
def test_one_that_started_anew_since_it_was_first_seen_restarts(state: str, ok: bool, detail: str):
    """Earlier restarts do not count."""
    found = of_containers(made_up(a={"image": "a:1"}), f"state id-a {state}", container("a"))
    assert (found["s/a does not restart"].ok, found["s/a does not restart"].detail) == (ok, detail)


def test_one_that_stands_still_does_not_restart():
    """There is only one finding that it is not running."""
    found = of_containers(
        made_up(a={"image": "a:1"}), f"state id-a exited none {STARTED} 0", container("a")
    )
    assert list(found) == ["s/a is healthy"]


DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("image", "images", "ok", "detail"),
    [
        ("web:1", {"web:1": "sha256:1"}, True, "1, no digest is pinned"),
        ("reg.io/web:1", {"reg.io/web:1": "sha256:1"}, True, "1, no digest is pinned"),
        (
            f"docker.io/x/web:1@{DIGEST}",
            {f"x/web@{DIGEST}": "sha256:1", "x/web:1": "sha256:1"},
            True,
            "1, sha256:abababababab",
        ),
        ("web:1", {"web:1": "sha256:2"}, False, "an image other than web:1"),
        (
            f"docker.io/x/web:1@{DIGEST}",
            {"x/web:1": "sha256:1"},
            False,
            f"x/web@{DIGEST} is not on the machine",
        ),
        ("web", {}, False, "web:latest is not on the machine"),
    ],
)
def test_a_container_runs_the_very_image_that_the_file_names(
    image: str, images: dict[str, str], ok: bool, detail: str
):
    state = ProjectState(docker=True, containers=(container("a", image="sha256:1"),), images=images)
    finding = one(list(image_findings([(made_up(a={"image": image}), state)])))
    assert (finding.name, finding.ok, finding.detail) == ("s/a runs the pinned image", ok, detail)
    assert (DIGEST in finding.evidence) == (DIGEST in image)


def test_an_image_that_is_built_here_has_no_digest_to_pin():
    state = ProjectState(
        docker=True, containers=(container("a", image="i"),), images={"s/a:1-0f": "i"}
    )
    stack = made_up(a={"image": "s/a:1-0f", "build": "./a"})
    assert one(list(image_findings([(stack, state)]))).detail == "1-0f, built here"


INSPECT = """#!/bin/sh
verb=$1; shift
case $verb in
  logs) echo "last words of $3"; echo "and errors" >&2; exit ;;
esac
format=$2; shift 2
status=0
for id; do
  case $format/$id in
    state*/good) echo "state good running healthy 2026-11-21T06:41:09Z 0" ;;
    state*/bad) echo "state bad running unhealthy 2026-11-21T06:41:09Z 2" ;;
    */bad) printf 'connection refused\\n\\nHTTP 500\\n\\n' ;;
    *) echo "Error: No such object: $id" >&2; status=1 ;;
  esac
done
exit $status
"""


def test_docker_is_asked_for_all_containers_at_once(tmp_path: Path):
    """The last output of unhealthy ones is read too."""
    stack = made_up(**{name: {"image": "a:1"} for name in ("good", "bad", "lost")})
    state = ProjectState(
        docker=True,
        containers=tuple(
            container(name, id=name, started="2026-11-21T06:41:09Z")
            for name in ("good", "bad", "lost")
        ),
    )
    probe = container_probe([(stack, state)])
    done = run(probe, tmp_path, *probe.arguments, docker=INSPECT)
    found = {one.name: one for one in probe.findings(Answer(True, done.stdout, 0))}
    assert {name: finding.detail for name, finding in found.items()} == {
        "s/good is healthy": "running, healthy",
        "s/good does not restart": "up since 2026-11-21 06:41:09 UTC",
        "s/bad is healthy": "running, unhealthy",
        "s/bad does not restart": "up since 2026-11-21 06:41:09 UTC",
        "s/lost is healthy": "Error: No such object: lost",
    }
    told = found["s/bad is healthy"].evidence
    for words in ("last words of bad\nand errors", "connection refused\nHTTP 500"):
        assert words in told
    assert "last words" not in found["s/good is healthy"].evidence


def test_a_container_without_ports_is_up_even_in_the_last_row():
    """Answers are stripped, so its row lacks the last tab."""
    stack = made_up(a={"image": "a:1"}, b={"image": "b:1"})
    rows = "s/a\ts-a-1\tUp 2 minutes (healthy)\t80/tcp\ns/b\ts-b-1\tUp 2 minutes"
    (found,) = table_probe([stack]).findings(Answer(True, rows, 0))
    assert (found.ok, found.detail) == (True, "2 of 2 are up")
    (found,) = table_probe([stack]).findings(
        Answer(True, rows.replace("b-1\tUp", "b-1\tExited"), 0)
    )
    assert (found.ok, found.detail) == (False, "1 of 2 are up; down: s/b")


def test_no_program_asks_for_the_health_of_a_container_that_has_no_check():
    """Since Docker 28, `.State.Health` is an error then (seen with 28.5)."""
    root = Path(__file__).parents[2]
    for folder in ("files", "workstation", "tasks"):
        for path in (root / folder).rglob("*.*"):
            if path.suffix in (".sh", ".py"):
                code = [line for line in path.read_text().splitlines() if line.lstrip()[:1] != "#"]
                assert ".State.Health" not in "\n".join(code), path
