"""The pins: the exact version of everything that a run downloads, read from ``pins.yml``.

A mirror file may override fields (the digest of a repacked image, the fingerprint of its own
signing key); that overlay changes entries but never adds any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from workstation import yaml_file
from workstation.errors import UserError, expectation, named, nearest, shown
from workstation.mirror import Mirror
from workstation.values import ADDRESS, form
from workstation.version import version

PINS_FILE = Path("pins.yml")
_NONE = Mirror()


class PinsError(UserError):
    """A missing, unknown or malformed pin, with its file and line."""

    id = "pins-invalid"


def _replaceable(what: str, field: str) -> PinsError:
    return PinsError(
        f"{what} has no {field} in pins.yml, and the mirror speaks plain HTTP, so that anyone on "
        f"the network could replace it: add the {field} to `pins` in the file that MIRROR names, "
        "or `trusted: true` if you trust that network.",
        id="pins-replaceable",
    )


def _text(value: object) -> object:
    """Return the value unless YAML read it as a number: 1.10 without quotes has become 1.1."""
    if isinstance(value, int | float):
        raise PydanticCustomError("text", "expected text: put it in quotes")
    return value


def _fingerprint(value: str) -> str:
    """Return a key's fingerprint as ``gpg --with-colons`` prints it, without blanks."""
    compact = value.replace(" ", "").upper()
    if not re.fullmatch(r"[0-9A-F]{40}|[0-9A-F]{64}", compact):
        raise ValueError("expected the 40 hexadecimal digits of an OpenPGP fingerprint")
    return compact


def _compute(value: str) -> str:
    """Return two compute capabilities, the lower one first."""
    low, _, high = value.partition("-")
    span = re.fullmatch(r"[0-9]{1,3}\.[0-9]-[0-9]{1,3}\.[0-9]", value)
    if not span or version(low) > version(high):
        raise ValueError("expected the lowest and highest compute capability, such as 7.5-12.0")
    return value


def _download_url(value: str) -> str:
    """Return an https:// address, which may have ``{version}`` in its path."""
    if not _ADDRESS.fullmatch(value.replace("{version}", "1")):
        raise ValueError("expected an https:// address with no placeholder other than {version}")
    return value


def _tag(value: str) -> str:
    """Return an image's tag. Whether ``latest`` is allowed depends on the digest."""
    if not re.fullmatch(r"\w[\w.-]{0,127}", value, re.ASCII):
        raise ValueError("expected an image tag")
    return value


_ADDRESS = re.compile(f"https://{ADDRESS}")
Text = Annotated[StrictStr, BeforeValidator(_text)]
# github.com/distribution/reference: a name with its registry, then a tag. A first part without a
# dot or port is not a registry.
ImageName = Annotated[
    Text,
    form(
        r"(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(?=:))(:\d{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+",
        "a name with its registry, such as docker.io/louislam/dockge",
    ),
    Field(max_length=255),
]
ImageTag = Annotated[Text, AfterValidator(_tag)]
Digest = Annotated[Text, form(r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits, or null")]
Sha256 = Annotated[Text, form(r"[0-9a-f]{64}", "64 hexadecimal digits, or null")]
Commit = Annotated[Text, form(r"[0-9a-f]{40}", "a full commit id of 40 hexadecimal digits")]
Version = Annotated[Text, form(r"[A-Za-z0-9][A-Za-z0-9.+:~_-]*", "a version")]
AptVersion = Annotated[
    Text, form(r"([A-Za-z0-9][A-Za-z0-9.+:~_-]*)?", "a package version, or nothing")
]
# Since CUDA 11, a driver supports every minor version (CUDA Compatibility).
Cuda = Annotated[Text, form(r"(1[1-9]|[2-9]\d)\.\d+", "a CUDA version from 11.0, such as 12.8")]
Compute = Annotated[Text, AfterValidator(_compute)]
HttpsUrl = Annotated[Text, form(f"https://{ADDRESS}", "an https:// address")]
# One line of deb822(5), as sources.list(5) uses it.
Suite = Annotated[Text, form(r"[A-Za-z0-9._/+-]{1,100}", "one suite, such as noble, or a slash")]
Components = Annotated[Text, form(r"([a-z0-9/._-]+( [a-z0-9/._-]+)*)?", "components such as main")]
DownloadUrl = Annotated[Text, AfterValidator(_download_url)]
Fingerprint = Annotated[Text, AfterValidator(_fingerprint)]


class _Pin(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(_Pin):
    """A container image."""

    name: ImageName
    tag: ImageTag
    digest: Digest | None = Field(description="null until it is known from the registry.")
    cuda: Cuda | None = Field(default=None, description="CUDA version that it was built with.")
    compute: Compute | None = Field(
        default=None, description="Lowest and highest compute capability that it runs on."
    )

    @model_validator(mode="after")
    def _stays(self) -> Image:
        if self.tag == "latest" and not self.digest:
            raise ValueError("expected a version tag: latest changes over time")
        return self

    def ref(self, mirror: Mirror = _NONE) -> str:
        """Return the reference to pull. Raises PinsError if anyone on the network could replace the
        image."""
        if not (self.digest or mirror.trusted) and mirror.registry and mirror.insecure:
            raise _replaceable(f"The image {self.name}:{self.tag}", "digest")
        name = mirror.image(self.name)
        digest = f"@{self.digest}" if self.digest else ""
        return f"{name}:{self.tag}{digest}"


class Source(_Pin):
    """A git repository at one commit."""

    url: HttpsUrl
    commit: Commit
    version: Version = Field(description="For people and image tags; the commit decides.")
    cuda: Cuda | None = Field(default=None, description="CUDA version that it was built with.")
    compute: Compute | None = Field(
        default=None, description="Lowest and highest compute capability that it runs on."
    )


class Download(_Pin):
    """A file of a release."""

    template: DownloadUrl = Field(alias="url", description="Address, with {version} in it.")
    version: Version
    sha256: Sha256 | None = Field(description="null until the file is known.")

    @property
    def url(self) -> str:
        """The upstream address of this version."""
        return self.template.replace("{version}", self.version)

    def fetched_from(self, mirror: Mirror) -> str:
        """Return the address to download it from. Raises PinsError if anyone on the network could
        replace the file."""
        address = mirror.url(self.url)
        if not (self.sha256 or mirror.trusts(address)):
            raise _replaceable(address, "sha256")
        return address


class AptRepository(_Pin):
    """An apt repository, the fingerprint of the key that signs it, and the version to install."""

    key_url: HttpsUrl
    fingerprint: Fingerprint
    uri: HttpsUrl
    suite: Suite
    components: Components
    version: AptVersion = Field(description="Exact version of its packages; empty: the newest.")


class Pins(_Pin):
    """All pins, by section and key."""

    images: dict[str, Image]
    sources: dict[str, Source]
    downloads: dict[str, Download]
    apt: dict[str, AptRepository]

    def build(self, key: str) -> Image | Source:
        """Return the entry of a key such as ``images.comfyui`` or ``sources.fooocus``."""
        section, _, name = key.partition(".")
        return self.images[name] if section == "images" else self.sources[name]


FIELDS: dict[str, list[str]] = {
    section: [field.alias or name for name, field in kind.model_fields.items()]
    for section, kind in (
        ("images", Image),
        ("sources", Source),
        ("downloads", Download),
        ("apt", AptRepository),
    )
}


def load(
    path: Path = PINS_FILE,
    overlay: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
) -> Pins:
    """Return the pins, with a mirror's changes applied.

    + path: the pins file
    + overlay: ``mirror.pins``

    Raises PinsError or YamlFileError if something is unreadable, unknown or malformed.
    """
    file = yaml_file.read(path)
    _parse(file.content, file)
    return _parse(_overlaid(file.content, overlay or {}), None)


def _overlaid(
    content: dict[str, object], overlay: Mapping[str, Mapping[str, Mapping[str, object]]]
) -> dict[str, object]:
    """Return the content with single fields of existing entries replaced.

    + content: well-formed
    """
    merged: dict[str, object] = dict(content)
    for section, entries in overlay.items():
        base = content.get(section)
        if not isinstance(base, dict):
            raise PinsError(
                f"The mirror's pins have the section {named(section)}, which is not in pins.yml"
                f"{nearest(section, content)}: correct or remove it."
            )
        changed = dict(base)
        for key, fields in entries.items():
            if key not in base:
                raise PinsError(
                    f"The mirror's pins.{section}.{named(key)} is not in pins.yml"
                    f"{nearest(key, base)}: correct or remove it."
                )
            changed[key] = {**base[key], **fields}
        merged[section] = changed
    return merged


def _parse(content: dict[str, object], file: yaml_file.YamlFile | None) -> Pins:
    """Return the checked content. Without a file, errors come from the mirror's overlay."""
    try:
        return Pins.model_validate(content)
    except ValidationError as error:
        # A misspelled key is unknown, and the right one is missing: the first says more.
        errors = error.errors()
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        keys = [str(part) for part in first["loc"]]
        place = file.place(keys) if file else "The mirror's pins"
        raise PinsError(f"{place}: {_problem(first, keys)}.") from None


def _problem(error: ErrorDetails, keys: list[str]) -> str:
    name = named(".".join(keys))
    if error["type"] == "extra_forbidden":
        known = FIELDS if len(keys) == 1 else FIELDS[keys[0]]
        return f"{name} is unknown{nearest(keys[-1], known)}: expected {', '.join(known)}"
    if error["type"] == "missing":
        return f"{name} is missing: add it"
    return f"{name} is {shown(error['input'])}, {expectation(error)}"
