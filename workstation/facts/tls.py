"""The certificate authority and the certificate that a machine makes for its proxy."""

from __future__ import annotations

from pyinfra.api import StringCommand

from workstation import scripts
from workstation.facts.shell import Fact, question


class InternalTls(Fact[list[str]]):
    """
    Returns what is missing: ``authority REASON``, ``certificate REASON``, or ``file`` if Traefik
    has not got it.

    + folder: of the authority
    + file: Traefik's
    + names: the domain, and every name below it
    """

    def command(self, folder: str, file: str, names: list[str]) -> StringCommand:
        return question(scripts.text("tls/check.sh"), folder, file, *names)

    def read(self, lines: list[str]) -> list[str]:
        return lines
