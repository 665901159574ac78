"""Types that only settings of a host use; see ``workstation.values`` for the general ones."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from workstation.mounts import cifs
from workstation.values import Called, Visible, Written, distinct, form, secret_text

TAKEN_CIFS_OPTIONS = {
    **dict.fromkeys(("user", "username"), "smb_user"),
    **dict.fromkeys(("pass", "password", "password2"), "smb_password in .env"),
    **dict.fromkeys(("cred", "credentials"), "smb_user and smb_password"),
    **dict.fromkeys(("dom", "domain", "workgroup"), "smb_domain"),
    **dict.fromkeys(("uid", "forceuid"), "service_uid"),
    **dict.fromkeys(("gid", "forcegid"), "service_gid"),
}
"""Options of mount.cifs(8) that other settings determine."""


def _mount_option(value: str) -> str:
    """Return ``name`` or ``name=value`` as in mount.cifs(8), unless other settings determine it."""
    if not re.fullmatch(r"[a-z][A-Za-z0-9_.-]*(=[^\s,\"'\\]+)?", value) or not value.isprintable():
        raise ValueError("expected mount options such as seal or vers=3.0")
    key = value.partition("=")[0]
    if setting := TAKEN_CIFS_OPTIONS.get(key):
        raise ValueError(f"expected no {key} (use {setting} instead)")
    if cifs.bad_mode(value):
        raise ValueError(f"expected {key} with at most three octal digits, such as 0664")
    if why := cifs.REFUSED.get(key):
        raise ValueError(f"expected no {key}, because {why}")
    return value


def different_options(values: list[str]) -> list[str]:
    """Return mount options. Raises ValueError for one that comes twice, even with another value."""
    distinct([value.partition("=")[0] for value in values])
    return values


def ollama_variables(values: dict[str, str]) -> dict[str, str]:
    """Return variables for Ollama's unit, except for the two that have settings of their own."""
    for name, setting in (("OLLAMA_HOST", "ollama_port"), ("OLLAMA_MODELS", "ollama_models")):
        if name in values:
            raise ValueError(f"expected no {name} (use {setting} instead)")
    return values


# The names that useradd(8) accepts by default on Debian and Ubuntu.
AccountName = Annotated[
    Written,
    form(r"(?!root$)[a-z_][a-z0-9_-]{0,31}", "an account name such as ai, not root"),
    Called("account name"),
]
OptionalAccountName = Annotated[
    Written,
    form(r"((?!root$)[a-z_][a-z0-9_-]{0,31})?", "a group name such as docker, or nothing"),
    Called("group name"),
]
DriverBranch = Annotated[
    Written,
    form(r"(\d{3}(-server)?(-open)?)?", "a driver branch such as 580-open, or nothing"),
    Called("driver branch"),
]
# MS-FSCC 2.1.6: what a share name must not contain.
ShareName = Annotated[
    Visible,
    form(r'[^"/\\\[\]:|<>+=;,*?]{0,80}', "only a share name, such as ki_Daten"),
    Called("share name"),
]
ShareUser = Annotated[
    Visible,
    form(r'[^"/\\\[\]:|<>+=;,*?]{0,256}', "only a user name (the domain goes in smb_domain)"),
    Called("name"),
]
MountOption = Annotated[Written, AfterValidator(_mount_option), Called("mount option")]
# Docker Engine: names of networks (RestrictedNamePattern), except for its own.
NetworkName = Annotated[
    Written,
    form(
        r"(?!(host|none|bridge|default)$)[A-Za-z0-9][A-Za-z0-9_.-]{1,254}",
        "the name of a Docker network other than host, none, bridge and default",
    ),
    Called("network name"),
]
ProxyName = Annotated[
    Written, form(r"[A-Za-z0-9_.-]{1,255}", "a name from Traefik's configuration"), Called("name")
]
OptionalProxyName = Annotated[
    Written,
    form(r"[A-Za-z0-9_.-]{0,255}", "a name from Traefik's configuration, or nothing"),
    Called("name"),
]
Middleware = Annotated[
    Written,
    form(r"[A-Za-z0-9_.-]{1,255}(@[a-z]+)?", "Traefik middlewares such as default@file"),
    Called("middleware"),
]
# Go's time.ParseDuration, which Traefik uses.
Duration = Annotated[
    Written,
    form(r"0|(\d{1,6}(\.\d{1,6})?(ms|s|m|h)){1,4}", "a duration such as 1h or 90s (0: no limit)"),
    Called("duration"),
]


SecretSetting = Annotated[SecretStr, BeforeValidator(secret_text), Called("secret")]


def _address(value: str) -> str:
    """Return an HTTP address without a password in it, or an empty string."""
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in value):
        raise ValueError("expected an address such as http://authelia:9091/api/authz/forward-auth")
    return value


def _ip(value: str) -> str:
    """Return an IP address, or an empty string."""
    try:
        ipaddress.ip_address(value or "0.0.0.0")
    except ValueError:
        raise ValueError("expected an IP address of the machine, or nothing") from None
    if value in ("0.0.0.0", "::") or "%" in value:
        raise ValueError("expected one address of the machine; leave it empty for all")
    return value


LoginName = Annotated[Visible, form(r"[^:]{0,255}", "a name without a colon"), Called("name")]
OptionalAddress = Annotated[
    Written,
    form(r"[!-~]{0,1000}", "an address without spaces"),
    AfterValidator(_address),
    Called("address"),
]
OptionalIp = Annotated[Written, AfterValidator(_ip), Called("address")]
OptionalEmail = Annotated[
    Written,
    form(r"([A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253})?", "an e-mail address"),
    Called("e-mail address"),
]
OptionalProvider = Annotated[
    Written, form(r"[a-z0-9-]{0,50}", "a name such as cloudflare"), Called("name")
]
Resolver = Annotated[
    Written,
    form(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}", "servers with a port, such as 1.1.1.1:53"),
    Called("server"),
]
HeaderName = Annotated[
    Written, form(r"[A-Za-z0-9-]{1,100}", "names of headers such as Remote-User"), Called("header")
]
# What browsers send: no path, and no port that is the scheme's own.
Origin = Annotated[
    Written,
    form(r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?", "origins such as https://portal.example.com"),
    Called("origin"),
]
# compose-go, schema/compose-spec.json: names of services.
_ServiceName = Annotated[Written, form(r"[a-zA-Z0-9._-]{1,255}", "names of services")]
Login = Literal["password", "forward", "none"]
ServiceLogins = Annotated[dict[_ServiceName, Login], Called("logins")]


def _password(value: SecretStr) -> SecretStr:
    """Return a password that is not trivial and that bcrypt reads to its end, or an empty one.

    Source: bcrypt reads 72 bytes; its Python package, from version 5 on, refuses more.
    """
    if value and not 8 <= len(value.get_secret_value().encode()) <= 72:
        raise ValueError("expected 8 to 72 bytes")
    return value


PasswordSetting = Annotated[SecretSetting, AfterValidator(_password), Called("password")]
