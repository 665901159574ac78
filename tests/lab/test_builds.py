"""The effects of a change to one image's inputs, and of a failed build."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.lab.conftest import CURL, Workstation


def _images(machine: Workstation) -> set[str]:
    """Return the names of the images that were built on the machine."""
    listing = machine.run("docker image ls --format '{{.Repository}}:{{.Tag}}'").split()
    return {name for name in listing if name.startswith("dhoch3/")}


def _recreated(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_one_byte_builds_one_image_and_recreates_one_container(
    converged: Workstation, checkout: Callable[[], Path]
) -> None:
    """The previous image is kept for a rollback; older images of ours are removed."""
    copy = checkout()
    input_file = copy / "templates" / "stacks" / "dhoch3" / "fooocus" / "entrypoint.py"
    first = _images(converged)
    before = converged.containers()
    started = time.monotonic()
    input_file.write_text(input_file.read_text() + "\n")
    run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    print(f"one byte: {time.monotonic() - started:.0f} s")
    assert run.status == 0, run.error
    second = _images(converged)
    after = converged.containers()
    assert first <= second
    assert [name.partition(":")[0] for name in second - first] == ["dhoch3/fooocus"]
    assert _recreated(before, after) == {"/dhoch3-fooocus-1"}

    input_file.write_text(input_file.read_text() + "\n")
    run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    assert run.status == 0, run.error
    third = _images(converged)
    assert first - third == {name for name in first if name.startswith("dhoch3/fooocus:")}
    assert second - first < third
    assert len(third) == len(second)
    assert _recreated(after, converged.containers()) == {"/dhoch3-fooocus-1"}


@pytest.mark.long
def test_a_build_that_fails_leaves_the_service_as_it_is(
    converged: Workstation, checkout: Callable[[], Path], tmp_path: Path
) -> None:
    """A commit that does not exist and a package that does not: one sentence each, and the service
    keeps running with its image."""
    before, images = converged.containers(), _images(converged)
    mirror = yaml.safe_load(converged.lab.mirror.file.read_text())
    mirror["pins"]["sources"]["fooocus"]["commit"] = "0123456789" * 4
    elsewhere = tmp_path / "mirror.yml"
    elsewhere.write_text(yaml.safe_dump(mirror))
    run = converged.pyinfra("tasks/stacks.py", "-y", environment={"MIRROR": str(elsewhere)})
    assert run.status != 0
    assert "fooocus could not be built, see above; running services were not changed" in run.output

    copy = checkout()
    lock = copy / "templates" / "stacks" / "dhoch3" / "forge" / "requirements.lock"
    lock.write_text(lock.read_text() + "no-such-package==1.0\n")
    run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    assert run.status != 0
    assert "forge could not be built, see above; running services were not changed" in run.output
    assert "no-such-package" in run.output

    assert converged.containers() == before
    assert _images(converged) == images
    for service in ("fooocus", "forge"):
        code = converged.run(
            f"{CURL} -s -o /dev/null -w '%{{http_code}}' -H 'Host: {service}.localhost' http://127.0.0.1/"
        )
        assert code == "200"


@pytest.mark.long
def test_a_new_image_that_does_not_become_healthy_gives_way_to_the_old(
    converged: Workstation, checkout: Callable[[], Path]
) -> None:
    """The run fails and names it, with its log; the service keeps running as before, and the next
    run tries again."""
    copy = checkout()
    start = copy / "templates" / "stacks" / "dhoch3" / "fooocus" / "entrypoint.py"
    start.write_text("#!/usr/bin/env python3\nraise SystemExit('no such thing')\n")
    run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    assert run.status != 0
    assert "Service fooocus of dhoch3 is not healthy" in run.output
    assert "no such thing" in run.output
    assert "dhoch3 runs as before this run" in run.output
    code = converged.run(
        f"{CURL} -s -o /dev/null -w '%{{http_code}}' -H 'Host: fooocus.localhost' http://127.0.0.1/"
    )
    assert code == "200"
    assert "raise SystemExit" not in converged.run("cat /opt/stacks/dhoch3/fooocus/entrypoint.py")
    again = converged.pyinfra("tasks/stacks.py", "--dry", "--json", folder=copy)
    assert "change dhoch3: recreate fooocus" in again.planned
