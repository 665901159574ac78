"""What a plan names is what the run then does: compared with what is different on the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.lab.conftest import Run, Workstation

FOOOCUS = "/opt/stacks/dhoch3/fooocus/entrypoint.py"
UNIT = "/etc/systemd/system/ollama-docker.service"

_CONTAINER = re.compile(r"\w+ (\w+): (?:create|recreate|remove|start) ([\w-]+)$")


def _compared(machine: Workstation, *arguments: str, **how: object) -> Run:
    """Run; fail unless plan, results, containers and files all tell the same."""
    containers, files = machine.containers(), machine.our_files()
    run = machine.pyinfra(*arguments, "-y", "--json", **how)  # type: ignore[arg-type]
    assert run.status == 0, run.error
    assert run.planned == run.done
    after = machine.containers()
    named = {f"/{found[1]}-{found[2]}-1" for one in run.planned if (found := _CONTAINER.match(one))}
    different = {name for name in containers | after if containers.get(name) != after.get(name)}
    assert different == named
    now = machine.our_files()
    written = {path for path in files | now if files.get(path) != now.get(path)}
    subjects = {one.partition(" ")[2] for one in run.planned}
    assert {path for path in subjects if path.startswith("/") and path in files | now} == {
        path for path in written if not path.endswith(".before-ai-workstation")
    }
    return run


def _moved(machine: Workstation, folder: Path) -> Path:
    """Return a mirror file whose pin of Dockge is the release before."""
    mirror = yaml.safe_load(machine.lab.mirror.file.read_text())
    older = json.loads((machine.lab.mirror.root / "older.json").read_text())
    mirror["pins"]["images"]["dockge"] = older["images"]["dockge"]
    file = folder / "mirror.yml"
    file.write_text(yaml.safe_dump(mirror))
    return file


def test_a_plan_is_what_the_run_then_does(
    converged: Workstation, checkout: Callable[[], Path], tmp_path: Path
) -> None:
    """One state of the machine or of the templates after the other, each healed or applied."""
    copy = checkout()
    compose = copy / "templates" / "stacks" / "dhoch3" / "compose.yaml.j2"
    original = compose.read_text()

    # A service is edited: its container is recreated, for the key that differs.
    start = original.index("  dockge:\n")
    environment = original.index("    environment:\n", start) + len("    environment:\n")
    compose.write_text(f"{original[:environment]}      EDITED: 'yes'\n{original[environment:]}")
    run = _compared(converged, "tasks/stacks.py", folder=copy)
    assert "change dhoch3: recreate dockge" in run.planned
    assert "environment.EDITED" in run.output

    # A pin moves: the image is pulled, and said to have been another.
    moved = _moved(converged, tmp_path)
    run = _compared(converged, "tasks/stacks.py", environment={"MIRROR": str(moved)})
    assert any("pull" in one and "dockge" in one for one in run.planned)
    assert "was 1.5.0@sha256:" in run.output

    # A service is gone from the file, then back, with the pin before.
    block = re.match(r"  dockge:\n(?:    .*\n|\n)+", original[start:])
    assert block
    compose.write_text(original.replace(block[0], ""))
    run = _compared(converged, "tasks/stacks.py", folder=copy)
    assert "remove dhoch3: remove dockge" in run.planned
    run = _compared(converged, "tasks/stacks.py")
    assert "create dhoch3: create dockge" in run.planned

    # By hand: a unit edited, a container killed, a file of a stack deleted.
    converged.run(f"echo '# edited' >> {UNIT}")
    run = _compared(converged, "tasks/ollama.py")
    assert f"change {UNIT}" in run.planned
    converged.run("docker kill dhoch3-forge-1")
    run = _compared(converged, "tasks/stacks.py")
    assert run.planned == {"change dhoch3: start forge"}
    converged.run(f"rm {FOOOCUS}")
    run = _compared(converged, "tasks/stacks.py")
    assert run.planned == {f"create {FOOOCUS}"}
