"""The inventory and the guards, as run by pyinfra's command line.

Bad input results in one sentence and exit status 1, without a traceback; nothing connects to any
other machine, and nothing is changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = """
from pathlib import Path
from pyinfra import host
from workstation import environment, settings
loaded = settings.load(host.data.dict(), environment.known_stacks(Path.cwd()))
print(f"{host.name} groups={sorted(host.groups)} gpu={loaded.gpu} stack={host.data.get('dhoch3')}")
print(f"password={loaded.smb_password} sudo={host.data._sudo}")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The repository's own configuration with one stack and a deploy that only prints."""
    for name in ("inventory.py", "config.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "group_data").mkdir()
    shutil.copy(ROOT / "group_data/all.py", tmp_path / "group_data")
    (tmp_path / "group_data/dhoch3.py").write_text('dhoch3 = {"flag": 1}\n')
    (tmp_path / "templates/stacks/dhoch3").mkdir(parents=True)
    (tmp_path / "templates/stacks/dhoch3/compose.yaml.j2").touch()
    (tmp_path / "deploy.py").write_text(DEPLOY)
    return tmp_path


def pyinfra(
    project: Path, *arguments: str, **variables: str
) -> tuple[int, subprocess.CompletedProcess[str]]:
    keep = {"PATH": os.environ["PATH"], "HOME": str(project), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", "pyinfra", *(arguments or ("-y", "inventory.py", "deploy.py"))],
        cwd=project,
        env={**keep, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result


def refusal(project: Path, *arguments: str, **variables: str) -> str:
    """The single sentence at the end of a refused run."""
    status, result = pyinfra(project, *arguments, **variables)
    assert status == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("--> error: ")
    assert not (project / "pyinfra-debug.log").exists()
    return last.removeprefix("--> error: ")


def test_a_stack_with_a_dash_has_its_data_and_entries_of_it_from_the_environment(project: Path):
    """Group and files have the stack's name; its data has a name that is valid in Python."""
    (project / "group_data/other-stack.py").write_text('other_stack = {"a": 1, "b": 2}\n')
    (project / "templates/stacks/other-stack").mkdir()
    (project / "templates/stacks/other-stack/compose.yaml.j2").touch()
    (project / "deploy.py").write_text(
        "from pyinfra import host\n"
        "print(len({'dhoch3', 'other-stack'} & set(host.groups)), host.data.other_stack)\n"
    )
    given = {"WORKSTATION_HOST": "@local", "STACKS": "dhoch3,other-stack"}
    for changes, expected in ({}, "{'a': 1, 'b': 2}"), ({"OTHER_STACK_B": "3"}, "{'a': 1, 'b': 3}"):
        status, result = pyinfra(project, **given, **changes)
        assert status == 0, result.stderr
        assert f"2 {expected}" in result.stdout


def test_one_host_is_in_the_group_of_each_of_its_stacks(project: Path):
    """Group data, settings from .env and the masked password reach the deploy."""
    (project / ".env").write_text("GPU=none\nSMB_PASSWORD='ge heim'\n")
    status, result = pyinfra(project)
    assert status == 0, result.stderr
    assert "@local groups=" in result.stdout
    assert "'dhoch3'" in result.stdout
    assert "gpu=none stack={'flag': 1}" in result.stdout
    assert f"password=********** sudo={os.geteuid() != 0}" in result.stdout


def test_the_password_is_not_in_what_pyinfra_can_be_asked_to_print(project: Path):
    """debug-inventory and --debug show a host's data."""
    for arguments in (
        ("inventory.py", "debug-inventory"),
        ("--json", "inventory.py", "debug-inventory"),
        ("-y", "-vvv", "--debug", "inventory.py", "deploy.py"),
    ):
        status, result = pyinfra(project, *arguments, WORKSTATION_HOST="@local", SMB_PASSWORD="Q9x")
        assert status == 0, result.stderr
        assert "Q9x" not in result.stdout + result.stderr


def test_a_missing_env_file_is_one_sentence(project: Path):
    """For example, in the first run in a fresh clone."""
    assert "cp .env.example .env" in refusal(project)


def test_an_unknown_key_is_one_sentence(project: Path):
    """In .env it is found before connecting; after --data, when the deploy loads its settings."""
    assert "did you mean gpu?" in refusal(
        project, "-y", "inventory.py", "deploy.py", "--data", "gpv=none", WORKSTATION_HOST="@local"
    )
    (project / ".env").write_text("SMB_PASWORD=geheim\n")
    assert "did you mean SMB_PASSWORD?" in refusal(project)


def test_an_impossible_value_is_one_sentence(project: Path):
    """It is raised in a deploy file, which pyinfra runs in a separate greenlet."""
    message = refusal(project, WORKSTATION_HOST="@local", OLLAMA_PORT="none")
    assert message.startswith("ollama_port is 'none', expected a valid integer")


def test_a_run_without_hosts_fails(project: Path):
    """pyinfra itself would exit with 0."""
    limited = ("-y", "inventory.py", "deploy.py", "--limit", "nothing")
    assert "choose from @local, dhoch3" in refusal(project, *limited, WORKSTATION_HOST="@local")
    excluded = ("-y", "inventory.py", "deploy.py", "--exclude", "dhoch3")
    assert "leaves no host" in refusal(project, *excluded, WORKSTATION_HOST="@local")
    misspelt = ("-y", "inventroy.py", "deploy.py")
    assert "The inventory has no hosts" in refusal(project, *misspelt, WORKSTATION_HOST="@local")


def test_a_limit_that_matches_runs(project: Path):
    """By host and by group."""
    for limit in ("@local", "dhoch3"):
        arguments = ("-y", "inventory.py", "deploy.py", "--limit", limit)
        status, result = pyinfra(project, *arguments, WORKSTATION_HOST="@local")
        assert status == 0, result.stderr
        # pyinfra itself would exit with 0 if nothing matches; here the deploy has run, on this one
        # host.
        assert result.stdout.count("@local groups=") == 1


def test_an_error_that_is_not_ours_keeps_its_traceback(project: Path):
    """Only errors that a user can fix are shortened; a bug is shown in full."""
    (project / "deploy.py").write_text("1 / 0\n")
    status, result = pyinfra(project, WORKSTATION_HOST="@local")
    assert status == 1
    assert "ZeroDivisionError" in result.stderr


def test_an_unreachable_host_is_one_sentence_of_pyinfras(project: Path):
    """Connection refused; known_hosts is created, as ssh would do."""
    status, result = pyinfra(project, WORKSTATION_HOST="127.0.0.1", SSH_PORT="1", SSH_USER="root")
    assert status == 1
    assert "Unable to connect to port 1 on 127.0.0.1" in result.stderr
    assert "Traceback" not in result.stderr
    assert (project / ".ssh/known_hosts").stat().st_mode & 0o777 == 0o600
