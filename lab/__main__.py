"""``python -m lab``: the lab's command line. ``./provision lab`` calls it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.control import Lab
from lab.errors import LabError
from lab.paths import STATE
from lab.progress import console
from lab.rehearsal import rehearse

USAGE = """\
  run      up, deploy, then deploy again, which must change nothing (the default)
  up       start the machine, NAS and mirror, from any state
  reset    the same with a wiped machine and an empty share
  ssh      open a shell in the machine, or run a command: python -m lab ssh -- docker ps
  status   show what is running, and where
  down     stop everything; the machine's disk stays
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code."""
    options = _parser().parse_args(arguments)
    lab = Lab(options.state, user=options.user)
    verbs: dict[str, Callable[[], int | None]] = {
        "run": lambda: rehearse(lab),
        "up": lab.up,
        "reset": lab.reset,
        "down": lab.down,
        "status": lambda: _status(lab),
        "ssh": lambda: _ssh(lab, options.command),
    }
    try:
        return verbs[options.verb]() or 0
    except LabError as error:
        console.print(f"lab: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("lab: interrupted; `./provision lab down` stops what is still running")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="A throwaway virtual workstation.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = ["run", "up", "reset", "ssh", "status", "down"]
    parser.add_argument("verb", nargs="?", default="run", choices=verbs)
    parser.add_argument(
        "--user",
        default="operator",
        choices=["operator", "root"],
        help="whom ssh and the deploy log in as (operator, who uses sudo)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=STATE,
        help="folder of the lab's state, to have one beside another (.lab)",
    )
    parser.add_argument("command", nargs="*", help="for ssh: a command instead of a shell")
    return parser


def _status(lab: Lab) -> int:
    """Print what is running and return 0 only if everything is."""
    parts = lab.status()
    for name, running, where in parts:
        console.print(f"{name:8} {'running' if running else 'stopped'}  {where}", markup=False)
    return 0 if all(running for _, running, _ in parts) else 3


def _ssh(lab: Lab, command: list[str]) -> int:
    """Replace this process with ssh, so that the user gets its terminal and exit code."""
    ssh = [*lab.machine.ssh.command(lab.user), *command]
    os.execvp(ssh[0], ssh)


if __name__ == "__main__":
    sys.exit(main())
