"""The lab for tests: one virtual machine per session, bare or converged within seconds.

Tests that begin with a bare machine, or need none, have the mark ``bare``. ``TEST_LAB`` names the
session's state folder in ``.lab/``, so that two sessions can run side by side.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.control import Lab
from lab.environment import LOGIN, content, engine, text, write
from lab.machine import BARE

REPOSITORY = Path(__file__).resolve().parents[2]
CONVERGED = "converged"
ENGINE = engine()
"""Which Docker the machine gets: the newest, or with LAB_ENGINE=distribution Debian's own."""
TOOLKIT = "http://192.168.0.5:80/nvidia.github.io/libnvidia-container"
CHECKPOINTS = "/vol/service/cw/storage-models/models/checkpoints"

PASSES = (LOGIN[0], LOGIN[1].encode())
"""Name and password at the proxy, as ``requests`` takes them."""
CURL = f"curl -u {shlex.quote(':'.join(LOGIN))}"
"""curl with the same, for a shell on the machine."""

# Folders to which runs copy files, apart from the contents of packages.
OURS = "/opt/stacks /etc/systemd/system /etc/fstab /etc/docker /etc/ai-workstation"

# Files that a machine changes by itself. Nothing else is ignored.
VOLATILE = (
    "/var/log",
    "/var/lib/systemd",
    "/var/lib/private/systemd",
    "/var/cache/ldconfig",
    "/var/tmp",
    "/root/.cache",
)

_OBSERVED = pytest.StashKey[bool]()

_RESULT = re.compile(r"^ {4}(\S.*?) {2,}(\d+) +(\S+) +(\S+) +(\S+) *$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One run of pyinfra: exit status, output, table of results, and with ``--json`` the JSON.
    ``share``: for the first run, the contents of the share at that time."""

    status: int
    output: str
    report: dict[str, Any] = field(default_factory=dict)
    share: list[str] = field(default_factory=list)

    @property
    def planned(self) -> set[str]:
        """The changes in the plan: ``create /etc/fstab`` and the like."""
        return _told(self.report["plan"])

    @property
    def done(self) -> set[str]:
        """The changes that operations made, in the same words."""
        return _told(self.report["results"]["operations"])

    @property
    def commands(self) -> int:
        """The number of commands sent to the host."""
        if self.report:
            return int(sum(self.report["remote_commands"].values()))
        found = re.search(r": (\d+) remote commands?", self.output)
        return int(found[1]) if found else 0

    @property
    def changed(self) -> list[str]:
        """Names of the operations that changed something."""
        if self.report:
            operations = self.report["results"]["operations"]
            return [one["name"] for one in operations if one["success"]]
        return [
            name
            for name, _, success, _, _ in self._results()
            if success != "-" and name != "Grand total"
        ]

    @property
    def operations(self) -> int:
        """The number of operations in the table."""
        if self.report:
            return len(self.report["results"]["operations"])
        return sum(name != "Grand total" for name, *_ in self._results())

    @property
    def error(self) -> str:
        """The lines of the error: pyinfra's and ours."""
        return "\n".join(line for line in self.output.splitlines() if "rror" in line)

    def _results(self) -> list[tuple[str, ...]]:
        _, _, table = self.output.partition("--> Results:")
        return [match.groups() for match in _RESULT.finditer(table)]


def _told(operations: list[dict[str, Any]]) -> set[str]:
    return {
        f"{one['change']} {one['subject']}"
        for operation in operations
        for told in operation["changes"].values()
        for one in told
        if one["change"] in ("create", "change", "remove")
    }


@dataclass
class Workstation:
    """The machine under test and how the deploy is run against it."""

    lab: Lab

    def pyinfra(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        folder: Path = REPOSITORY,
        inventory: str = "inventory.py",
    ) -> Run:
        """Run ``pyinfra inventory.py ARGUMENTS`` as a person would, without a terminal.

        + environment: variables besides the lab's environment file
        + folder: the checkout to run
        """
        machine_readable = "--json" in arguments
        process = self.start(
            *arguments, environment=environment, folder=folder, inventory=inventory
        )
        # A first run takes half an hour next to another machine, on two busy cores.
        output, errors = process.communicate(timeout=3600)
        if not machine_readable:
            sys.stdout.write(output)
            return Run(process.returncode, output)
        sys.stdout.write(errors)
        report = json.loads(output) if output else {}
        return Run(process.returncode, errors + output, report)

    def start(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        folder: Path = REPOSITORY,
        inventory: str = "inventory.py",
    ) -> subprocess.Popen[str]:
        """Start the command of ``pyinfra`` in a session of its own."""
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SMB_", "SSH_", "WORKSTATION_"))
        }
        variables |= {"ENV_FILE": str(self.lab.env_file)} | (environment or {})
        return subprocess.Popen(
            [sys.executable, "-m", "pyinfra", inventory, *arguments],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if "--json" in arguments else subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def environment_without(self, *names: str) -> dict[str, str]:
        """Return an environment that names a copy of the lab's file without these keys."""
        values = content(
            self.lab.folder,
            self.lab.machine.port(22),
            self.lab.user,
            self.lab.mirror.file,
        )
        file = self.lab.folder / "env-without"
        write(file, {key: value for key, value in values.items() if key not in names})
        return {"ENV_FILE": str(file)}

    def run(self, script: str, check: bool = True) -> str:
        """Run a script as root on the machine and return what it printed."""
        return self.lab.machine.ssh.run(script, check=check, timeout=600).stdout

    def findings(self) -> dict[str, dict[str, Any]]:
        """Return the findings in the report of the last acceptance, by the check's name."""
        report = REPOSITORY / ".ai-workstation" / "127.0.0.1" / "acceptance.json"
        return {one["name"]: one for one in json.loads(report.read_text())["findings"]}

    def succeeds(self, script: str) -> bool:
        """Return whether a script that is run as root on the machine exits with 0."""
        return self.lab.machine.ssh.run(script, check=False, timeout=600).returncode == 0

    def files(self) -> dict[str, str]:
        """Return path -> kind, mode, owner, size and time of every file on the root disk."""
        prune = " -o ".join(f"-path {path}" for path in VOLATILE)
        listing = self.run(
            f"find / -xdev \\( {prune} \\) -prune -o -printf '%p\\t%y %m %U:%G %s %T@\\n'"
        )
        # The time of a folder changes whenever something is created or removed in it; the list of
        # files shows that anyway.
        return {
            path: facts.rsplit(" ", 2)[0] if facts.startswith("d") else facts
            for path, _, facts in (line.partition("\t") for line in listing.splitlines())
        }

    def our_files(self) -> dict[str, str]:
        """Return path -> mode, owner, size and time of every file in the folders to which runs copy
        files."""
        listing = self.run(
            f"set -e; for one in {OURS}; do [ ! -e $one ] || find $one ! -type d "
            "-printf '%p\\t%m %U:%G %s %T@\\n'; done"
        )
        return dict(line.split("\t") for line in listing.splitlines())

    def containers(self) -> dict[str, str]:
        """Return name -> id and start time of every container."""
        listing = self.run(
            "docker ps -aq | xargs -r docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}'"
        )
        return dict(line.split(" ", 1) for line in listing.splitlines())

    def unit_starts(self) -> str:
        """Return the start times of our units and of Docker."""
        units = "docker.service ollama.service ollama-docker.socket ollama-docker-guard.service"
        return self.run(
            f"systemctl show --timestamp=us -p Id,ActiveEnterTimestamp {units}"
            " $(systemctl list-units --plain --no-legend 'mnt-*.mount' | cut -d' ' -f1)"
        )

    def clone(self, folder: str) -> None:
        """Create a clone of the checkout, including uncommitted changes, on the machine, with an
        ``.env`` for a local run."""
        values = content(self.lab.folder, 22, "root", None)
        local = {key: value for key, value in values.items() if not key.startswith(("SSH_", "CA_"))}
        local |= {"WORKSTATION_HOST": "@local", "MIRROR": f"{folder}/mirror.yml"}
        if "CA_BUNDLE" in values:
            local["CA_BUNDLE"] = "/etc/ai-workstation/ca-bundle.crt"
        files = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        archive = self.lab.folder / "clone.tar"
        subprocess.run(
            ["tar", "-cf", archive, "-C", REPOSITORY, "-T", "-"], input=files, text=True, check=True
        )
        for source, target in (
            (archive, f"{folder}/clone.tar"),
            (self.lab.mirror.file, f"{folder}/mirror.yml"),
        ):
            self.send(source.read_bytes(), target)
        self.send(text(local).encode(), f"{folder}/.env")
        self.run(f"cd {folder} && tar -xf clone.tar && rm clone.tar && chmod 600 .env")

    def send(self, data: bytes, target: str) -> None:
        """Write a file on the machine, and create its folder."""
        script = f"mkdir -p $(dirname {target}) && cat > {target}"
        subprocess.run(
            [*self.lab.machine.ssh.command(), script], input=data, check=True, timeout=120
        )

    def faults(self, faults: str) -> None:
        """Make the mirror serve faults (JSON, see lab/mirror.py); ``{}`` ends them."""
        (self.lab.mirror.root / "faults.json").write_text(faults)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark tests that need no provisioned machine."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if {"bare", "untouched"} & fixtures and "first_run" not in fixtures:
        item.add_marker("bare")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--reuse``: begin with the converged machine of an earlier session, to save time while
    working on a test."""
    parser.addoption("--reuse", action="store_true", help="keep the lab, and its first run")


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The lab, up for the whole session, in a state folder of its own."""
    made = Lab(REPOSITORY / ".lab" / os.environ.get("TEST_LAB", "test"))
    reuse = request.config.getoption("--reuse")
    if reuse and made.machine.exists:
        made.up()
    else:
        _first_run_file(made).unlink(missing_ok=True)
        shutil.rmtree(_keep(made), ignore_errors=True)
        made.reset()
    yield made
    if not reuse:
        made.down()


def _keep(lab: Lab) -> Path:
    """The place of the converged machine's share while another machine has its own share. It is
    moved, not copied, because the machine's mounts know its folders by their inodes."""
    return lab.folder / "share-converged"


def _first_run_file(lab: Lab) -> Path:
    """The file with the result of the first run, for a session that does not repeat it."""
    return lab.folder / "first-run.json"


def _empty_share(lab: Lab) -> None:
    """Give a bare machine an empty share; the server keeps running, because its port is part of the
    machine's command line."""
    lab.nas.start()
    if _first_run_file(lab).exists() and not _keep(lab).exists():
        lab.nas.data.rename(_keep(lab))
    else:
        shutil.rmtree(lab.nas.data)
    lab.nas.data.mkdir()


def _converged_share(lab: Lab, first: Run) -> None:
    """Give the converged machine its share, as it was after the first run."""
    lab.nas.start()
    if _keep(lab).exists():
        shutil.rmtree(lab.nas.data)
        _keep(lab).rename(lab.nas.data)
    for path in sorted(lab.nas.data.rglob("*"), reverse=True):
        if str(path.relative_to(lab.nas.data)) not in first.share:
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture
def untouched(lab: Lab) -> Workstation:
    """The machine in any state, for tests that never reach it."""
    return Workstation(lab)


@pytest.fixture
def bare(lab: Lab) -> Iterator[Workstation]:
    """A bare machine: no Docker, an empty share."""
    machine = Workstation(lab)
    machine.faults("{}")
    _empty_share(lab)
    lab.machine.restore(BARE)
    yield machine
    machine.faults("{}")


# The archived repository of guides from before 2023, with its key trusted by apt-key for
# everything, and the toolkit's repository as in a current guide.
_TRACES = f"""
cd /etc/apt
echo '# old' > sources.list.d/nvidia-docker.list
curl -fsS {TOOLKIT}/gpgkey | gpg --dearmor > trusted.gpg
echo 'deb [trusted=yes] {TOOLKIT}/stable/deb/$(ARCH) /' \
  > sources.list.d/nvidia-container-toolkit.list
"""


def _prepare(machine: Workstation) -> None:
    """Prepare a bare machine for the first run."""
    machine.run(f"mkdir -p {CHECKPOINTS}")
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    machine.send(weights, f"{CHECKPOINTS}/whole.safetensors")
    machine.send(b"half", f"{CHECKPOINTS}/half.safetensors")
    machine.run(_TRACES)


@pytest.fixture
def prepared() -> Callable[[Workstation], None]:
    """Return a function that prepares a bare machine like the first run's."""
    return _prepare


@pytest.fixture(scope="session")
def first_run(lab: Lab) -> Run:
    """The first run on a bare machine with two models, one of them truncated, and traces of
    nvidia-docker; kept as a checkpoint."""
    kept = _first_run_file(lab)
    if kept.exists():
        return Run(**json.loads(kept.read_text()))
    machine = Workstation(lab)
    _empty_share(lab)
    lab.machine.restore(BARE)
    _prepare(machine)
    run = machine.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    lab.machine.checkpoint(CONVERGED)
    share = [str(path.relative_to(lab.nas.data)) for path in lab.nas.data.rglob("*")]
    run = replace(run, share=share)
    kept.write_text(json.dumps(asdict(run)))
    return run


@pytest.fixture
def converged(lab: Lab, first_run: Run) -> Workstation:
    """A machine on which the whole deploy has run once."""
    return _converge(lab, first_run)


@pytest.fixture
def observed(lab: Lab, first_run: Run, request: pytest.FixtureRequest) -> Workstation:
    """The same for a test that changes nothing there: after another such test the machine is not
    restored, which saves the seconds of the restore and the time to warm up."""
    if request.session.stash.get(_OBSERVED, False):
        return Workstation(lab)
    machine = _converge(lab, first_run)
    request.session.stash[_OBSERVED] = True
    return machine


@pytest.fixture(autouse=True)
def _changed(request: pytest.FixtureRequest) -> None:
    """Record that a test changes the machine."""
    if {"converged", "bare"} & set(request.fixturenames):
        request.session.stash[_OBSERVED] = False


def _converge(lab: Lab, first: Run) -> Workstation:
    _converged_share(lab, first)
    lab.machine.restore(CONVERGED)
    machine = Workstation(lab)
    machine.faults("{}")
    return machine


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[[], Path]:
    """Return a function that copies the checkout, for tests that change templates or pins."""

    def copy() -> Path:
        target = tmp_path / "checkout"
        ignored = shutil.ignore_patterns(".git", ".venv", ".lab", "__pycache__", ".*_cache")
        shutil.copytree(REPOSITORY, target, ignore=ignored)
        return target

    return copy


@pytest.fixture
def older(lab: Lab, tmp_path: Path) -> dict[str, str]:
    """Variables for a run with an older release of Dockge in its pins."""
    mirror = yaml.safe_load(lab.mirror.file.read_text())
    older = json.loads((lab.mirror.root / "older.json").read_text())
    mirror["pins"]["images"]["dockge"] = older["images"]["dockge"]
    file = tmp_path / "mirror.yml"
    file.write_text(yaml.safe_dump(mirror))
    return {"MIRROR": str(file)}
