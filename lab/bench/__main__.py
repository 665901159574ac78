"""``python -m lab.bench``: the benchmark. ``./provision bench`` calls it. docs/benchmark.md

No measured run may change the machine, or the benchmark fails: a run that changes something is not
comparable, and contestants that undo each other's changes do not have the same end state.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

from lab import progress
from lab.bench import contestants, hosts, report
from lab.bench.contestants import ANSIBLE, FOLDER, TASKS, Contestant, Target
from lab.bench.delay import DelayedPort
from lab.bench.measure import Sample, Series, ratio, run
from lab.bench.report import Goal, Row
from lab.control import Lab
from lab.errors import LabError
from lab.machine import SSH_PORT
from lab.paths import REPOSITORY, STATE
from workstation.errors import UserError

LOCK = REPOSITORY / "requirements-bench.lock"
RESULTS = FOLDER / "results.json"
DELAY = 0.010  # seconds in each direction
HOSTS = 20
OURS = "ai-workstation"
WHOLE = "deploy.py"  # with preflight and acceptance


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and return the exit code; a missed goal is not a failure."""
    parser = argparse.ArgumentParser(
        prog="python -m lab.bench",
        description="How long runs take that change nothing: docs/benchmark.md",
    )
    parser.add_argument("--runs", type=int, default=5, help="of each contestant (default: 5)")
    parser.add_argument(
        "--only", choices=["machine", "hosts"], help="the lab's machine, or the many hosts"
    )
    parser.add_argument(
        "--state", type=Path, default=STATE, help="folder of the lab's state (.lab)"
    )
    options = parser.parse_args(arguments)
    # However it is stopped, it ends the processes it started, even in the background of a script,
    # where the shell ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        return _bench(options.runs, options.only, Lab(options.state))
    except (LabError, UserError) as error:
        progress.console.print(f"bench: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.console.print("bench: interrupted; all of its processes have ended")
        return 130


def _bench(runs: int, only: str | None, lab: Lab) -> int:
    rows: list[Row] = []
    goals: list[Goal] = []
    about = conditions() | {"runs": runs}
    if only != "hosts":
        if not lab.machine.running:
            raise LabError("the lab's machine is not running: start it with ./provision lab")
        about |= of_machine(lab)
        machine(Target.of(lab.env_file), runs, rows, goals)
    if only != "machine":
        problem = hosts.obstacle()
        if problem and only:
            raise LabError(problem)
        if problem:
            progress.console.print(f"left out: {problem}", markup=False)
        else:
            many(runs, rows, goals)
    about["load at the end"] = os.getloadavg()[0]
    report.write(RESULTS, report.document(about, rows, goals))
    output = Console()
    output.print(report.table(rows))
    for goal in goals:
        output.print(str(goal), markup=False, highlight=False)
    output.print(f"conditions and single runs: {RESULTS}", markup=False, highlight=False)
    return 0


# ---- one machine


def machine(target: Target, runs: int, rows: list[Row], goals: list[Goal]) -> None:
    """Compare this project, Ansible and plain pyinfra on a machine that has converged."""
    prepare_ansible()
    (FOLDER / "known_hosts").write_text("")
    with progress.step("the machine has converged"):
        unchanging(contestants.ours(target, WHOLE, "deploy.py"))
    with progress.step("what the tasks want of it"):
        recorder = contestants.ours(target, "record", "lab/bench/record.py")
        sample = run(recorder.command, recorder.folder, recorder.environment)
        if sample.code:
            raise LabError(f"the tasks could not be recorded:\n{sample.errors.strip()}")
    with ansible_sockets() as (sockets, close):

        def all_of(reached: Target) -> list[Contestant]:
            return [
                contestants.ours(reached, OURS, *TASKS),
                contestants.ansible(reached, sockets),
                contestants.plain(reached),
            ]

        whole = contestants.ours(target, WHOLE, "deploy.py")
        near = interleaved("loopback", [*all_of(target), whole], runs, after=close)
        with DelayedPort(target.host, target.port, DELAY) as port:
            far = interleaved(
                "20 ms added",
                all_of(target.through(port.port)),
                runs,
                after=close,
                turns=lambda: port.round_trips,
                warm=True,
            )
    for title, series, least in (("loopback", near, 15), ("20 ms added", far, 10)):
        rows += compared(title, series, OURS)
        factor = ratio(series["ansible-core"], series[OURS])
        goals.append(Goal(f"ansible-core against {OURS}, {title}", factor, least=least))
    alone = interleaved("one task", [contestants.ours(target, task, task) for task in TASKS], runs)
    for task, one in alone.items():
        share = ratio(one, near[WHOLE])
        rows.append(Row("one task", task, one, share))
        goals.append(Goal(f"{task} against deploy.py", share, most=0.25))


# ---- many hosts


def many(runs: int, rows: list[Row], goals: list[Goal]) -> None:
    """Compare a run on one host with a run on many at once."""
    with hosts.running(HOSTS) as ports:
        all_of, one = hosts.contestant(ports), hosts.contestant(ports[:1])
        with progress.step(f"{all_of.name} converge"):
            sample = run(all_of.command, all_of.folder, all_of.environment)
            if sample.code:
                raise LabError(f"the hosts did not converge: {all_of.changes(sample)}")
        series = interleaved("hosts", [one, all_of], runs)
    rows += compared("hosts", series, one.name)
    factor = ratio(series[all_of.name], series[one.name])
    goals.append(Goal(f"{all_of.name} against {one.name}", factor, most=3))


# ---- measuring


def interleaved(
    title: str,
    field: Sequence[Contestant],
    runs: int,
    after: Callable[[], None] = lambda: None,
    turns: Callable[[], int] | None = None,
    *,
    warm: bool = False,
) -> dict[str, Series]:
    """Run every contestant once unmeasured, then measured in turns (a, b, c, a, b, c ...).

    + warm: all of them have just run on this machine, so the unmeasured runs are skipped
    + after: called after every run, outside of the measurement
    + turns: returns the total number of round trips so far

    Raises LabError if one of them fails or changes something.
    """
    series = {contestant.name: Series() for contestant in field}
    with progress.step(title) as running:
        for number in range(int(warm), runs + 1):
            for contestant in field:
                running.detail = f"run {number} of {runs}: {contestant.name}"
                before = turns() if turns else 0
                sample = unchanging(contestant)
                after()
                if number:
                    series[contestant.name].samples.append(sample)
                    if turns:
                        series[contestant.name].round_trips.append(turns() - before)
    return series


def unchanging(contestant: Contestant) -> Sample:
    """Run a contestant once. Raises LabError if it fails or changes something."""
    sample = run(contestant.command, contestant.folder, contestant.environment)
    if changes := contestant.changes(sample):
        raise LabError(
            f"a run of {contestant.name} should have changed nothing, but: {changes}; "
            "./provision lab converges the machine, then try again"
        )
    return sample


def compared(condition: str, series: dict[str, Series], base: str) -> Iterator[Row]:
    """Yield a row for each contestant, its time divided by that of ``base``."""
    for name, one in series.items():
        yield Row(condition, name, one, None if name == base else ratio(one, series[base]))


# ---- Ansible


def prepare_ansible() -> None:
    """Create the virtual environment with Ansible, unless it matches the lock already."""
    venv = FOLDER / "venv"
    stamp = venv / "lock.sha256"
    wanted = f"{sys.version} {hashlib.sha256(LOCK.read_bytes()).hexdigest()}"
    if ANSIBLE.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    install = ("-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-r")
    with progress.step(f"ansible-core of {LOCK.name}") as running:
        progress.run([sys.executable, "-m", "venv", "--clear", str(venv)], running)
        progress.run([str(venv / "bin" / "python"), *install, str(LOCK)], running)
    stamp.write_text(wanted)


@contextmanager
def ansible_sockets() -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield a folder for the connections that Ansible keeps open, and a function to close them.

    Each run starts without a connection, like a person's first run and the other contestants. The
    folder's name is short because a socket's path is limited to about 100 characters (unix(7)).
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-"))

    def close() -> None:
        for socket in folder.iterdir():
            command = ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "machine"]
            subprocess.run(command, capture_output=True, check=False)

    try:
        yield folder, close
    finally:
        close()
        shutil.rmtree(folder, ignore_errors=True)


# ---- conditions


def conditions() -> dict[str, Any]:
    """Return a description of this machine and of the compared programs."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _output("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"),
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "pyinfra": metadata.version("pyinfra"),
        "ansible-core": LOCK.read_text().partition("ansible-core==")[2].split()[0],
        "ssh": _output("ssh", "-V"),
        "load at the start": os.getloadavg()[0],
    }


def of_machine(lab: Lab) -> dict[str, Any]:
    """Return a description of the lab's machine."""
    script = """
        . /etc/os-release; echo "$PRETTY_NAME, $(uname -r), $(nproc) cores, \
        Python $(python3 -V | cut -d' ' -f2), Docker $(docker version -f '{{.Server.Version}}'), \
        Compose $(docker compose version --short)" | tr -s ' '
    """
    return {
        "machine": lab.machine.ssh.run(script).stdout.strip(),
        "machine is": {"kvm": "virtualised (KVM)", "tcg": "emulated (TCG)"}[
            lab.machine.hardware.accelerator
        ],
        "machine's SSH port": lab.machine.port(SSH_PORT),
    }


def _output(*command: str) -> str:
    """Return the output of a command that prints a version, to either stream."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return "unknown" if result.returncode else (result.stdout or result.stderr).strip()


if __name__ == "__main__":
    sys.exit(main())
