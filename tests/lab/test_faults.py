"""A full disk, and a mirror that is down, slow or interrupted: the failure is reported, existing
things stay intact, and the next run completes the work."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.upstream.images import OLDER_DOCKGE
from tests.lab.conftest import CURL, Workstation
from tests.lab.state import differences, files

pytestmark = pytest.mark.long

BALLAST = "/var/ballast"
FOOOCUS = "/opt/stacks/dhoch3/fooocus/entrypoint.py"

# Fills the root disk, including the blocks reserved for root. Blocks that fallocate could not take
# are filled by writing.
_FILL = f"""
free=$(stat -f -c '%f %S' / | awk '{{print int($1 * $2 / 1024)}}')
fallocate -l $((free - 2048))K {BALLAST}
dd if=/dev/zero of={BALLAST}.rest bs=4k 2>/dev/null
touch /run/full
"""


@contextmanager
def full(machine: Workstation, when: str = "") -> Iterator[None]:
    """Fill the root disk to its last block: at once, or as soon as a shell condition is true on the
    machine."""
    if when:
        script = shlex.quote(f"until {when}; do sleep 0.1; done\n{_FILL}")
        machine.run(f"systemd-run -q --unit=ballast --collect sh -c {script}")
    else:
        machine.run(_FILL)
    try:
        yield
        assert machine.succeeds("test -e /run/full"), "the disk was not filled"
    finally:
        machine.run(f"systemctl stop ballast; rm -f {BALLAST} {BALLAST}.rest /run/full; sync")


def _serves(machine: Workstation, service: str) -> bool:
    return machine.succeeds(
        f"{CURL} -sf -o /dev/null -H 'Host: {service}.localhost' http://127.0.0.1/"
    )


def _changed(checkout: Callable[[], Path]) -> Path:
    """Return a checkout in which one program's start script is different, and large."""
    copy = checkout()
    start = copy / "templates" / "stacks" / "dhoch3" / "fooocus" / "entrypoint.py"
    start.write_text(start.read_text() + "# " + "x" * 3_000_000 + "\n")
    return copy


@pytest.mark.parametrize(
    "when",
    ["", f"[ $(stat -c %s {FOOOCUS}) -gt 1000000 ]"],
    ids=["while Compose files are written", "in a build"],
)
def test_a_disk_that_is_full_while_a_stack_changes(
    when: str, converged: Workstation, checkout: Callable[[], Path]
) -> None:
    """The old files, image and container stay; once there is room, the next run converges."""
    copy = _changed(checkout)
    before, containers = files(converged), converged.containers()
    with full(converged, when):
        run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
        assert run.status != 0
        assert "no space left on device" in run.output.lower()
        assert ("could not be built" in run.output) == bool(when)
        assert _serves(converged, "fooocus")
    assert converged.containers() == containers
    if not when:
        whole = {path: what for path, what in files(converged).items() if path in before}
        assert differences(before, whole) == []
    run = converged.pyinfra("tasks/stacks.py", "-y", folder=copy)
    assert run.status == 0, run.error
    assert _serves(converged, "fooocus")
    assert not [path for path in files(converged) if path.endswith(".new")]


def test_a_disk_that_is_full_while_an_image_is_pulled(
    converged: Workstation, older: dict[str, str]
) -> None:
    """The service keeps running with its image."""
    containers = converged.containers()
    with full(converged, f"grep -q dockge:{OLDER_DOCKGE} /opt/stacks/dhoch3/compose.yaml"):
        run = converged.pyinfra("tasks/stacks.py", "-y", environment=older)
        assert run.status != 0
        assert re.search(r"dockge:\S+ cannot be pulled", run.output)
        assert "no space left on device" in run.output.lower()
        assert _serves(converged, "dockge")
    assert converged.containers() == containers
    run = converged.pyinfra("tasks/stacks.py", "-y", environment=older)
    assert run.status == 0, run.error


def test_a_disk_that_is_full_while_a_release_is_unpacked(bare: Workstation) -> None:
    """Nothing of it remains; once there is room, the next run converges."""
    assert bare.pyinfra("tasks/storage.py", "-y").status == 0
    with full(bare, "[ -s /opt/ollama/.partial/.archive ]"):
        run = bare.pyinfra("tasks/ollama.py", "-y")
        assert run.status != 0
        assert "cannot be unpacked" in run.output
        assert "Traceback" not in run.output
    assert bare.run("ls -A /opt/ollama") == ""
    assert not bare.succeeds("test -e /usr/local/bin/ollama")
    assert bare.pyinfra("tasks/ollama.py", "-y").status == 0
    assert bare.pyinfra("tasks/ollama.py", "-y").changed == []


BLOBS = "/v2/docker.io/louislam/dockge/blobs/"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/v2/", {"status": 503}),
        (BLOBS, {"truncate": 1000}),
        (BLOBS, {"tamper": True}),
        ("/v2/docker.io/louislam/dockge/manifests/", {"tamper": True}),
    ],
    ids=["down", "cuts off", "serves a tampered layer", "serves a tampered manifest"],
)
def test_a_registry_in_trouble(
    path: str, fault: dict[str, object], converged: Workstation, older: dict[str, str]
) -> None:
    """The image is named, and running services are left alone."""
    before, containers = files(converged), converged.containers()
    converged.faults(json.dumps({path: fault}))
    run = converged.pyinfra("tasks/stacks.py", "-y", environment=older)
    assert run.status != 0
    assert re.search(r"dockge:\S+ cannot be pulled", run.output)
    assert converged.containers() == containers
    changed = [line.partition(":")[0] for line in differences(before, files(converged))]
    assert changed == ["/opt/stacks/dhoch3/compose.yaml"]
    converged.faults("{}")
    run = converged.pyinfra("tasks/stacks.py", "-y", environment=older)
    assert run.status == 0, run.error


def test_a_registry_that_is_slow(converged: Workstation, older: dict[str, str]) -> None:
    """The run waits for it."""
    converged.faults(json.dumps({"/v2/": {"delay": 3.0}}))
    run = converged.pyinfra("tasks/stacks.py", "-y", environment=older)
    assert run.status == 0, run.error
    assert run.changed == ["Files of dhoch3", "Services of dhoch3"]


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
