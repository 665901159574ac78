"""The contestants: how each is run against a machine, and whether it changed anything."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab import rehearsal
from lab.bench.measure import Sample
from lab.paths import REPOSITORY, STATE
from workstation import environment

HERE = Path(__file__).resolve().parent
FOLDER = STATE / "bench"
WANTED = FOLDER / "wanted"
"""The end state as data (``vars.json``), and below ``files/`` every file at its path."""
ANSIBLE = FOLDER / "venv" / "bin" / "ansible-playbook"

# Preflight and acceptance have no counterpart in a playbook; the stack dhoch3 has no worker.
TASKS = tuple(
    f"tasks/{task}.py"
    for task in ("docker", "nvidia", "ollama", "storage", "smb", "proxy", "stacks")
)

_FOREIGN = ("ANSIBLE_", "PYINFRA_", "SMB_", "SSH_", "WORKSTATION_")


@dataclass(frozen=True)
class Target:
    """How to reach the machine by SSH; ``env_file``: the deploy's environment file."""

    env_file: Path
    host: str
    port: int
    user: str
    key: str

    @staticmethod
    def of(env_file: Path) -> Target:
        """Return the variables of an environment file. Raises UserError if it cannot be read."""
        values = environment.read_file(env_file)
        return Target(
            env_file,
            values["WORKSTATION_HOST"],
            int(values.get("SSH_PORT", "22")),
            values["SSH_USER"],
            values["SSH_KEY"],
        )

    def through(self, port: int) -> Target:
        """Return the same machine behind a port of this one."""
        return replace(self, host="127.0.0.1", port=port)


@dataclass(frozen=True)
class Contestant:
    """One command that leaves a converged machine unchanged. ``changes`` extracts from a run what
    it changed or why it failed; empty for neither."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    changes: Callable[[Sample], str]


def pyinfra(name: str, folder: Path, files: Sequence[str], **variables: str) -> Contestant:
    """Return a run of pyinfra.

    + files: inventory and deploys
    + variables: of its environment, besides the caller's
    """
    command = [sys.executable, "-m", "pyinfra", *files, "-y", "--json"]
    return Contestant(name, command, folder, {**_clean(), **variables}, pyinfra_changes)


def ours(target: Target, name: str, *deploys: str) -> Contestant:
    """Return this project's run of some deploys."""
    return pyinfra(
        name,
        REPOSITORY,
        ["inventory.py", *deploys],
        ENV_FILE=str(target.env_file),
        WORKSTATION_HOST=target.host,
        SSH_PORT=str(target.port),
        SSH_KNOWN_HOSTS=str(FOLDER / "known_hosts"),
    )


def plain(target: Target) -> Contestant:
    """Return plain pyinfra: its own operations, none of this project's changes to it."""
    connection = {
        "ssh_hostname": target.host,
        "ssh_port": target.port,
        "ssh_user": target.user,
        "ssh_key": target.key,
        "ssh_known_hosts_file": str(FOLDER / "known_hosts"),
        "ssh_strict_host_key_checking": "accept-new",
    }
    return pyinfra(
        "plain pyinfra",
        HERE / "plain",  # where no config.py is
        ["inventory.py", "deploy.py"],
        BENCH_TARGET=json.dumps(connection),
        BENCH_WANTED=str(WANTED / "vars.json"),
    )


def ansible(target: Target, sockets: Path) -> Contestant:
    """Return the playbook.

    + sockets: folder, of a short name, for the connections that Ansible keeps open
    """
    connection = {
        "ansible_host": target.host,
        "ansible_port": target.port,
        "ansible_user": target.user,
        "ansible_ssh_private_key_file": target.key,
    }
    return Contestant(
        "ansible-core",
        [
            *(str(ANSIBLE), "-i", "workstation,", "-e", json.dumps(connection)),
            *("-e", f"@{WANTED / 'vars.json'}", "playbook.yml"),
        ],
        HERE / "ansible",
        {
            **_clean(),
            "ANSIBLE_CONFIG": str(HERE / "ansible" / "ansible.cfg"),
            "ANSIBLE_HOME": str(FOLDER / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        },
        ansible_changes,
    )


def pyinfra_changes(sample: Sample) -> str:
    """Return what a run of pyinfra with ``--json`` changed, or how it failed."""
    result = rehearsal.outcome(sample.code, sample.output)
    done = len(result.changed) + result.unchanged
    if result.code or result.failed or not done:
        return f"failed (exit code {sample.code}): {_end(sample.errors)}"
    return ", ".join(dict.fromkeys(result.changed))


_RECAP = re.compile(r"^\S+ +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.M)


def ansible_changes(sample: Sample) -> str:
    """Return what a playbook changed, or how it failed."""
    recap = _RECAP.search(sample.output)
    if sample.code or not recap or recap[3] != "0" or recap[4] != "0":
        return f"failed (exit code {sample.code}): {_end(sample.output + sample.errors)}"
    changed: list[str] = []
    task = ""
    for line in sample.output.splitlines():
        if line.startswith(("TASK [", "RUNNING HANDLER [")):
            task = line.partition("[")[2].rpartition("]")[0]
        elif line.startswith("changed: "):
            changed.append(task)
    return ", ".join(dict.fromkeys(changed)) or ("" if recap[2] == "0" else "something")


def _clean() -> dict[str, str]:
    """Return the caller's environment without variables that would point elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}


def _end(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-8:])
