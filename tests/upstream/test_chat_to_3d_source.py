"""The lab's stand-in for chat-to-3d's source has the page and the faults of upstream's.

CHAT_TO_3D_SOURCE names a folder with upstream's source; without it, the pinned commit is fetched.
Needs PyPI, and the ports 12345, 19002 and 8000 of 127.0.0.1. Four minutes at most.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.paths import cache
from lab.upstream import chat_to_3d
from workstation import mirror, pins

ROOT = Path(__file__).parents[2]
STANDINS = ROOT / "lab/standins"


def upstream(folder: Path) -> Path:
    """Return a copy of upstream's source."""
    target = folder / "upstream"
    if given := os.environ.get("CHAT_TO_3D_SOURCE"):
        shutil.copytree(given, target, ignore=shutil.ignore_patterns(".git"))
        return target
    where = mirror.load(os.environ.get("MIRROR", ""))
    pin = pins.load(ROOT / "pins.yml", where.pins).sources["chat_to_3d"]
    for command in (
        ("init", "--quiet", str(target)),
        ("-C", str(target), "fetch", "--quiet", "--depth=1", where.url(pin.url), pin.commit),
        ("-C", str(target), "checkout", "--quiet", "FETCH_HEAD"),
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the real packages of the lock."""
    folder = tmp_path_factory.mktemp("python")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wheels = chat_to_3d.wheels(chat_to_3d.LOCK, cache() / "upstream")
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-index"]
    subprocess.run([*command, "--no-deps", *map(str, wheels)], check=True, capture_output=True)
    return folder / "bin/python"


@pytest.fixture(scope="module", params=["upstream", "stand-in"])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of one of the two sources."""
    folder = tmp_path_factory.mktemp("source")
    return upstream(folder) if request.param == "upstream" else standin(folder)


def standin(folder: Path) -> Path:
    """Return a copy of the lab's repository."""
    return Path(shutil.copytree(STANDINS / "repos/chat_to_3d", folder / "stand-in"))


def said(python: Path, source: Path, *arguments: str) -> Any:
    """Return what chat_to_3d_facts.py says of a source."""
    script = str(Path(__file__).with_name("chat_to_3d_facts.py"))
    done = subprocess.run(
        [str(python), "-B", script, *arguments],
        cwd=source,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(STANDINS / "python"),
            "HOME": str(source.parent),
            "GRADIO_ANALYTICS_ENABLED": "False",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_the_pages_have_the_same_events(python: Path, tmp_path: Path):
    """By name, trigger, order, inputs and outputs: what drives one of them drives the other."""
    real = said(python, upstream(tmp_path), "events")
    assert said(python, standin(tmp_path), "events") == real
    assert len(real) > 400


def test_both_have_the_faults_that_our_launcher_corrects(python: Path, source: Path):
    """None of them is gone: a correction of it could not be seen to work."""
    assert said(python, source) == {
        "kept at start": False,
        "tells its pid": True,
        "ended by its own tab": [],
        "ended by another tab": [0],
        "addresses": ["http://localhost:19002/v1/health/ready", "http://localhost:8000/v1/infer"],
        "timeout": 300,
        "objects while the LLM is away": [],
        "kind while the LLM is away": ["SCENE", None],
        "3D while it is away": [False, "Cannot connect to 3D generation service", None],
        "picture without a GPU": [
            False,
            "Error generating image: Found no NVIDIA driver on your system. Please check that you"
            " have an NVIDIA GPU and installed a driver",
        ],
        "stops what never ran": True,
    }
