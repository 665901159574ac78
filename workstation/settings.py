"""The settings of a host: their names, their types, and what values are possible.

The defaults live in ``group_data/all.py`` alone; ``.env`` and the environment override them (see
``workstation.environment``), ``--data key=value`` overrides both. This module checks the result.
"""

from __future__ import annotations

import ipaddress
import re
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from workstation import cifs
from workstation.errors import UserError, expectation, nearest
from workstation.stack import data_key

SECRETS = frozenset({"smb_password", "redis_password"})
"""Settings that come from ``.env`` or the environment alone and are never shown."""

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class SettingsError(UserError):
    """A setting that is unknown, missing or impossible."""


@runtime_checkable
class Unmaskable(Protocol):
    """What pyinfra's ``HiddenValue`` offers, without importing pyinfra."""

    def unmask(self) -> str: ...


def _form(pattern: str, expected: str) -> AfterValidator:
    """A validator for text that must match the whole of ``pattern``."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


def _path(value: str) -> str:
    """An absolute, plain path; the characters refused would need quoting in fstab or Compose."""
    parts = value.split("/")[1:]
    if not value.startswith("/") or not all(parts) or {".", ".."} & set(parts):
        raise ValueError("expected an absolute path without a trailing slash, such as /opt/stacks")
    if re.search(r"[\s:$\"'\\\x00-\x1f\x7f]", value):
        raise ValueError("expected a path without blanks, quotes, colons, dollars or backslashes")
    return value


def _host_name(value: str) -> str:
    """A DNS name or an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        label = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
        looks_numeric = re.fullmatch(r"[\d.]+", value)
        if looks_numeric or len(value) > 253 or not re.fullmatch(rf"{label}(\.{label})*", value):
            raise ValueError("expected a host name or an IP address") from None
    return value


def _server(value: str) -> str:
    """A host name, or nothing yet."""
    return _host_name(value) if value else value


def _identity(value: int) -> int:
    """A numeric user or group: not root, not nobody (65534), not the reserved -1 (65535)."""
    if not 1 <= value <= 2**31 - 1 or value in (65534, 65535):
        raise ValueError("expected a number from 1 to 2147483647, but not 65534 or 65535")
    return value


def _single_line(value: str) -> str:
    if CONTROL.search(value):
        raise ValueError("expected text without line breaks or control characters")
    return value


def _words(value: object) -> object:
    """A list as it is; text from ``.env`` or ``--data`` as the words between its commas, of which
    pyinfra makes a number where it is one."""
    if isinstance(value, int):
        return [value]
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _secret(value: object) -> object:
    """The secret's text. A number came through ``--data`` and may have lost leading zeros."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    elif isinstance(value, Unmaskable):
        value = value.unmask()
    if not isinstance(value, str):
        raise PydanticCustomError("secret", "expected text, from .env or the environment alone")
    if CONTROL.search(value):
        raise PydanticCustomError("secret", "expected one line without control characters")
    return SecretStr(value)


TAKEN_CIFS_OPTIONS = {
    **dict.fromkeys(("user", "username"), "smb_user"),
    **dict.fromkeys(("pass", "password", "password2"), "smb_password, in .env"),
    **dict.fromkeys(("cred", "credentials"), "smb_user and smb_password"),
    **dict.fromkeys(("dom", "domain", "workgroup"), "smb_domain"),
    **dict.fromkeys(("uid", "forceuid"), "service_uid"),
    **dict.fromkeys(("gid", "forcegid"), "service_gid"),
}
"""Options of mount.cifs(8) that follow from another setting."""


def _mount_option(value: str) -> str:
    """``name`` or ``name=value`` as in mount.cifs(8), not one that another setting gives."""
    if not re.fullmatch(r"[a-z][A-Za-z0-9_.-]*(=[^\s,\"'\\]+)?", value):
        raise ValueError("expected mount options such as seal or vers=3.0")
    key = value.partition("=")[0]
    if setting := TAKEN_CIFS_OPTIONS.get(key):
        raise ValueError(f"expected no option that follows from {setting}")
    if why := cifs.REFUSED.get(key):
        raise ValueError(f"expected no {key}, since {why}")
    return value


def _distinct(values: list[str]) -> list[str]:
    if len(values) != len(set(values)):
        raise ValueError("expected each entry once")
    return values


def _ollama_variables(values: dict[str, str]) -> dict[str, str]:
    """Variables for Ollama's unit, but for the two that are settings of their own."""
    for name, setting in (("OLLAMA_HOST", "ollama_port"), ("OLLAMA_MODELS", "ollama_models")):
        if name in values:
            raise ValueError(f"expected no {name}, which follows from {setting}")
    return values


AbsolutePath = Annotated[str, AfterValidator(_path)]
HostName = Annotated[str, AfterValidator(_host_name)]
Server = Annotated[str, AfterValidator(_server)]
Line = Annotated[str, AfterValidator(_single_line)]
Port = Annotated[int, Field(ge=1, le=65535)]
Identity = Annotated[int, AfterValidator(_identity)]
# useradd(8), as Debian and Ubuntu restrict it by default.
AccountName = Annotated[
    str, _form(r"(?!root$)[a-z_][a-z0-9_-]{0,31}", "an account name such as ai, not root")
]
OptionalAccountName = Annotated[
    str, _form(r"((?!root$)[a-z_][a-z0-9_-]{0,31})?", "a group's name such as docker, or nothing")
]
DriverBranch = Annotated[
    str, _form(r"(\d{3}(-server)?(-open)?)?", "a driver branch such as 580-open, or nothing")
]
# MS-FSCC 2.1.6: what a share name must not contain.
ShareName = Annotated[
    str, _form(r'[^"/\\\[\]:|<>+=;,*?\x00-\x1f]*', "a share's name alone, such as ki_Daten")
]
ShareUser = Annotated[
    str,
    _form(
        r'[^"/\\\[\]:|<>+=;,*?\x00-\x1f]*', "a user name alone (its domain belongs in smb_domain)"
    ),
]
MountOption = Annotated[str, AfterValidator(_mount_option)]
FolderName = Annotated[
    str, _form(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "names of folders such as checkpoints")
]
VariableName = Annotated[str, _form(r"[A-Z][A-Z0-9_]*", "variable names such as OLLAMA_DEBUG")]
# Docker Engine: names of networks (RestrictedNamePattern); three names are the Engine's own.
NetworkName = Annotated[
    str,
    _form(
        r"(?!(host|none|bridge|default)$)[A-Za-z0-9][A-Za-z0-9_.-]+",
        "a Docker network's name other than host, none, bridge and default",
    ),
]
ProxyName = Annotated[str, _form(r"[A-Za-z0-9_.-]+", "a name from Traefik's configuration")]
OptionalProxyName = Annotated[
    str, _form(r"[A-Za-z0-9_.-]*", "a name from Traefik's configuration, or nothing")
]
Middleware = Annotated[
    str, _form(r"[A-Za-z0-9_.-]+(@[a-z]+)?", "Traefik middlewares such as default@file")
]
# Go's time.ParseDuration, which Traefik uses.
Duration = Annotated[
    str, _form(r"0|(\d+(\.\d+)?(ms|s|m|h))+", "a duration such as 1h or 90s (0: no limit)")
]


# go-units' RAMInBytes, which Compose uses; 0 is no limit.
Memory = Annotated[str, _form(r"0|\d+(\.\d+)?[kmg]b?", "memory such as 512mb or 2gb (0: no limit)")]


class Settings(BaseModel):
    """All settings of one host, checked. Frozen; made by :func:`load`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True
    )

    gpu: Literal["required", "optional", "none"] = Field(
        description="Whether a run fails without a working NVIDIA GPU, tries, or leaves it out."
    )
    nvidia_driver: DriverBranch = Field(
        description="Driver branch to install on Ubuntu; empty: the driver is the user's."
    )
    docker_source: Literal["auto", "docker", "distribution"] = Field(
        description="Where a missing Docker comes from; auto: Docker on Ubuntu, else distribution."
    )
    mirror: Line = Field(description="Path of a mirror file on the control machine, or empty.")
    ca_bundle: Line = Field(
        description="Path of a CA file on the control machine that host and builds trust, or empty."
    )
    stacks_dir: AbsolutePath = Field(description="Folder that holds one folder per stack.")
    build_attestations: Annotated[
        list[Literal["provenance", "sbom"]], BeforeValidator(_words), AfterValidator(_distinct)
    ] = Field(description="What images built here carry besides their layers.")
    domain: HostName = Field(description="Services answer on <service>.<domain>.")

    service_user: AccountName = Field(description="Owner of the share's files and of containers.")
    service_uid: Identity = Field(description="Its numeric id.")
    service_group: AccountName = Field(description="Group of the model store.")
    service_gid: Identity = Field(description="Its numeric id.")

    models_path: AbsolutePath = Field(description="The model store.")
    models_folders: Annotated[
        list[FolderName], BeforeValidator(_words), AfterValidator(_distinct)
    ] = Field(description="Folders that are made in the model store.")

    models_group: OptionalAccountName = Field(
        description="Group of the model store, which must exist; empty: that of the services."
    )

    smb_server: Server = Field(description="Name or address of the file server.")
    smb_share: ShareName = Field(description="Name of the share for outputs.")
    smb_user: ShareUser = Field(description="User of the share.")
    smb_password: Annotated[SecretStr, BeforeValidator(_secret)] = Field(
        default=SecretStr(""), description="Password of the share. From .env or the environment."
    )
    smb_domain: ShareUser = Field(description="Windows domain of the user, or empty.")
    smb_mount: AbsolutePath = Field(description="Where the share is mounted.")
    smb_options: Annotated[list[MountOption], BeforeValidator(_words)] = Field(
        description="Mount options besides those that other settings give."
    )

    redis_password: Annotated[SecretStr, BeforeValidator(_secret)] = Field(
        default=SecretStr(""), description="Password of Redis. From .env or the environment."
    )

    ollama_models: AbsolutePath = Field(description="Where Ollama keeps its models.")
    ollama_port: Port = Field(description="Port on loopback and on Docker's bridge.")
    ollama_environment: Annotated[dict[VariableName, Line], AfterValidator(_ollama_variables)] = (
        Field(description="Further environment variables of Ollama's unit.")
    )

    proxy: Literal["own", "existing"] = Field(
        description="Whether this project runs Traefik, or joins one that is already there."
    )
    proxy_network: NetworkName = Field(description="Docker network of the proxy.")
    proxy_entrypoint: ProxyName = Field(description="Traefik entrypoint of the routes.")
    proxy_http_port: Port = Field(description="Port on which the own Traefik answers.")
    proxy_certresolver: OptionalProxyName = Field(
        description="Traefik certificate resolver; empty: plain HTTP."
    )
    proxy_middlewares: Annotated[list[Middleware], BeforeValidator(_words)] = Field(
        description="Traefik middlewares of every route."
    )
    proxy_read_timeout: Duration = Field(
        description="Longest time an upload may take at the own Traefik."
    )
    proxy_pids_limit: PositiveInt = Field(
        description="Processes and threads that the own Traefik may have."
    )
    proxy_mem_limit: Memory = Field(description="Memory that the own Traefik may have.")

    history: Annotated[list[PositiveInt], BeforeValidator(_words), Field(max_length=2)] = Field(
        description="Which runs tasks/history.py shows: none for the last ones, one, or two."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.proxy == "own" and self.proxy_http_port == self.ollama_port:
            raise ValueError("ollama_port and proxy_http_port are the same port")
        for name in ("models_path", "ollama_models", "stacks_dir"):
            if f"{getattr(self, name)}/".startswith(f"{self.smb_mount}/"):
                raise ValueError(
                    f"{name} lies on the share (smb_mount), where only outputs may be written"
                )
        return self

    def require(self, *names: str) -> None:
        """Raises SettingsError naming the first of the settings ``names`` that is empty."""
        for name in names:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            if value in ("", [], {}):
                raise missing(name)

    def secret(self, name: str) -> str:
        """Gives the text of the secret ``name``. Raises SettingsError if it is empty."""
        self.require(name)
        text: str = getattr(self, name).get_secret_value()
        return text

    @property
    def store_group(self) -> str:
        """The group that shares the model store."""
        return self.models_group or self.service_group

    @property
    def smb_unc(self) -> str:
        """The share as mount.cifs(8) names it: ``//server/share``, unescaped."""
        self.require("smb_server", "smb_share")
        return f"//{self.smb_server}/{self.smb_share}"


def load(data: Mapping[str, object], stacks: Iterable[str] = ()) -> Settings:
    """Checks the settings of a host.

    + data: pyinfra's merged ``host.data.dict()``; its own keys (``ssh_*``, ``_sudo`` ...) are
      left aside
    + stacks: names of the stacks, whose dictionaries (``data_key``) are left aside too

    Raises SettingsError for the first setting that is unknown, missing or impossible.
    """
    # The stack "proxy" has no data of its own: that name is a setting's.
    aside = {data_key(stack) for stack in stacks} - set(Settings.model_fields)
    given = {
        key: value
        for key, value in data.items()
        if not key.startswith(("_", "ssh_")) and key not in aside
    }
    for key in given:
        if key not in Settings.model_fields:
            raise SettingsError(
                f"{key} is not a setting{nearest(key, Settings.model_fields)}: correct or remove "
                "it in .env, in group_data/ or behind --data."
            )
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise SettingsError(_sentence(error.errors()[0])) from None


def missing(name: str) -> SettingsError:
    """Gives the error for a setting that is empty and must not be."""
    return SettingsError(
        f"{name.upper()} is not set: add it to .env (see .env.example) or to the environment."
    )


def defaults(group_data: Path = Path("group_data/all.py")) -> dict[str, object]:
    """Gives the settings that ``group_data/all.py`` assigns, for tests and tools beside pyinfra."""
    assigned = runpy.run_path(str(group_data))
    return {name: value for name, value in assigned.items() if name in Settings.model_fields}


def where(name: str) -> str:
    """Says where a person sets the setting ``name``."""
    if name in SECRETS:
        return f"set {name.upper()} in .env or in the environment"
    if takes_text(name):
        return f"set {name.upper()} in .env or {name} in group_data/all.py"
    return f"set {name} in group_data/all.py"


def takes_text(name: str) -> bool:
    """Whether a setting can be written as one line of ``.env``: all but dictionaries."""
    return name != "ollama_environment"


def _sentence(error: ErrorDetails) -> str:
    """Words one error of pydantic's; of a list, the entry at fault; of a secret, no value."""
    if not error["loc"]:
        return f"{expectation(error)}: change one of them in .env or in group_data/all.py."
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{name} is not set: {where(name)}."
    if name in SECRETS:
        return f"{name.upper()} cannot be used, {expectation(error)}: {where(name)}."
    entry = "an entry of " if len(error["loc"]) > 1 else ""
    return f"{entry}{name} is {error['input']!r}, {expectation(error)}: {where(name)}."
