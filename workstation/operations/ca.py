"""CA certificates of a network that re-signs outgoing TLS: trusted by the host and by builds."""

from __future__ import annotations

from pyinfra import host

from workstation import scripts
from workstation.facts.asking import ask
from workstation.facts.files import Paths
from workstation.facts.shell import script
from workstation.operations import files
from workstation.operations.base import operation
from workstation.plan import Change, Changes, together

# Builds get it as a BuildKit secret, so it is in no image layer.
BUILD_BUNDLE = "/etc/ai-workstation/ca-bundle.crt"

_STORE = "/etc/ssl/certs/ca-certificates.crt"
_ANCHOR = "/usr/local/share/ca-certificates/ai-workstation.crt"


@operation
def trusted(bundle: bytes | None) -> Changes:
    """
    Make the host trust the certificates of a bundle.

    + bundle: PEM certificates; None leaves the host unchanged
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
    states = ask(host, Paths, paths=[*files.question(entries)["paths"], _STORE])
    changes = list(files.settle(entries, states))
    update = script(scripts.text("ca/update.sh"), _ANCHOR)
    store, anchor = states.get(_STORE), states.get(_ANCHOR)
    if changes:
        # Without a store yet: the package that creates it will include the anchor.
        yield together(changes, [update] if store else [])
    elif store and anchor and store.modified < anchor.modified:
        # A previous run ended between the two.
        yield Change("~", _STORE, "older than the CA bundle", commands=[update])
