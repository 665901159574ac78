"""A certificate of the machine's own for the proxy: an authority, a certificate, its renewal."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from pyinfra import host

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.shell import script
from workstation.facts.tls import InternalTls
from workstation.operations import files
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together
from workstation.render import template

FOLDER = "/etc/ai-workstation/tls"
"""Of the authority and its keys; only root may enter it."""

AUTHORITY = f"{FOLDER}/ca.crt"
"""What browsers must trust."""

TIMER = "ai-workstation-tls.timer"
_SERVICE = "ai-workstation-tls.service"
_SCRIPT = "/etc/ai-workstation/tls.sh"


@operation
def internal(file: str, names: list[str]) -> Changes:
    """
    Ensure a certificate authority, a certificate that it signed, and the units that renew it.

    + file: Traefik's file for the certificate
    + names: the domain, and every name below it that the certificate is for
    """
    arguments = [FOLDER, file, *names]
    writes = [FOLDER, posixpath.dirname(file)]
    entries: list[files.Entry] = [
        files.Directory("/etc/ai-workstation"),
        files.Directory(FOLDER, mode="700"),
        files.File(_SCRIPT, scripts.text("tls/make.sh").encode()),
        files.File(
            f"/etc/systemd/system/{_SERVICE}",
            template(
                f"tls/{_SERVICE}.j2", script=_SCRIPT, arguments=arguments, writes=writes
            ).encode(),
        ),
        files.File(f"/etc/systemd/system/{TIMER}", template(f"tls/{TIMER}.j2").encode()),
    ]
    yield from files.present.changes(entries=entries)
    missing = ask(host, InternalTls, folder=FOLDER, file=file, names=names)
    if missing:
        make = script(scripts.text("tls/make.sh"), "make", *arguments)
        yield together(list(_changes(missing, file)), [make])


def _changes(missing: list[str], file: str) -> Iterator[Change]:
    subjects = {
        "authority": AUTHORITY,
        "certificate": f"{FOLDER}/certificate.pem",
        "file": file,
    }
    for line in missing:
        what, _, why = line.partition(" ")
        yield Change("+" if "none" in why else "~", subjects[what], why or "another certificate")
