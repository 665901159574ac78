"""The worker of the stack knowledge-center: the user's own code, run on the host by Celery.

Where it is to be had and what it is told, from ``group_data/knowledge-center.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from workstation.errors import shown
from workstation.settings import SettingsError

STACK = "knowledge-center"


@dataclass(frozen=True)
class Worker:
    """A commit of a git repository, the folder in it that holds ``requirements.txt`` and the app,
    and the seconds that the model server gets for one answer."""

    repository: str
    commit: str
    folder: str
    app: str
    timeout: int

    @property
    def release(self) -> str:
        """The name of its release on the host: whose packages are installed depends on the folder
        as well."""
        # A plus is in no folder's name.
        folder = "" if self.folder == "." else f"+{self.folder.replace('/', '+')}"
        return f"{self.commit}{folder}"


# git-fetch(1), "Git URLs". Of `ext::` and the like the address is a command.
_REPOSITORY = re.compile(
    r"((https?|ssh|git|file)://|/|([A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9_.-]*:(?!:))\S{1,1000}"
)
_FOLDER = re.compile(r"\.|(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*", re.ASCII)
# What GitHub and GitLab call their tokens, which can stand in the place of a user.
_TOKEN = re.compile(r"(gh[a-z]_|github_pat_|glpat-)")


def _has_secret(repository: str) -> bool:
    try:
        parts = urlsplit(repository)
    except ValueError:  # of brackets that enclose no address: not to be shown
        return "@" in repository
    return bool(parts.password or _TOKEN.match(parts.username or ""))


def load(data: Mapping[str, Any]) -> Worker | None:
    """Return the worker that the stack's data asks for; None without a repository.

    Raises SettingsError for what git, systemd or Celery could not use.
    """
    repository, commit = data["worker_repository"], data["worker_commit"]
    if not repository:
        return None
    if _has_secret(repository):
        raise _error(
            "worker_repository holds a password, which logs and process lists would show: put it "
            "into root's git configuration on the host (git-credential-store(1))"
        )
    if not _REPOSITORY.fullmatch(repository) or not repository.isprintable():
        raise _error(f"worker_repository is {shown(repository)}: expected an address for git fetch")
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise _error(f"worker_commit is {shown(commit)}: expected all 40 digits of a commit's id")
    folder = data["worker_folder"]
    if not _FOLDER.fullmatch(folder) or len(folder) > 200:
        raise _error(
            f"worker_folder is {shown(folder)}: expected a folder in the repository, or a dot"
        )
    app = data["worker_app"]
    if not re.fullmatch(r"\w[\w.]{0,200}(:\w{1,100})?", app, re.ASCII):
        raise _error(f"worker_app is {shown(app)}: expected a Celery app such as celery_app.celery")
    return Worker(repository, commit, folder, app, data["llm_timeout"])


def environment(data: Mapping[str, Any], password: str) -> bytes:
    """Return the worker's environment file (systemd.exec(5), ``EnvironmentFile=``).

    + data: of the stack
    + password: of Redis; percent-encoded in the address, as Celery and redis-py decode it, so that
      no character means anything to systemd
    """
    queue = f"127.0.0.1:{data['redis_port']}"
    lines = {
        "REDIS_URL": f"redis://:{quote(password, safe='')}@{queue}/0",
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": data["redis_port"],
        "REDIS_DB": 0,
        "LLM_SERVER_URL": f"http://127.0.0.1:{data['llm_port']}",
        "LLM_BACKEND": data["llm_backend"],
        "LLM_TIMEOUT": data["llm_timeout"],
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items()).encode()


def _error(problem: str) -> SettingsError:
    return SettingsError(f"{problem}; correct it in group_data/knowledge-center.py or in .env.")
