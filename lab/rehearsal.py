"""The rehearsal on the lab's machine: deploy, then deploy again, which must change nothing.

Each deploy ends with acceptance, so a successful deploy has tested its services. With `--json`
(3.10) pyinfra writes plan and results to standard output and its log to standard error: the log is
shown, the results are counted.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import progress
from lab.control import Lab
from lab.environment import LOGIN, PASSWORD
from lab.machine import HTTP_PORT
from lab.paths import REPOSITORY
from lab.progress import console

ROUTE = re.compile(r"Host\(`([^`]+)`\)")


@dataclass
class Outcome:
    """What one pyinfra run did: its exit code, the names of its operations by result, and how many
    seconds each part of it took."""

    code: int
    changed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unchanged: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def outcome(code: int, output: str) -> Outcome:
    """Return the result in pyinfra's JSON output; an aborted run prints none."""
    start = output.find('{"plan"')
    if start < 0:
        return Outcome(code)
    document: dict[str, Any] = json.JSONDecoder().raw_decode(output[start:])[0]
    result = Outcome(code, seconds=document.get("seconds", {}))
    for operation in (document.get("results") or {}).get("operations", []):
        result.changed += [operation["name"]] * len(operation["success"])
        result.failed += [operation["name"]] * len(operation["error"])
        result.unchanged += len(operation["no_change"])
    return result


def routes(compose_files: str) -> list[str]:
    """Return the host names that the stacks' Traefik labels route, sorted."""
    return sorted(set(ROUTE.findall(compose_files)))


def rehearse(lab: Lab) -> int:
    """Bring the lab up and deploy twice; return 0 if both succeed and the second changes
    nothing."""
    seconds: dict[str, float] = {}
    with progress.stopwatch(seconds, "lab"):
        lab.up()
    with progress.stopwatch(seconds, "first run"):
        first = deploy(lab, "first run")
    if first.code:
        return _verdict(f"the first run failed (exit code {first.code})", seconds)
    with progress.stopwatch(seconds, "second run"):
        second = deploy(lab, "second run")
    if second.code:
        return _verdict(f"the second run failed (exit code {second.code})", seconds)
    for name in second.changed:
        console.print(f"[red]changed by the second run:[/] {name}")
    tell(lab)
    for title, run in (("first run", first), ("second run", second)):
        parts = ", ".join(f"{name} {value:.0f} s" for name, value in run.seconds.items())
        console.print(f"{title}: {parts}", markup=False)
    console.print(
        f"first run: {len(first.changed)} operations changed, {first.unchanged} did not; "
        f"second run: {len(second.changed)} changed, {second.unchanged} did not"
    )
    if second.changed:
        return _verdict("the second run changed something", seconds)
    return _verdict("", seconds)


def deploy(lab: Lab, title: str, extra: Sequence[str] = ()) -> Outcome:
    """Run the deploy on the lab's machine with live output."""
    code, output = _stream(["deploy.py", "-y", "--json", *extra], lab.env_file, title)
    return outcome(code, output)


def tell(lab: Lab) -> None:
    """Print the addresses of the services and how to log in."""
    files = lab.machine.ssh.run("cat /opt/stacks/*/compose.yaml", check=False).stdout
    port = lab.machine.port(HTTP_PORT)
    for host in routes(files):
        console.print(f"  http://{host}:{port}/")
    console.print(f"  at the proxy: {LOGIN[0]}, password {LOGIN[1]}", markup=False)
    console.print(f"  in Dockge: admin, password {PASSWORD}", markup=False)
    console.print("  shell: ./provision lab ssh    stop: ./provision lab down")


def _stream(arguments: Sequence[str], env_file: Path, title: str) -> tuple[int, str]:
    """Run pyinfra, showing its log live; return its exit code and standard output."""
    with (
        progress.step(title) as running,
        subprocess.Popen(
            [sys.executable, "-m", "pyinfra", "inventory.py", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=REPOSITORY,
            env={**os.environ, "ENV_FILE": str(env_file), "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        collected: list[str] = []
        reader = threading.Thread(
            target=lambda pipe: collected.append(pipe.read()), args=(process.stdout,)
        )
        reader.start()
        for line in process.stderr:
            if line.strip():
                running.tell(line.rstrip())
        reader.join()
        running.failed = process.wait() != 0
    return process.returncode, "".join(collected)


def _verdict(problem: str, seconds: dict[str, float]) -> int:
    """Print the seconds and the verdict; return the exit code."""
    console.print(", ".join(f"{name} {value:.0f} s" for name, value in seconds.items()))
    console.print(f"[red]{problem}[/]" if problem else "[green]The rehearsal succeeded.[/]")
    return 1 if problem else 0
