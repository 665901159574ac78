"""The origin of a run: the person, the commit of this repository, the command line."""

from __future__ import annotations

import getpass
import socket
import subprocess
import sys
from pathlib import Path

from workstation.report.page import Origin


def origin(repository: Path) -> Origin:
    """Return the origin of this run.

    + repository: root of the checkout; if it is not the root of a Git repository, there is no
      commit, because that of a repository around it would belong to another project
    """
    root, commit = _git(repository, "rev-parse", "--show-toplevel", "--short", "HEAD") or ("", "")
    if not root or Path(root).resolve() != repository.resolve():
        commit = ""
    changes = _git(repository, "status", "--porcelain") if commit else []
    return Origin(
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        commit=commit,
        # If Git does not answer, there may be changes.
        changed=changes is None or bool(changes),
        arguments=("pyinfra", *sys.argv[1:]),
    )


def _git(repository: Path, *arguments: str) -> list[str] | None:
    """Return the lines of Git's output; None if it is missing or fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            capture_output=True,
            text=True,
            errors="replace",  # names of files are bytes, whatever the locale says
            check=False,
        )
    except OSError:
        return None
    return None if done.returncode else done.stdout.splitlines()
