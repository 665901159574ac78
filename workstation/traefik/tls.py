"""HTTPS of our own Traefik: the certificate as a file that it watches, and its options."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from workstation import given_file
from workstation.errors import named
from workstation.settings import Settings, SettingsError
from workstation.traefik.routes import ROUTES, written

FILE = f"{ROUTES}/tls.yml"
"""The file's path in the folder of the proxy's stack."""

RESOLVER = "workstation"
"""The name of the certificate resolver for ``acme``."""

ENTRYPOINT = "websecure"

_OPTIONS = {"options": {"default": {"minVersion": "VersionTLS12"}}}


def router(settings: Settings) -> dict[str, object]:
    """Return the keys of a router that make it answer by HTTPS; empty without TLS."""
    if settings.tls == "off":
        return {}
    asked: dict[str, object] = {}
    if settings.tls == "acme":
        names = {"main": settings.domain, "sans": [f"*.{settings.domain}"]}
        asked = {"certResolver": RESOLVER, "domains": [names]}
    return {"entrypoints": ENTRYPOINT, "tls": asked}


def content(settings: Settings, hosts: Sequence[str]) -> bytes:
    """Return the file with the certificate, for ``files``, and the options.

    + hosts: names that the certificate must have

    Raises SettingsError for a certificate or key that would not work.
    """
    if settings.tls != "files":
        return written({"tls": _OPTIONS})
    certificate, key = _certificate(settings, hosts), _read("tls_key", settings.tls_key)
    pair = {"certFile": certificate, "keyFile": key}
    # A program that names no host gets the same certificate.
    stores = {"default": {"defaultCertificate": pair}}
    return written({"tls": {"certificates": [pair], "stores": stores, **_OPTIONS}})


def _read(name: str, path: str) -> str:
    place = given_file.path_of(path)
    try:
        return given_file.read_text(place)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not PEM"
        raise SettingsError(
            f"{name.upper()} points to {named(str(place))}, which cannot be read: {why}.",
            id="tls-certificate-invalid",
        ) from None


def _certificate(settings: Settings, hosts: Sequence[str]) -> str:
    """Return the certificate with its chain as text, if it fits the key and all names."""
    settings.require("tls_certificate", "tls_key")
    text = _read("tls_certificate", settings.tls_certificate)
    try:
        first = x509.load_pem_x509_certificates(text.encode())[0]
    except ValueError:
        raise _wrong("tls_certificate", "has no PEM certificate") from None
    try:
        key = load_pem_private_key(_read("tls_key", settings.tls_key).encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _wrong("tls_key", "is not a PEM key without a passphrase") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != first.public_key().public_bytes(*form):
        raise _wrong("tls_key", "is not the key of TLS_CERTIFICATE, whose first certificate counts")
    now = datetime.now(UTC)
    if not first.not_valid_before_utc <= now <= first.not_valid_after_utc:
        days = f"{first.not_valid_before_utc:%Y-%m-%d} to {first.not_valid_after_utc:%Y-%m-%d}"
        raise _wrong("tls_certificate", f"is only valid from {days}")
    names = _names(first)
    if missing := [host for host in hosts if not {host, _wildcard(host)} & names]:
        raise _wrong(
            "tls_certificate",
            f"is not for {', '.join(missing)}, but for {', '.join(sorted(names)) or 'no name'}",
        )
    return text


def _names(certificate: x509.Certificate) -> set[str]:
    """Return the DNS names of a certificate; browsers ignore its common name."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {name.lower() for name in found.value.get_values_for_type(x509.DNSName)}


def _wildcard(host: str) -> str:
    """Return the wildcard that stands for a name: for one label only (RFC 6125, 6.4.3)."""
    return f"*.{host.partition('.')[2]}"


def _wrong(name: str, problem: str) -> SettingsError:
    return SettingsError(
        f"{name.upper()} {problem}: set it to a file for all services, or set TLS to internal.",
        id="tls-certificate-invalid",
    )
