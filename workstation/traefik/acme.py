"""Certificates from an ACME authority such as Let's Encrypt, for our own Traefik."""

from __future__ import annotations

import hashlib
import re

from workstation import env_file, given_file
from workstation.errors import named
from workstation.settings import Settings, SettingsError

FOLDER = "acme"
"""Of the provider's variables, in the folder of the proxy's stack: each is a file."""

INSIDE = "/run/acme"
"""The same folder in the container."""


def variables(settings: Settings) -> dict[str, str]:
    """Return the variables of the DNS provider, such as ``CF_DNS_API_TOKEN``, from ``acme_file``.

    Raises UserError for a file that cannot be read, or has anything else in it.
    """
    settings.require("acme_file")
    path = given_file.path_of(settings.acme_file)
    if not given_file.is_there(path):
        raise SettingsError(
            f"ACME_FILE points to {named(str(path))}, which does not exist: correct it.",
            id="acme-file-invalid",
        )
    return env_file.read(path, _check_key)


def _check_key(key: str, place: str) -> None:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{0,99}", key):
        raise SettingsError(
            f"{place} is not a variable of lego: write NAME=value, with a name in capitals.",
            id="acme-file-invalid",
        )


def files(settings: Settings) -> dict[str, bytes]:
    """Return the files with the provider's variables, which no process list and no
    ``docker inspect`` shows: lego reads the value of ``NAME`` from the file ``NAME_FILE``."""
    if settings.tls != "acme":
        return {}
    found = {name: text.encode() for name, text in sorted(variables(settings).items())}
    # Traefik reads the values when it starts.
    digest = hashlib.sha256(repr(found).encode()).hexdigest()[:12]
    names = [f"{name}_FILE={INSIDE}/{name}" for name in found]
    lines = [*names, f"WORKSTATION_ACME_DIGEST={digest}"]
    return {f"{FOLDER}/{name}": text for name, text in found.items()} | {
        f"{FOLDER}/names.env": "".join(f"{line}\n" for line in lines).encode()
    }
