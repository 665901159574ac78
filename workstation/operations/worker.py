"""The worker of a stack: a commit installed beside the one that runs, then switched to."""

from __future__ import annotations

from urllib.parse import urlsplit

from pyinfra import host

from workstation.facts.asking import ask
from workstation.facts.gpu_users import KEEP
from workstation.facts.shell import script
from workstation.facts.worker import WorkerReleases
from workstation.operations import gpu_users
from workstation.operations.base import Commands, operation
from workstation.operations.plan import live, tell
from workstation.worker import Worker

# In its final place, since a virtual environment knows its own path; whole once it is marked so.
# A server that gives out no commit by its id has its branches fetched. pip's own certificates are
# not those that the host trusts.
_INSTALL = """
set -e
release=$1 repository=$2 commit=$3 folder=$4 index=$5 trusted=$6
fail() { echo "$1" >&2; exit 1; }
umask 022
export GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND="${GIT_SSH_COMMAND:-ssh -o BatchMode=yes}"
rm -rf "$release"; mkdir -p "$release"; cd "$release"
git init --quiet
git fetch --quiet --depth 1 -- "$repository" "$commit" 2>/dev/null \\
  || git fetch --quiet -- "$repository" '+refs/*:refs/fetched/*' \\
  || fail "git cannot fetch from $repository: correct worker_repository, or let root in."
git checkout --quiet "$commit" || fail "$repository has no commit $commit: correct worker_commit."
cd "$folder" && [ -f requirements.txt ] \\
  || fail "commit $commit of $repository has no $folder/requirements.txt: correct worker_folder."
python3 -m venv "$release/.venv"
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
[ -z "$index" ] || export PIP_INDEX_URL="$index" PIP_TRUSTED_HOST="$trusted"
"$release/.venv/bin/pip" install --progress-bar off --no-cache-dir --requirement requirements.txt \\
  || fail "$folder/requirements.txt of the worker cannot be installed, see above."
[ -x "$release/.venv/bin/celery" ] \\
  || fail "$folder/requirements.txt of the worker does not name celery: add it there."
rm -rf "$release/.git"
sync -f "$release"
touch "$release/.complete"
sync -f "$release"
"""

# A rename replaces the link in one step. The release that ran until now stays, for the way back.
_SWITCH = """
set -e
cd "$1"
ln -sfn "$2" .current.new
mv -fT .current.new current
for release in *; do
  case $release in "$2"|"$3"|current) ;; *) rm -rf -- "$release" ;; esac
done
"""

_REMOVE = """
systemctl disable --now -- "$1" 2>/dev/null
rm -rf -- "$2" "$3" "$4"
keep_gpus
systemctl daemon-reload
"""


@operation
def release(worker: Worker, index: str) -> Commands:
    """
    Have the worker's commit installed with its packages, and ``current`` point to it.

    + worker: what to install
    + index: address of a Python package index; empty: pip's own
    """
    found = ask(host, WorkerReleases, folder=worker.home, unit=worker.unit_file)
    name = worker.release
    install, switch = name not in found.releases, name != found.current
    if not (install or switch):
        host.noop(f"the worker's commit {worker.commit[:12]} is installed")
        return
    if install:
        tell("+", f"worker at {worker.commit[:12]} from {worker.repository}")
    if switch:
        cause = f"was {found.current[:12]}" if found.current else ""
        tell("~" if found.current else "+", f"{worker.current} -> {name}", cause)
    if install:
        parts = urlsplit(index)
        # pip takes nothing from an index without TLS but by its name (pip install --trusted-host).
        trusted = parts.netloc if parts.scheme == "http" else ""
        path = f"{worker.home}/{name}"
        asked = (worker.repository, worker.commit, worker.folder, index, trusted)
        yield live(script(_INSTALL, path, *asked))
    if switch:
        yield script(_SWITCH, worker.home, name, found.current)


@operation
def absent(worker: Worker) -> Commands:
    """
    Have no worker of a stack: neither its unit nor its code. What it wrote to its state directory
    stays.
    """
    found = ask(host, WorkerReleases, folder=worker.home, unit=worker.unit_file)
    if not found.present:
        host.noop("there is no worker")
        return
    for path in (worker.unit_file, worker.home, worker.environment_file):
        tell("-", path)
    # The unit's file goes last: as long as it is there, the next run finds that something is left.
    gpu_users.tell_lost()
    paths = (worker.environment_file, worker.home, worker.unit_file)
    yield script(KEEP + _REMOVE, worker.unit, *paths)
