#!/usr/bin/env python3
"""Triton's command in its image: the real Triton, with small models in the place of ours.

Every ``--model-repository`` is replaced by a copy of links to it, in which the model.py of each of
the five models is ``models.py`` beside this file. Triton reads the config.pbtxt itself, so it
refuses one that the real one refuses, and what the repository lacks it lacks here too.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

LAB = Path("/opt/tritonserver/lab")
REAL = "/opt/tritonserver/bin/tritonserver-real"
NAMES = ("upscale", "enhance", "style_comic", "style_aged", "background_remove")
FLAGS = ("--model-repository", "--model-store")
"""Two names of one flag (tritonserver --help)."""


def swapped(repository: Path, target: Path, models: Path) -> Path:
    """Make ``target`` a copy of a model repository with our models in it, and return it.

    A folder that does not exist or has no models is returned as it is: Triton says what is wrong.
    """
    if not repository.is_dir():
        return repository
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for model in sorted(repository.iterdir()):
        if model.name not in NAMES or not model.is_dir():
            (target / model.name).symlink_to(model)
            continue
        for path in sorted(model.rglob("*")):
            own = target / path.relative_to(repository)
            if path.is_dir():
                own.mkdir(parents=True)
            else:
                own.parent.mkdir(parents=True, exist_ok=True)
                own.symlink_to(models if path.name == "model.py" else path)
    return target


def arguments(given: list[str], scratch: Path, models: Path) -> tuple[list[str], list[str]]:
    """Return Triton's arguments with other repositories in them, and the repositories given."""
    made, found = [], []
    rest = list(given)
    while rest:
        one = rest.pop(0)
        flag, equals, value = one.partition("=")
        if flag not in FLAGS or (not equals and not rest):
            made.append(one)
            continue
        found.append(value if equals else rest.pop(0))
        folder = scratch / str(len(found))
        made.append(f"{flag}={swapped(Path(found[-1]), folder, models)}")
    return made, found


def main() -> None:
    """Become Triton."""
    scratch = Path(os.environ.get("TMPDIR", "/tmp")) / "lab-repositories"
    made, found = arguments(sys.argv[1:], scratch, LAB / "models.py")
    environment = {**os.environ, "LAB_REPOSITORIES": os.pathsep.join(found)}
    os.execve(REAL, ["tritonserver", *made], environment)


if __name__ == "__main__":
    main()
