"""Wrong inputs again, through pyinfra's own command line: exit status 1, one sentence at the end,
no traceback, no secret, and nothing written.

Nothing connects to any other machine, and `--dry` only plans.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.test_templates import ROOT
from tests.unit.wrong_inputs import SECRET
from tests.unit.wrong_outcomes import assert_sentence

# All commands run together, before the first test: more than a minute of both processors.
pytestmark = pytest.mark.timeout(900)

COMPOSE = "templates/stacks/dhoch3/compose.yaml.j2"
DRY = ("inventory.py", "deploy.py", "--dry")
# The part that all tasks begin with, which renders everything; the tasks themselves would query
# this machine a lot.
DEPLOY = """
from pyinfra import host
from workstation import context
machine = context.load(host)
machine.require()
machine.stacks(), machine.stack("proxy"), machine.workers, machine.ca_bundle()
print("RENDERED")
"""
ENV = f"""\
WORKSTATION_HOST=@local
GPU=none
SMB_SERVER=nas
SMB_SHARE=s
SMB_USER=u
SMB_PASSWORD={SECRET}
REDIS_PASSWORD={SECRET}
LOGIN_USER=u
LOGIN_PASSWORD={SECRET}
DOCKGE_PASSWORD={SECRET}
OPENWEBUI_PASSWORD={SECRET}
"""


def write(path: str, content: str | bytes) -> Callable[[Path], None]:
    data = content.encode() if isinstance(content, str) else content

    def change(folder: Path) -> None:
        (folder / path).unlink(missing_ok=True)
        (folder / path).write_bytes(data)

    return change


def add(path: str, text: str) -> Callable[[Path], None]:
    return lambda folder: write(path, (folder / path).read_text() + text)(folder)


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / path).read_text()
        assert old in text
        write(path, text.replace(old, new, 1))(folder)

    return change


def pipe(path: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / path).unlink(missing_ok=True)
        os.mkfifo(folder / path)

    return change


@dataclass
class Case:
    """The problem, the command, and a part of the sentence."""

    expected: str
    change: Callable[[Path], None] = lambda folder: None
    arguments: tuple[str | bytes, ...] = DRY
    variables: dict[str, str] = field(default_factory=dict)


AWAY = {"WORKSTATION_HOST": "127.0.0.1", "SSH_PORT": "1"}
CASES = {
    "a fault in all.py": Case("all.py line", add("group_data/all.py", "\n1 / 0\n")),
    "Python that is none": Case("is not valid Python", add("group_data/all.py", "\nx = = 1\n")),
    "an end in all.py": Case("SystemExit", add("group_data/all.py", "\nexit(0)\n")),
    "a Latin-1 all.py": Case("is not UTF-8", write("group_data/all.py", b"# \xe4\n")),
    "a pipe for all.py": Case("regular file", pipe("group_data/all.py")),
    "no data of a stack": Case(
        "is not a dictionary", add("group_data/dhoch3.py", "\ndhoch3 = None\n")
    ),
    "data of no stack": Case("belongs to no stack", write("group_data/dhoch.py", "x = 1\n")),
    "an entry left out": Case(
        "has no fast, which",
        replace("group_data/prometheus.py", '"fast": "/mnt/local/nvme/ai",', ""),
        variables={"STACKS": "prometheus"},
    ),
    "flags as text": Case(
        "flags.forge is '--x', expected a valid list",
        write("group_data/dhoch3.py", 'dhoch3 = {"flags": {"forge": "--x"}}\n'),
    ),
    "a limit that is none": Case(
        "did you mean pids_limit?",
        write("group_data/dhoch3.py", 'dhoch3 = {"limits": {"default": {"pids_limt": 1}}}\n'),
    ),
    "no privileges by limits": Case(
        "limits.default.privileged in group_data/dhoch3.py is not a limit",
        write("group_data/dhoch3.py", 'dhoch3 = {"limits": {"default": {"privileged": True}}}\n'),
    ),
    "a name of pyinfra's": Case("ssh_port?", add("group_data/all.py", "\nssh_prot = 22\n")),
    "a stack in --data": Case("expected a dictionary", arguments=(*DRY, "--data", "dhoch3=x")),
    "--data without =": Case("key=value", arguments=(*DRY, "--data", "gpu")),
    "--data twice": Case("twice", arguments=(*DRY, "--data", "gpu=none", "--data", "gpu=none")),
    "--data of pyinfra's": Case("did you mean _sudo?", arguments=(*DRY, "--data", "_sudoo=true")),
    "--data in Latin-1": Case("in UTF-8", arguments=(*DRY, "--data", b"domain=\xe4")),
    "group data that is not there": Case("--group-data", arguments=(*DRY, "--group-data", "nope")),
    "a fault in more group data": Case(
        "line 1 fails to run",
        lambda folder: ((folder / "more").mkdir(), write("more/all.py", "1 / 0\n")(folder))[1],
        (*DRY, "--group-data", "more"),
    ),
    "group data of no stack": Case(
        "dhoch.py belongs to no stack (did you mean dhoch3?)",
        lambda folder: ((folder / "more").mkdir(), write("more/dhoch.py", "x = 1\n")(folder))[1],
        (*DRY, "--group-data", "more"),
    ),
    "this folder as group data": Case("belongs to no stack", arguments=(*DRY, "--group-data", ".")),
    "pins as group data": Case("not a folder", arguments=(*DRY, "--group-data", "pins.yml")),
    "a device as group data": Case("not a folder", arguments=(*DRY, "--group-data", "/dev/null")),
    "fewer than no operations": Case("--parallel", arguments=(*DRY, "--parallel", "-1")),
    "leading zeros in --data": Case(
        "leading zeros", arguments=(*DRY, "--data", f"smb_password=0{'7' * 9}")
    ),
    "blanks in --data": Case("double quotes", arguments=(*DRY, "--data", "smb_user= 7")),
    "stacks in --data": Case(
        "STACKS, which only .env and the environment can",
        arguments=(*DRY, "--data", "stacks=prometheus"),
    ),
    "a configuration that is not there": Case("--config", arguments=(*DRY, "--config", "nope.py")),
    "a misspelt inventory": Case("no hosts", arguments=("inventroy.py", "deploy.py")),
    "a folder as inventory": Case("is not an inventory", arguments=("tasks", "deploy.py")),
    "tasks as inventory": Case("is not an inventory", arguments=("deploy.py", "deploy.py")),
    "no inventory": Case("no stack", arguments=("@local", "deploy.py", "--dry")),
    "a task that is not there": Case("No deploy file", arguments=("inventory.py", "tasks/x.py")),
    "a fact that is not there": Case("No such module", arguments=("inventory.py", "fact", "x.Y")),
    "a host that does not answer": Case("No hosts remaining", variables=AWAY),
    "known hosts in Latin-1": Case(
        "is not UTF-8", write("kh", b"\xe4 ssh-rsa A\n"), DRY, {**AWAY, "SSH_KNOWN_HOSTS": "kh"}
    ),
    "a pipe for known hosts": Case(
        "SSH_KNOWN_HOSTS", pipe("kh"), DRY, {**AWAY, "SSH_KNOWN_HOSTS": "kh"}
    ),
    "a key that is none": Case(
        "Invalid private key", write("key", "nope\n"), DRY, {**AWAY, "SSH_KEY": "key"}
    ),
    "a key of bytes": Case(
        "not a private key", write("key", b"\xff"), DRY, {**AWAY, "SSH_KEY": "key"}
    ),
    "a template in Latin-1": Case("is not UTF-8", write(COMPOSE, b"# \xe4\n")),
    "a fault in a template": Case("ZeroDivisionError", add(COMPOSE, "\n# {{ 1 / 0 }}\n")),
    "two files of one name": Case(
        "become the same file", write("templates/stacks/dhoch3/forge/requirements.lock.j2", "x")
    ),
    "no Dockerfile": Case(
        "no forge/Dockerfile.j2",
        lambda folder: (folder / "templates/stacks/dhoch3/forge/Dockerfile.j2").unlink(),
    ),
    "a file that a build takes": Case(
        "uses requirements.lock",
        lambda folder: (folder / "templates/stacks/dhoch3/forge/requirements.lock").unlink(),
    ),
    "networks as a list": Case(
        "networks.other is 'text': expected a mapping",
        replace(COMPOSE, "    external: true\n", "    external: true\n  other: text\n"),
    ),
    "criteria that are none": Case(
        "criteria is 1, expected", write("templates/stacks/dhoch3/_criteria.yml", "criteria: 1\n")
    ),
    "an image of tomorrow": Case(
        "changes over time",
        replace(COMPOSE, '{{ image("dockge") }}', "docker.io/louislam/dockge:latest"),
    ),
    "pins that are no YAML": Case("is not valid YAML", add("pins.yml", "\nimages: [\n")),
    "a pin of tomorrow": Case("latest", replace("pins.yml", 'tag: "1.5.0"', "tag: latest")),
    "a pipe for .env": Case("regular file", pipe(".env")),
    "a resolver that Traefik has not": Case(
        "whose certificates come from tls", variables={"PROXY_CERTRESOLVER": "le"}
    ),
    "a port that there is not": Case("65535", variables={"OLLAMA_PORT": "70000"}),
    "a port of a stack": Case(
        "llm_port is 70000",
        variables={"STACKS": "knowledge-center", "KNOWLEDGE_CENTER_LLM_PORT": "70000"},
    ),
    "certificates that are none": Case("PEM", variables={"CA_BUNDLE": "pins.yml"}),
    "bytes in the environment": Case("is not UTF-8", variables={"DOMAIN": "\udce4"}),
}
RIGHT = {
    "dhoch3": Case("RENDERED"),
    "knowledge-center": Case("RENDERED", variables={"STACKS": "knowledge-center"}),
    "prometheus": Case("RENDERED", variables={"STACKS": "prometheus"}),
}
EXEC = ("inventory.py", "-y", "exec", "--", "true")


@dataclass
class Done:
    """The result of a command, and the files before and after it."""

    status: int
    output: str
    error: str
    before: set[str]
    after: set[str]


def names(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return {name for name in found if "__pycache__" not in name and not name.startswith(".ssh")}


def run(folder: Path, case: Case) -> Done:
    folder.mkdir()
    for name in ("files", "workstation", "tasks"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("group_data", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pins.yml", "config.py", "inventory.py"):
        shutil.copy(ROOT / name, folder)
    (folder / "deploy.py").write_text(DEPLOY)
    (folder / ".env").write_text(ENV)
    case.change(folder)
    before = names(folder)
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", *case.arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **case.variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    output, error = (text.decode(errors="backslashreplace") for text in (done.stdout, done.stderr))
    return Done(done.returncode, output, error, before, names(folder))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """All commands, several at a time, because each takes a second."""
    root = tmp_path_factory.mktemp("commands")
    everything = {**CASES, **RIGHT}
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(
            lambda numbered: run(root / str(numbered[0]), numbered[1]),
            enumerate(everything.values()),
        )
        return dict(zip(everything, results, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_it_ends_with_one_sentence_and_status_1(name: str, done: dict[str, Done]):
    """Either ours or pyinfra's own."""
    ran = done[name]
    shown = ran.output + ran.error
    assert ran.status == 1, shown
    assert "Traceback" not in shown
    assert "RENDERED" not in shown
    assert SECRET not in shown
    last = ran.error.strip().splitlines()[-1]
    assert CASES[name].expected in last
    if last.startswith("--> error: "):
        # The id follows the sentence, in brackets.
        assert_sentence(re.sub(r" \[[a-z0-9-]+\]$", "", last.removeprefix("--> error: ")))
    else:
        assert last.startswith("--> pyinfra error"), shown
    assert ran.after == ran.before


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_goes_through(name: str, done: dict[str, Done]):
    """So a refusal in the other tests is caused by their wrong input."""
    ran = done[name]
    assert ran.status == 0, ran.output + ran.error
    assert RIGHT[name].expected in ran.output + ran.error
    assert "Traceback" not in ran.output + ran.error
    assert SECRET not in ran.output + ran.error


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "JSON"])
def test_a_command_of_ones_own_is_run(options: tuple[str, ...], tmp_path: Path):
    """`exec` is one of pyinfra's operations, which does not tell us its changes."""
    ran = run(tmp_path / "project", Case("", arguments=(*options, *EXEC)))
    assert ran.status == 0, ran.output + ran.error
    assert ('"results"' if options else "server.shell (true)") in ran.output + ran.error
    assert "Traceback" not in ran.output + ran.error
