"""Behavior if pyinfra has changed: nothing is changed that was not shown and locked."""

from __future__ import annotations

import getpass
import grp
import inspect
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pyinfra
import pyinfra_cli
import pytest
from pyinfra.api.state import BaseStateCallback, State
from pyinfra.connectors import util
from pyinfra_cli import cli, prints

from workstation import hooks
from workstation.run import fresh

ROOT = Path(__file__).parents[2]

DEPLOY = """
from workstation.operations import files
from workstation.operations.files import File

files.present(name="New", entries=[File({new!r}, b"ours\\n", user={user!r}, group={group!r})])
"""


@dataclass
class Project:
    """A project with its own copy of pyinfra's command line."""

    folder: Path

    @property
    def new(self) -> Path:
        """The file that its deploy creates."""
        return self.folder / "new"

    def change(self, name: str, old: str, new: str) -> None:
        """Change a file of the copy, like a future version of pyinfra might."""
        path = self.folder / "packages" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, *options: str, inventory: str = "@local") -> tuple[int, str]:
        """Run its deploy at a terminal where Enter is pressed; return the status and the output."""
        ours, theirs = pty.openpty()
        os.write(ours, b"\n")
        done = subprocess.run(
            [sys.executable, "-m", "pyinfra", inventory, *options, str(self.folder / "deploy.py")],
            cwd=self.folder,
            env={
                **os.environ,
                "WORKSTATION_HOST": "@local",
                "PYTHONPATH": f"{self.folder / 'packages'}:{ROOT}",
            },
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        os.close(ours)
        os.close(theirs)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A deploy of one file, with unmodified pyinfra and this project's configuration."""
    for package in (pyinfra, pyinfra_cli):
        assert package.__file__
        folder = Path(package.__file__).parent
        shutil.copytree(
            folder,
            tmp_path / "packages" / folder.name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name in ("config.py", "inventory.py"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("group_data", "templates"):
        (tmp_path / name).symlink_to(ROOT / name)
    made = Project(tmp_path)
    group = grp.getgrgid(os.getgid()).gr_name
    text = DEPLOY.format(new=str(made.new), user=getpass.getuser(), group=group)
    (tmp_path / "deploy.py").write_text(text)
    return made


def test_as_it_is_it_runs(project: Project):
    """So a refusal in the other tests is caused by their change."""
    status, shown = project.run()
    assert status == 0, shown
    assert "1 of 1 step will change something" in shown
    assert project.new.exists()


CLI, PRINTS = "pyinfra_cli/cli.py", "pyinfra_cli/prints.py"


def through_its_module(project: Project) -> None:
    project.change(CLI, "from .prints import (", "from . import prints\nfrom .prints import (")
    project.change(CLI, "            print_meta(state)", "            prints.print_meta(state)")


def renamed(project: Project) -> None:
    for name in (CLI, PRINTS):
        project.change(name, "print_meta", "print_proposed")


def no_callbacks(project: Project) -> None:
    project.change("pyinfra/api/state.py", "handler in self.callback_handlers:", "handler in []:")


def no_click(project: Project) -> None:
    project.change(
        CLI, "import click", "import click\nclick.get_current_context = lambda silent: None"
    )


@pytest.mark.parametrize("change", [through_its_module, renamed, no_callbacks, no_click])
def test_where_pyinfra_works_in_another_way_nothing_is_changed(
    project: Project, change: Callable[[Project], None]
):
    """One sentence, and status 1, because the plan would not be shown, or the lock not taken."""
    change(project)
    status, shown = project.run()
    assert status == 1, shown
    assert shown.count("install the version in requirements.lock") == 1
    assert not project.new.exists()


def test_what_is_not_replaced_may_be_called_in_another_way(project: Project):
    """Plan and lock do not depend on how the command line calls `run_ops`."""
    project.change(
        "pyinfra_cli/cli.py",
        "from pyinfra.api.operations import run_ops",
        "from pyinfra.api import operations as _ops",
    )
    project.change("pyinfra_cli/cli.py", "    run_ops(state,", "    _ops.run_ops(state,")
    for options in ((), ("-y",)):
        project.new.unlink(missing_ok=True)
        status, shown = project.run(*options)
        assert status == 0, shown
        assert "1 of 1 step will change something" in shown
        assert project.new.exists()


def test_another_configuration_does_not_go_around_it(project: Project):
    """The inventory also checks this; and with another inventory, our operations refuse to run."""
    (project.folder / "other.py").touch()
    status, shown = project.run("--config", "other.py", inventory="inventory.py")
    assert status == 0, shown
    assert "1 of 1 step will change something" in shown
    project.new.unlink()
    for options in ((), ("-y",)):
        status, shown = project.run("--config", "other.py", *options)
        assert status == 1, shown
        assert "install the version in requirements.lock" in shown
        assert not project.new.exists()


@pytest.mark.parametrize("options", [("--serial",), ("--no-wait",)])
@pytest.mark.parametrize("yes", [(), ("-y",)])
def test_every_way_to_run_operations_begins_with_the_plan_and_the_lock(
    project: Project, options: tuple[str, ...], yes: tuple[str, ...]
):
    status, shown = project.run(*options, *yes)
    assert status == 0, shown
    assert "1 of 1 step will change something" in shown
    assert "@local: " in shown
    assert project.new.exists()


def test_three_functions_are_replaced_and_they_are_public():
    """They are called as before: their arguments have these names."""
    hooks.install()
    replaced = [
        f"{module.__name__}.{name}"
        for module in (cli, prints, util, pyinfra.api.state, pyinfra.api.host)
        for name, value in vars(module).items()
        if hasattr(value, "_ours")
    ]
    assert sorted(replaced) == [
        "pyinfra.connectors.util.read_buffer",
        "pyinfra_cli.cli.print_meta",
        "pyinfra_cli.cli.print_run_json",
    ]
    assert list(inspect.signature(prints.print_meta).parameters) == ["state"]
    assert list(inspect.signature(prints.print_run_json).parameters) == ["state", "dry"]
    assert list(inspect.signature(util.read_buffer).parameters)[:3] == [
        "name",
        "io",
        "output_queue",
    ]


def test_what_is_registered_with_pyinfra_is_what_it_calls():
    """Callbacks with these names and arguments."""
    for name, expected in {
        "operation_start": ["state", "op_hash"],
        "operation_host_start": ["state", "host", "op_hash"],
        "operation_end": ["state", "op_hash"],
        "host_disconnect": ["state", "host"],
    }.items():
        theirs, ours = getattr(BaseStateCallback, name), getattr(hooks.Hooks, name)
        assert list(inspect.signature(theirs).parameters) == expected
        assert list(inspect.signature(ours).parameters) == expected
    assert isinstance(State(check_for_changes=False).check_for_changes, bool)


@pytest.mark.parametrize(
    ("complete", "succeeded", "interrupted", "ending"),
    [
        (True, True, False, None),
        (False, False, False, "failed"),
        (False, False, True, "interrupted"),
    ],
)
def test_a_receipt_is_left_however_a_run_ends(
    monkeypatch: pytest.MonkeyPatch,
    complete: bool,
    succeeded: bool,
    interrupted: bool,
    ending: str | None,
):
    """An interrupted run does not count as done."""
    left: list[Any] = []
    monkeypatch.setattr(hooks.receipts, "of_run", lambda *given: given)
    monkeypatch.setattr(hooks.receipts, "leave", lambda state, host, given: left.append(given))
    host = Mock(log_styled=print)
    host.name = "gpu1"
    meta = SimpleNamespace(is_complete=lambda: complete, did_succeed=lambda: succeeded)
    state: Any = SimpleNamespace(
        get_op_order=lambda: ["one"],
        op_meta={"one": SimpleNamespace(names={"One"}, args=[])},
        ops={host: {"one": SimpleNamespace(operation_meta=meta)}},
        inventory=SimpleNamespace(iter_activated_hosts=lambda: [host]),
    )
    run = fresh()
    run.contexts["gpu1"] = "loaded"
    run.interrupted = interrupted
    hooks._end(state, host, datetime.now().astimezone())
    ((_, steps, failed, told, *_),) = left
    assert ([step.name for step in steps], failed, told) == (["One"], "", ending)
