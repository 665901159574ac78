"""The mirror: one machine that serves everything a run downloads, under the upstreams' names.

It is for machines without internet, and for the lab. The setting ``mirror`` names a YAML file;
without one, everything comes from its own upstream.
"""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, ValidationError

from workstation import given_file, yaml_file
from workstation.errors import UserError, expectation, named, nearest
from workstation.values import ADDRESS


class MirrorError(UserError):
    """An invalid mirror file."""

    id = "mirror-invalid"


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        secret, port = parts.username or parts.password, parts.port
    except ValueError:
        secret, port = None, 0
    if secret:
        raise ValueError("expected no password: anyone could read it in the images built here")
    if value and (port == 0 or not re.fullmatch(rf"https?://({_HOST}|{ADDRESS})", value)):
        raise ValueError("expected an address such as http://192.168.0.5, or nothing")
    return value.rstrip("/")


def _registry(value: str) -> str:
    host, _, port = value.partition("/")[0].rpartition(":")
    if not re.fullmatch(rf"(({_HOST}|{ADDRESS}))?", value) or (
        host and port.isdecimal() and not 1 <= int(port) <= 65535
    ):
        raise ValueError("expected host[:port] without http://, such as 192.168.0.5:5000")
    return value.rstrip("/")


# An IPv6 address with its port.
_HOST = r"\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?"


def _line(value: str) -> str:
    if not value.isprintable() or len(value) > 200:
        raise ValueError("expected a line of at most 200 characters")
    return value


BaseUrl = Annotated[StrictStr, AfterValidator(_base_url)]
Registry = Annotated[StrictStr, AfterValidator(_registry)]


class Mirror(BaseModel):
    """The addresses that serve the upstreams' files, images and packages. All empty: no mirror."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    http: BaseUrl = Field(
        default="", description="https://HOST/PATH is fetched from <http>/HOST/PATH."
    )
    registry: Registry = Field(
        default="", description="The image docker.io/x/y is pulled as <registry>/docker.io/x/y."
    )
    insecure: bool = Field(
        default=False, description="Whether the registry speaks plain HTTP (insecure-registries)."
    )
    trusted: bool = Field(
        default=False,
        description="Whether a mirror without TLS may serve what no digest, checksum or hash "
        "protects, and packages that differ from the hashes in requirements.lock.",
    )
    pypi: BaseUrl = Field(default="", description="Python package index for builds.")
    npm: BaseUrl = Field(default="", description="npm registry for builds.")
    pins: dict[str, dict[str, dict[str, object]]] = Field(
        default_factory=dict, description="Differences from pins.yml, entry by entry."
    )
    stand_ins: tuple[Annotated[StrictStr, AfterValidator(_line)], ...] = Field(
        default=(), description="Names of parts that are not the real ones."
    )

    @property
    def daemon_json(self) -> dict[str, list[str]]:
        """The keys that Docker's configuration needs for the registry."""
        plain = self.registry and self.insecure
        return {"insecure-registries": [self.registry]} if plain else {}

    def url(self, upstream: str) -> str:
        """Return the address from which an upstream's ``https://`` address is fetched."""
        scheme, separator, rest = upstream.partition("://")
        if self.http and separator and scheme in ("http", "https"):
            return f"{self.http}/{rest}"
        return upstream

    def trusts(self, address: str) -> bool:
        """Return whether an address may serve what nothing but the connection protects."""
        return self.trusted or not address.startswith("http://")

    def unchecked_url(self, upstream: str) -> str:
        """Return the address from which such content is fetched: the upstream's own, unless the
        mirror may serve it."""
        mirrored = self.url(upstream)
        return mirrored if self.trusts(mirrored) else upstream

    def refuses(self, repository: str) -> str:
        """Return why a git repository is not fetched, with the fix; empty if it is. Without TLS, it
        must be the mirror's own."""
        if not repository.startswith("http://") or repository.startswith(f"{self.http}/"):
            return ""
        return (
            "which has no TLS and is not below `http` of the file that MIRROR names: use its "
            "https:// or ssh:// address"
        )

    def image(self, name: str) -> str:
        """Return the name under which an image is pulled.

        + name: its full name, such as ``docker.io/x/y``
        """
        return f"{self.registry}/{name}" if self.registry else name


def load(setting: str) -> Mirror:
    """Return the mirror that the setting ``mirror`` names; an empty setting: no mirror.

    + setting: a path; a relative one starts in the working directory

    Raises MirrorError.
    """
    if not setting:
        return Mirror()
    path = given_file.path_of(setting)
    if not given_file.is_file(path):
        raise MirrorError(
            f"MIRROR points to {named(setting)}, but there is no such file: correct it in .env, or "
            "remove it to download from the upstreams.",
            id="mirror-file-missing",
        )
    file = yaml_file.read(path)
    try:
        return Mirror.model_validate(file.content)
    except ValidationError as error:
        first = error.errors()[0]
        place, keys = file.place(first["loc"]), named(".".join(str(part) for part in first["loc"]))
        if first["type"] == "extra_forbidden":
            hint = nearest(keys, Mirror.model_fields)
            raise MirrorError(
                f"{place}: {keys} is not a key of a mirror file{hint}: correct or remove it."
            ) from None
        raise MirrorError(f"{place}: {keys} is invalid, {expectation(first)}.") from None
