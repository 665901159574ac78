"""Who gets in through our own Traefik: the middlewares that ask, as one file that it watches."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import bcrypt

from workstation import given_file
from workstation.errors import named
from workstation.settings import Settings, SettingsError
from workstation.traefik.routes import GUARD, ROUTES, written

MIDDLEWARES = {"password": "workstation-password", "forward": "workstation-forward"}
"""Kinds of login -> the middleware that asks for it."""

FILE = f"{ROUTES}/middlewares.yml"
"""The file's path in the folder of the proxy's stack."""

_COST = 8
"""bcrypt's cost. Traefik computes the hash for every single request: with 8 for some 20 ms on a
slow processor, with the usual 10 for 80 ms, and a page may consist of a hundred files."""

_LINE = re.compile(r"([^:\s]{1,255}):(\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53})")
# bcrypt has an alphabet of its own.
_ALPHABET = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
)


def check(settings: Settings, services: list[str]) -> None:
    """Raise SettingsError if ``login_services`` names a service that is not among those with a
    route, or if a login lacks its settings.

    + services: those with a route through our own proxy
    """
    for name in settings.login_services:
        if name not in services:
            raise SettingsError(
                f"login_services names {named(name)}, but no stack of the host has a service of "
                f"that name with a route: choose from {', '.join(sorted(services)) or 'none'}.",
                id="setting-invalid",
            )
    kinds = {settings.login_of(name) for name in services}
    user, password = settings.login_user, settings.login_password.get_secret_value()
    if "password" in kinds and not (user and password):
        raise SettingsError(
            f"LOGIN_{'PASSWORD' if user else 'USER'} is not set: set LOGIN_USER and "
            "LOGIN_PASSWORD in .env, with which people log in to the services, or LOGIN=none to "
            "let in everybody who reaches the machine.",
            id="login-missing",
        )
    if "forward" in kinds:
        settings.require("login_address")


def middlewares(settings: Settings) -> bytes:
    """Return the file with the middlewares that routes use.

    Raises SettingsError for an invalid ``login_file``.
    """
    headers: dict[str, object] = {
        "customResponseHeaders": {
            "Access-Control-Allow-Origin": "",
            "Access-Control-Allow-Credentials": "",
        }
    }
    if settings.tls == "acme":
        # Browsers refuse plain HTTP for so long. With a certificate that is not renewed by itself,
        # people could be locked out.
        headers["stsSeconds"] = 30 * 86400
    found: dict[str, object] = {GUARD: {"headers": headers}}
    if settings.login_user and settings.login_password.get_secret_value():
        found[MIDDLEWARES["password"]] = {
            # The program must not see the password, nor mistake it for a login of its own.
            "basicAuth": {
                "users": _users(settings),
                "realm": "ai-workstation",
                "removeHeader": True,
            }
        }
    if settings.login_address:
        found[MIDDLEWARES["forward"]] = {
            "forwardAuth": {
                "address": settings.login_address,
                "authResponseHeaders": settings.login_headers,
            }
        }
    return written({"http": {"middlewares": found}})


def _users(settings: Settings) -> list[str]:
    """Return the users as ``name:hash``."""
    own = f"{settings.login_user}:{_hash(settings)}"
    others = _file(settings.login_file) if settings.login_file else {}
    others.pop(settings.login_user, None)
    return [own, *(f"{name}:{text}" for name, text in others.items())]


def _hash(settings: Settings) -> str:
    """Return the bcrypt hash of the password. Its salt follows from the password, so that a second
    run has the same hash; with user and domain, so that equal passwords do not show."""
    password = settings.login_password.get_secret_value().encode()
    about = f"ai-workstation\0{settings.domain}\0{settings.login_user}".encode()
    salt = hmac.new(password, about, hashlib.sha256).digest()[:16]
    text = base64.b64encode(salt).decode().rstrip("=").translate(_ALPHABET)
    return bcrypt.hashpw(password, f"$2b${_COST:02}${text}".encode()).decode()


def _file(path: str) -> dict[str, str]:
    """Return the users in a file of ``htpasswd -B``: name -> bcrypt hash."""
    place = given_file.path_of(path)
    try:
        lines = given_file.read_text(place).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(
            f"LOGIN_FILE points to {named(str(place))}, which cannot be read: {why}.",
            id="login-file-invalid",
        ) from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if not parts or parts[1] in found:
            what = "names a user again" if parts else "is not a user with a bcrypt hash"
            raise SettingsError(
                f"{named(str(place))} line {number} {what}: add users with `htpasswd -B`.",
                id="login-file-invalid",
            )
        found[parts[1]] = parts[2]
    return found


def credentials(settings: Settings) -> str:
    """Return user and password as a configuration file of curl, which no process list shows."""
    text = f"{settings.login_user}:{settings.login_password.get_secret_value()}"
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'user = "{quoted}"\n'
