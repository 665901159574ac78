"""A run does exactly what its plan names: the plan is compared with the differences on the
machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.compare import compared
from tests.lab.conftest import Workstation

FOOOCUS = "/opt/stacks/dhoch3/fooocus/entrypoint.py"


@pytest.mark.long
def test_a_plan_is_what_the_run_then_does(
    converged: Workstation, checkout: Callable[[], Path], older: dict[str, str]
) -> None:
    """One state of the machine or of the templates after another; each is repaired or applied."""
    copy = checkout()
    compose = copy / "templates" / "stacks" / "dhoch3" / "compose.yaml.j2"
    original = compose.read_text()

    # By hand: a container is killed, and a file of a stack is deleted.
    converged.run("docker kill dhoch3-forge-1")
    run = compared(converged, "tasks/stacks.py")
    assert run.planned == {"change dhoch3: start forge"}
    converged.run(f"rm {FOOOCUS}")
    run = compared(converged, "tasks/stacks.py")
    assert run.planned == {f"create {FOOOCUS}"}

    # A service is edited: its container is re-created because of the key that differs.
    start = original.index("  dockge:\n")
    environment = original.index("    environment:\n", start) + len("    environment:\n")
    compose.write_text(f"{original[:environment]}      EDITED: 'yes'\n{original[environment:]}")
    run = compared(converged, "tasks/stacks.py", folder=copy)
    assert "change dhoch3: recreate dockge" in run.planned
    assert "environment.EDITED" in run.output

    # A pin changes: the image is pulled, and the plan names the previous one.
    run = compared(converged, "tasks/stacks.py", environment=older)
    assert any("pull" in one and "dockge" in one for one in run.planned)
    assert "was 1.5.0@sha256:" in run.output

    # A service is removed from the file, and so are its limits, which would otherwise be rejected.
    block = re.match(r"  dockge:\n(?:    .*\n|\n)+", original[start:])
    assert block
    compose.write_text(original.replace(block[0], ""))
    data = copy / "templates" / "stacks" / "dhoch3" / "_data.yml"
    limits = [line for line in data.read_text().splitlines(True) if " dockge:" in line]
    assert len(limits) == 1
    data.write_text(data.read_text().replace(limits[0], ""))
    run = compared(converged, "tasks/stacks.py", folder=copy)
    assert "remove dhoch3: remove dockge" in run.planned
