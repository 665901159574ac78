"""A full disk and a mirror that is down, slow or cut off: what failed is told, what stood stands,
and the next run does the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.conftest import Workstation
from tests.lab.state import differences, files, state
from tests.lab.test_plan import moved

pytestmark = pytest.mark.long

BALLAST = "/var/ballast"


@contextmanager
def full(machine: Workstation, left: int) -> Iterator[None]:
    """Have the root disk filled but for so many KiB; root's reserve is used up as well."""
    machine.run(
        f"free=$(stat -f -c '%f %S' / | awk '{{print int($1 * $2 / 1024)}}');"
        f"fallocate -l $((free - {left} - 2048))K {BALLAST};"
        # What fallocate could not take, a plain write does.
        f"dd if=/dev/zero of={BALLAST}.rest bs=4k count=512 2>/dev/null; sync"
    )
    try:
        yield
    finally:
        machine.run(f"rm -f {BALLAST} {BALLAST}.rest; sync")


def _serves(machine: Workstation, service: str) -> bool:
    return machine.succeeds(
        f"curl -sf -o /dev/null -H 'Host: {service}.localhost' http://127.0.0.1/"
    )


def _changed(checkout: Callable[[], Path]) -> Path:
    """Return a checkout in which one program's start script is another, and large."""
    copy = checkout()
    start = copy / "templates" / "stacks" / "dhoch3" / "fooocus" / "entrypoint.py"
    start.write_text(start.read_text() + "# " + "x" * 3_000_000 + "\n")
    return copy


@pytest.mark.parametrize("left", [0, 4000], ids=["while Compose files are written", "in a build"])
def test_a_disk_that_is_full_while_a_stack_changes(
    left: int, converged: Workstation, checkout: Callable[[], Path]
) -> None:
    """The old files, image and container stay; when there is room the next run converges."""
    copy = _changed(checkout)
    before, containers = files(converged), converged.containers()
    with full(converged, left):
        run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
        assert run.status != 0
        assert "No space left on device" in run.output or "no space left on device" in run.output
        assert _serves(converged, "fooocus")
    assert converged.containers() == containers
    whole = {path: what for path, what in files(converged).items() if path in before}
    if left == 0:
        assert differences(before, whole) == []
    run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    assert run.status == 0, run.error
    assert _serves(converged, "fooocus")
    assert not [path for path in files(converged) if path.endswith(".new")]


def test_a_disk_that_is_full_while_an_image_is_pulled(
    converged: Workstation, tmp_path: Path
) -> None:
    """The service serves on with the image that it has."""
    containers = converged.containers()
    mirror = {"MIRROR": str(moved(converged, tmp_path))}
    with full(converged, 200):
        run = converged.pyinfra("tasks/stacks.py", "-y", environment=mirror)
        assert run.status != 0
        assert "cannot be pulled" in run.output or "o space left on device" in run.output
    assert converged.containers() == containers
    run = converged.pyinfra("tasks/stacks.py", "-y", environment=mirror)
    assert run.status == 0, run.error


def test_a_disk_that_is_full_while_a_release_is_unpacked(bare: Workstation) -> None:
    """Nothing of it is left; when there is room the next run converges."""
    assert bare.pyinfra("tasks/storage.py", "-y").status == 0
    bare.run("apt-get install -y --no-install-recommends zstd nftables curl >/dev/null 2>&1")
    with full(bare, 100):
        run = bare.pyinfra("tasks/ollama.py", "-y")
        assert run.status != 0
        assert "Traceback" not in run.output
    assert not bare.succeeds("test -e /usr/local/bin/ollama")
    assert bare.pyinfra("tasks/ollama.py", "-y").status == 0
    assert bare.pyinfra("tasks/ollama.py", "-y").changed == []


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/v2/", {"status": 503}),
        ("/v2/", {"truncate": 1000}),
        ("/v2/", {"tamper": True}),
        ("/v2/", {"delay": 3.0}),
    ],
)
def test_a_registry_in_trouble(
    path: str, fault: dict[str, object], converged: Workstation, tmp_path: Path
) -> None:
    """A slow one is waited for. Of any other the image is named, and what runs is left alone."""
    before, containers = state(converged), converged.containers()
    mirror = {"MIRROR": str(moved(converged, tmp_path))}
    converged.faults(json.dumps({path: fault}))
    run = converged.pyinfra("tasks/stacks.py", "-y", environment=mirror)
    if "delay" in fault:
        assert run.status == 0, run.error
        return
    assert run.status != 0
    assert "dockge" in run.output
    assert converged.containers() == containers
    changed = [line.partition(":")[0] for line in differences(before, state(converged))]
    assert set(changed) <= {"/opt/stacks/dhoch3/compose.yaml"}
    converged.faults("{}")
    run = converged.pyinfra("tasks/stacks.py", "-y", environment=mirror)
    assert run.status == 0, run.error


def test_a_mirror_that_is_down(bare: Workstation) -> None:
    """Preflight names it, and a bare machine stays bare."""
    before = bare.files()
    bare.lab.mirror.stop()
    try:
        run = bare.pyinfra("deploy.py", "-y")
    finally:
        bare.lab.mirror.start()
    assert run.status != 0
    assert "192.168.0.5" in run.output
    assert bare.files() == before
