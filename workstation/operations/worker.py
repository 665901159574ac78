"""The worker of a stack: a commit installed next to the running one, then switched to."""

from __future__ import annotations

from urllib.parse import urlsplit

from pyinfra import host

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.shell import script
from workstation.facts.worker import WorkerReleases
from workstation.operations import accounts, gpu_users
from workstation.operations.base import operation
from workstation.operations.live import live
from workstation.plan import Change, Changes, together
from workstation.worker import Worker


@operation
def release(worker: Worker, index: str, trusted: bool = False) -> Changes:
    """
    Ensure the worker's commit is installed with its packages and ``current`` points to it.

    + worker: what to install
    + index: URL of a Python package index; empty: pip's default
    + trusted: whether an index without TLS may serve packages without a hash
    """
    found = ask(host, WorkerReleases, folder=worker.home, unit=worker.unit_file)
    name = worker.release
    install, switch = name not in found.releases, name != found.current
    if not (install or switch):
        host.noop(f"the worker's commit {worker.commit[:12]} is installed")
        return
    if install:
        yield from accounts.system_user.changes(user=worker.installer, home="", groups=[])
        plain = urlsplit(index).scheme == "http"
        values = (
            *(f"{worker.home}/{name}", worker.repository, worker.commit, worker.folder, index),
            # pip only uses an index without TLS if it is named as trusted (pip install
            # --trusted-host).
            urlsplit(index).netloc if plain else "",
            "yes" if plain and not trusted else "",
            *(worker.installer, scripts.text("worker/build.sh")),
        )
        yield Change(
            "+",
            f"worker at {worker.commit[:12]} from {worker.repository}",
            commands=[live(script(scripts.text("worker/install.sh"), *values))],
        )
    if switch:
        yield Change(
            "~" if found.current else "+",
            f"{worker.current} -> {name}",
            f"was {found.current[:12]}" if found.current else "",
            commands=[script(scripts.text("worker/switch.sh"), worker.home, name, found.current)],
            writes=worker.current,
        )


@operation
def absent(worker: Worker) -> Changes:
    """
    Remove the worker of a stack: its unit and its code. Its state directory stays.
    """
    found = ask(host, WorkerReleases, folder=worker.home, unit=worker.unit_file)
    if not found.present:
        host.noop("there is no worker")
        return
    # The unit file is removed last: while it exists, the next run sees that something is left.
    paths = (worker.environment_file, worker.home, worker.unit_file)
    yield together(
        [Change("-", path) for path in (worker.unit_file, worker.home, worker.environment_file)],
        [script(scripts.text("worker/remove.sh"), worker.unit, *paths)],
    )
    yield from gpu_users.lost()
