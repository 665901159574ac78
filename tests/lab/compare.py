"""Whether a run did exactly what its plan named, judged by its report and by the actual
differences."""

from __future__ import annotations

import re
from typing import Any

from tests.lab.conftest import Run, Workstation

_CONTAINER = re.compile(r"\w+ ([\w-]+): (?:create|recreate|remove|start) ([\w-]+)$")


def compared(machine: Workstation, *arguments: str, **how: Any) -> Run:
    """Run; fail unless plan, results, containers and files all agree."""
    containers, files = machine.containers(), machine.our_files()
    run = machine.pyinfra(*arguments, "-y", "--json", **how)
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
