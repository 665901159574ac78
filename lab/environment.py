"""`.lab/env`: the environment file that points the deploy at the lab's machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from lab import keys, nas
from lab.errors import LabError
from lab.image import outer_bundle

DOMAIN = "localhost"  # browsers and curl resolve every *.localhost to the loopback address
LOGIN = ("workstation", 'lab: "pass\\word" \'ü')
"""Name and password at the proxy; the odd characters are on purpose."""
ENGINES = {"newest": "docker", "distribution": "distribution"}
"""The Docker that the lab's machine gets -> the setting docker_source. The newest comes from the
stand-in of Docker's own repository (lab/upstream/docker.py)."""

PASSWORD = "Lab 'first' $account\\1"
"""Of the accounts that a run creates. Nothing in a shell, YAML or Compose may change it."""

LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")


def content(folder: Path, ssh_port: int, user: str, mirror: Path | None) -> dict[str, str]:
    """Return the environment for the machine whose state folder is `folder`.

    + user: root, or operator who uses sudo
    + mirror: the mirror file, or None for the real upstreams
    """
    values = {
        "WORKSTATION_HOST": "127.0.0.1",
        "SSH_PORT": str(ssh_port),
        "SSH_USER": user,
        "SSH_KEY": str(keys.user_key().private),
        "SSH_KNOWN_HOSTS": str(folder / "known_hosts"),
        "DOMAIN": DOMAIN,
        "GPU": "required",
        "DOCKER_SOURCE": ENGINES[engine()],
        "LOGIN_USER": LOGIN[0],
        "LOGIN_PASSWORD": LOGIN[1],
        "SMB_SERVER": nas.ADDRESS,
        "SMB_SHARE": nas.SHARE,
        "SMB_USER": nas.USER,
        "SMB_PASSWORD": nas.PASSWORD,
        "DOCKGE_PASSWORD": PASSWORD,
        "OPENWEBUI_PASSWORD": PASSWORD,
    }
    if mirror:
        values["MIRROR"] = str(mirror)
    if trusts_more():
        values["CA_BUNDLE"] = str(outer_bundle())
    return values


def engine(variables: Mapping[str, str] = os.environ) -> str:
    """Return the entry of ``ENGINES`` that LAB_ENGINE names, the newest if it is not set.

    Raises LabError for any other value.
    """
    name = variables.get("LAB_ENGINE") or "newest"
    if name not in ENGINES:
        raise LabError(f"LAB_ENGINE is {name!r}: choose from {', '.join(ENGINES)}.")
    return name


def trusts_more(variables: Mapping[str, str] = os.environ) -> bool:
    """Return whether this machine trusts extra authorities, as in networks that re-sign TLS."""
    named = any(variables.get(name) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    return named or any(LOCAL_AUTHORITIES.glob("*.crt"))


def text(values: Mapping[str, str]) -> str:
    """Return an environment file's text, every value in single quotes."""
    return "".join(f"{name}={quoted(value)}\n" for name, value in values.items())


def quoted(value: str) -> str:
    r"""Return a value in single quotes, with \ and ' escaped by a backslash (python-dotenv)."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def write(path: Path, values: Mapping[str, str]) -> None:
    """Write an environment file that only its owner may read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text(values))
