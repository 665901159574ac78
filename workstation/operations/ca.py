"""CA certificates of a network that re-signs outgoing TLS: trusted by the host and by builds."""

from __future__ import annotations

from pyinfra import host

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.files import Paths
from workstation.facts.shell import script
from workstation.operations import files
from workstation.operations.base import Commands, operation

# Given to builds as a BuildKit secret: it is in no layer.
BUILD_BUNDLE = "/etc/ai-workstation/ca-bundle.crt"

_STORE = "/etc/ssl/certs/ca-certificates.crt"
_ANCHOR = "/usr/local/share/ca-certificates/ai-workstation.crt"


@operation
def trusted(bundle: bytes | None) -> Commands:
    """
    Have the certificates of a bundle trusted by the host.

    + bundle: PEM certificates; None leaves the host as it is
    """
    if bundle is None:
        host.noop("no CA bundle is set")
        return
    entries: list[files.Entry] = [
        files.Directory("/etc/ai-workstation"),
        files.File(BUILD_BUNDLE, bundle),
        files.Directory("/usr/local/share/ca-certificates"),
        files.File(_ANCHOR, bundle),
    ]
    states = ask(host, Paths, paths=[*(entry.path for entry in entries), _STORE])
    commands = list(files.settle(entries, states))
    yield from commands
    hashed = states.get(_STORE)
    anchor = states.get(_ANCHOR)
    if hashed and (commands or anchor is None or hashed.modified < anchor.modified):
        yield script(scripts.text("ca/update.sh"), _ANCHOR)
