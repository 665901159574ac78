"""A worker of a stack (``x-workstation.worker``): the user's code, run on the host by Celery."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, Field

from workstation.errors import TOKEN
from workstation.values import ADDRESS, Written, form

_USER = r"([A-Za-z_][A-Za-z0-9_.-]{0,63}@)?"
_PATH = r"[A-Za-z0-9._~@+,=/-]{1,1000}"
# git-fetch(1), "Git URLs": https, and ssh in both of its forms. After `ext::` and the like, the
# address would be a command; git:// has neither encryption nor a server that proves who it is.
_REPOSITORY = re.compile(
    rf"https?://{ADDRESS}|ssh://{_USER}[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{{1,5}})?/{_PATH}"
    rf"|(?!(https?|ssh|git|ftps?|file):){_USER}[A-Za-z0-9][A-Za-z0-9.-]*:(?!//|-){_PATH}",
    re.ASCII,
)


def repository(value: str) -> str:
    """Return an address for git, or an empty string. Plans, logs and process lists show it, so it
    contains no password, which may also stand in place of a user name, or in a query.

    Raises ValueError. Whether ``http://`` is allowed depends on the mirror.
    """
    if value and (not _REPOSITORY.fullmatch(value) or TOKEN.search(value)):
        raise ValueError(
            "expected an https:// or ssh:// address without password, token, query or fragment, "
            "which logs and process lists would show (put a password into root's git configuration "
            "on the host, see git-credential-store(1))"
        )
    return value


Repository = Annotated[Written, AfterValidator(repository)]
COMMIT = r"([0-9a-f]{40})?", "all 40 digits of a commit ID, or nothing"
FOLDER = r"\.|(?!\.)[\w.-]+(/(?!\.)[\w.-]+)*", "a folder in the repository, or a dot"
APP = r"\w[\w.]{0,200}(:\w{1,100})?", "a Celery app such as celery_app.celery"
"""Patterns of single values, with what each expects."""

Commit = Annotated[Written, form(*COMMIT)]
Inside = Annotated[Written, form(*FOLDER), Field(max_length=200)]
App = Annotated[Written, form(*APP)]


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
    def installer(self) -> str:
        """The account that owns its releases; the unit runs as another user (``DynamicUser=``)."""
        return f"{self.stack[:24].rstrip('-_')}-install"

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
