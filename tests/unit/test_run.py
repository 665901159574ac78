"""A run as seen by a person or a program, with pyinfra's own command line, on this machine."""

from __future__ import annotations

import getpass
import grp
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

DEPLOY = """
from workstation.operations import files
from workstation.operations.files import Directory, File

own = {{"user": {user!r}, "group": {group!r}}}
files.present(name="Folder", entries=[Directory({folder!r}, **own)])
files.present(name="File", entries=[File({file!r}, b"one\\ntwo\\n", **own)])
"""


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """A deploy of one folder and one file in it, neither of which exists."""
    path = tmp_path / "deploy.py"
    group = grp.getgrgid(os.getgid()).gr_name
    folder = tmp_path / "folder"
    path.write_text(
        DEPLOY.format(
            user=getpass.getuser(), group=group, folder=str(folder), file=str(folder / "file")
        )
    )
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pyinfra", "@local", *map(str, arguments)]


def pyinfra(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_dry_run_shows_the_plan_and_changes_nothing(deploy: Path):
    """With the lines of files, and with the number of steps that will change something."""
    run = pyinfra(deploy, "--dry", "--diff")
    assert run.returncode == 0, run.stderr
    file = deploy.parent / "folder" / "file"
    assert "@local: 2 of 2 steps will change something" in run.stderr
    assert f"+ {file}" in run.stderr
    assert "      +two" in run.stderr
    assert not file.exists()


def test_with_yes_the_plan_is_shown_too_and_then_done(deploy: Path):
    """A second run finds nothing to do; the number of queries stays within its limit."""
    first, second = pyinfra(deploy, "-y"), pyinfra(deploy, "-y")
    assert "2 of 2 steps will change something" in first.stderr
    assert "not in the plan" not in first.stderr
    assert (deploy.parent / "folder" / "file").read_text() == "one\ntwo\n"
    assert "nothing to change: all 2 steps are up to date" in second.stderr
    assert "@local: 3 remote commands" in second.stderr  # the lock and two questions


EXPECTS = """
from dataclasses import replace

from pyinfra import host, state

from workstation.facts.asking import ask, expect
from workstation.facts.machine import Machine
from workstation.operations.base import operation
from workstation.plan import Change


@operation
def changed(file):
    seen = ask(host, Machine)
    if seen.architecture == "planned":
        return []
    if not state.is_executing:
        expect(host, Machine, replace(seen, architecture="planned"))
    return [Change("+", file, commands=[f"touch {{file}}"])]


for file in ({files}):
    changed(name=file, file=file)
"""


def test_what_the_plan_expects_is_not_taken_for_done(tmp_path: Path):
    """With -y there is no question in between, after which all answers would be forgotten."""
    first, second = tmp_path / "first", tmp_path / "second"
    deploy = tmp_path / "deploy.py"
    deploy.write_text(EXPECTS.format(files=f"{str(first)!r}, {str(second)!r}"))
    run = pyinfra(deploy, "-y")
    assert run.returncode == 0, run.stderr
    assert "1 of 2 steps will change something" in run.stderr
    assert first.exists()


def test_plan_and_results_can_be_read_by_programs(deploy: Path):
    """The result matches the plan; standard output contains nothing else."""
    report = json.loads(pyinfra(deploy, "-y", "--json", "--diff").stdout)
    planned = [one["changes"]["@local"] for one in report["plan"]]
    done = [one["changes"]["@local"] for one in report["results"]["operations"]]
    assert planned == done
    assert planned[1][0]["change"] == "create"
    assert planned[1][0]["subject"].endswith("/folder/file")
    assert "+two" in planned[1][0]["diff"]
    assert report["remote_commands"]["@local"] > 3
    assert list(report["seconds"]) == ["plan", "operations"]


def test_json_without_yes_changes_nothing(deploy: Path):
    """There is no terminal for the question."""
    report = json.loads(pyinfra(deploy, "--json").stdout)
    assert report["results"] is None
    assert not (deploy.parent / "folder").exists()


def test_without_a_terminal_nobody_can_confirm(deploy: Path):
    """One sentence, after the plan."""
    run = pyinfra(deploy)
    assert run.returncode == 1
    assert "2 of 2 steps will change something" in run.stderr
    assert "There is no terminal for an answer" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (deploy.parent / "folder").exists()


def test_an_operation_of_pyinfras_own_is_in_the_plan_and_asked_about(tmp_path: Path):
    """It does not tell us its changes, and must not run as if there were nothing to do."""
    deploy, made = tmp_path / "deploy.py", tmp_path / "made"
    deploy.write_text(
        "from pyinfra.operations import server\n"
        f"server.shell(name='Make it', commands=['touch {made}'])\n"
    )
    run = pyinfra(deploy)
    assert run.returncode == 1
    assert "1 of 1 step will change something" in run.stderr
    assert "~ Make it (by pyinfra itself, which shows no details)" in " ".join(run.stderr.split())
    assert "There is no terminal for an answer" in run.stderr
    assert not made.exists()
    assert pyinfra(deploy, "-y").returncode == 0
    assert made.exists()


@pytest.mark.parametrize(("answer", "made"), [("\n", True), ("no\n", False)])
def test_at_a_terminal_the_plan_is_asked_about_once(deploy: Path, answer: str, made: bool):
    """Enter confirms, anything else does not."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(deploy), cwd=REPOSITORY, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    ) as run:
        os.write(ours, answer.encode())
        assert run.stderr is not None
        shown = run.stderr.read().decode()
    for end in (ours, theirs):
        os.close(end)
    assert run.returncode == 0
    assert shown.count("Press enter to execute") == 1
    assert (deploy.parent / "folder" / "file").exists() == made


def test_what_cannot_be_planned_stops_before_the_first_change(deploy: Path):
    """A missing template in the last task, with -y."""
    deploy.write_text(
        f"{deploy.read_text()}\nfrom workstation.render import template\ntemplate('no/such.j2')\n"
    )
    run = pyinfra(deploy, "-y")
    assert run.returncode == 1
    assert "templates/no/such.j2 is missing" in run.stderr
    assert not (deploy.parent / "folder").exists()


def test_a_dry_run_that_cannot_be_planned_shows_no_plan(deploy: Path):
    """It would be a part of one: the error says what is missing."""
    deploy.write_text(
        f"{deploy.read_text()}\nfrom workstation.render import template\ntemplate('no/such.j2')\n"
    )
    run = pyinfra(deploy, "--dry")
    assert run.returncode == 1
    assert "templates/no/such.j2 is missing" in run.stderr
    assert "@local: " not in run.stderr


@pytest.mark.parametrize("options", [(), ("--dry",), ("-y",), ("--dry", "-y")], ids=" ".join)
def test_a_task_that_only_shows_something_asks_nothing(tmp_path: Path, options: tuple[str, ...]):
    """Such as tasks/history.py, from a pipeline too: there is no plan to confirm."""
    deploy = tmp_path / "deploy.py"
    deploy.write_text(
        "from pyinfra import host\nfrom workstation import hooks\n"
        "hooks.enter(host)\nprint('seen')\n"
    )
    run = pyinfra(deploy, *options)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "seen\n"
    assert "up to date" not in run.stderr


def test_an_interrupted_run_says_so_and_does_not_exit_as_if_it_were_done(deploy: Path):
    """Like in a shell, 128 plus the signal's number; it ends at once, whatever is running on the
    host."""
    deploy.write_text(
        "from pyinfra.operations import server\n"
        "server.shell(name='Sleep', commands=['echo begun; sleep 60'])\n"
    )
    with subprocess.Popen(
        command(deploy, "-y", "-vvv"),
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.strip().endswith("begun"):
                break
        interrupted = time.monotonic()
        run.send_signal(signal.SIGINT)
        rest = run.stdout.read()
    assert time.monotonic() - interrupted < 30
    assert run.returncode == 130
    assert "Interrupted: the next run finishes" in rest
    assert "Traceback" not in rest


FAILS = """
from pyinfra import state
from workstation.errors import HostError
from workstation.facts.shell import script
from workstation.operations.base import operation
from workstation.plan import Change

@operation
def fails():
    if state.is_executing and {told}:
        raise HostError("the machine is on fire: put it out.")
    yield Change("~", "fire", commands=[script("echo smoke; exit 3")])

fails(name="Fire")
"""


@pytest.mark.parametrize(
    ("told", "last"),
    [
        (True, "--> error: the machine is on fire: put it out."),
        (False, "--> error: Fire failed on @local, for the reason shown above. [step-failed]"),
    ],
)
def test_the_last_words_of_a_run_that_fails_are_why(tmp_path: Path, told: bool, last: str):
    """pyinfra itself would only say that no host remains."""
    deploy = tmp_path / "deploy.py"
    deploy.write_text(FAILS.format(told=told))
    done = pyinfra(deploy, "-y")
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1] == last
    assert "Traceback" not in done.stderr
