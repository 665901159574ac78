"""A worker of a stack (``x-workstation.worker``): the user's code, run on the host by Celery."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field

from workstation.values import Written, form

# git-fetch(1), "Git URLs". After `ext::` and the like, the address would be a command.
_REPOSITORY = re.compile(
    r"((https?|ssh|git|file)://|/|([A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9_.-]*:(?!:))\S{1,1000}"
)
# How tokens of GitHub and GitLab begin, which can be used in place of a user name.
_TOKEN = re.compile(r"(gh[a-z]_|github_pat_|glpat-)")


def _has_secret(repository: str) -> bool:
    try:
        parts = urlsplit(repository)
    except ValueError:  # brackets without an address in them
        return "@" in repository
    return bool(parts.password or _TOKEN.match(parts.username or ""))


def _repository(value: str) -> str:
    """Return an address for git without a password, because logs and process lists show it."""
    if _has_secret(value):
        raise SecretInAddressError
    if value and not (_REPOSITORY.fullmatch(value) and value.isprintable()):
        raise ValueError("expected an address for git fetch, or nothing")
    return value


class SecretInAddressError(ValueError):
    """An address with a password, which must not be shown."""

    def __init__(self) -> None:
        super().__init__(
            "it contains a password, which logs and process lists would show: put it into root's "
            "git configuration on the host instead (git-credential-store(1))"
        )


Repository = Annotated[Written, AfterValidator(_repository)]
Commit = Annotated[Written, form(r"([0-9a-f]{40})?", "all 40 digits of a commit ID, or nothing")]
Inside = Annotated[
    Written,
    form(r"\.|(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*", "a folder in the repository, or a dot"),
    Field(max_length=200),
]
App = Annotated[
    Written,
    form(r"\w[\w.]{0,200}(:\w{1,100})?", "a Celery app such as celery_app.celery"),
]


@dataclass(frozen=True)
class Worker:
    """A worker: a commit of a git repository, the folder in it with ``requirements.txt`` and the
    app, the seconds that a task may take, and its environment, in which ``{redis_password}`` stands
    for the secret of that name. Without a repository there is no worker, and nothing on the host.

    ``stack``: the stack that it belongs to
    """

    stack: str
    repository: str
    commit: str
    folder: str
    app: str
    timeout: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def release(self) -> str:
        """The name of its release on the host; it includes the folder, whose ``requirements.txt``
        determines the installed packages."""
        # No folder name contains a plus.
        folder = "" if self.folder == "." else f"+{self.folder.replace('/', '+')}"
        return f"{self.commit}{folder}"

    @property
    def name(self) -> str:
        """The name of its unit and its folders."""
        return f"{self.stack}-worker"

    @property
    def home(self) -> str:
        """The folder of its releases."""
        return f"/opt/{self.name}"

    @property
    def current(self) -> str:
        """The link to the release that runs."""
        return f"{self.home}/current"

    @property
    def unit(self) -> str:
        return f"{self.name}.service"

    @property
    def unit_file(self) -> str:
        return f"/etc/systemd/system/{self.unit}"

    @property
    def state(self) -> str:
        """The folder it may write to, behind a link in /var/lib (systemd.exec(5), DynamicUser=)."""
        return f"/var/lib/private/{self.name}"

    @property
    def environment_file(self) -> str:
        return f"/etc/ai-workstation/{self.name}.env"

    def told(self, secret: Callable[[str], str]) -> bytes:
        """Return its environment file (systemd.exec(5), ``EnvironmentFile=``).

        + secret: returns a setting's secret. It is percent-encoded, which Celery and redis-py
          decode in addresses, so that no character has a special meaning in systemd.
        """
        return "".join(
            f"{name}={_filled(value, secret)}\n" for name, value in self.environment.items()
        ).encode()


def _filled(text: str, secret: Callable[[str], str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: quote(secret(found[1]), safe=""), text)
