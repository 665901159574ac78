"""A machine that runs one stack which uses no share."""

from __future__ import annotations

from typing import Any

from lab.nas import MARKER
from tests.lab.conftest import Run, Workstation

SPECIAL = f"{MARKER} $x \"a\" 'b' #,%@/:?ü\\"
"""A secret with all characters that are special to a shell, Compose, systemd or an address."""

NO_SHARE = ("SMB_SERVER", "SMB_SHARE", "SMB_USER", "SMB_PASSWORD")


class Alone(Workstation):
    """The machine under test, with the settings of its stack for every run. None shows a secret
    that contains ``MARKER``."""

    environment: dict[str, str]

    def pyinfra(
        self, *arguments: str, environment: dict[str, str] | None = None, **how: Any
    ) -> Run:
        changes = self.environment_without(*NO_SHARE) | self.environment | (environment or {})
        run = super().pyinfra(*arguments, environment=changes, **how)
        assert MARKER not in run.output
        return run
