"""The settings of a host: their names, their types, and what values are possible.

The defaults live in ``group_data/all.py`` alone; ``.env`` and the environment override them (see
``workstation.environment``), ``--data key=value`` overrides both. This module checks the result.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from workstation import stack_kinds
from workstation.errors import UserError, expectation, named, nearest, shown
from workstation.mounts import cifs
from workstation.pyinfra_keys import PYINFRA_KEYS, foreign_problem
from workstation.stack import data_key, is_below
from workstation.values import (
    Count,
    Domain,
    Folder,
    FolderName,
    Identity,
    Line,
    Memory,
    Port,
    Processes,
    Server,
    Variables,
    Visible,
    Written,
    distinct,
    form,
    secret_text,
    words,
    written,
)

_STACK_SECRETS = stack_kinds.secrets()
SECRETS = frozenset({"smb_password", *_STACK_SECRETS})
"""Settings that come from ``.env`` or the environment alone and are never shown."""


class SettingsError(UserError):
    """A setting that is unknown, missing or impossible."""


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
    if not re.fullmatch(r"[a-z][A-Za-z0-9_.-]*(=[^\s,\"'\\]+)?", value) or not value.isprintable():
        raise ValueError("expected mount options such as seal or vers=3.0")
    key = value.partition("=")[0]
    if setting := TAKEN_CIFS_OPTIONS.get(key):
        raise ValueError(f"expected no option that follows from {setting}")
    if why := cifs.REFUSED.get(key):
        raise ValueError(f"expected no {key}, since {why}")
    return value


def _different_options(values: list[str]) -> list[str]:
    """Mount options of which none comes twice, with two values perhaps."""
    distinct([value.partition("=")[0] for value in values])
    return values


def _ollama_variables(values: dict[str, str]) -> dict[str, str]:
    """Variables for Ollama's unit, but for the two that are settings of their own."""
    for name, setting in (("OLLAMA_HOST", "ollama_port"), ("OLLAMA_MODELS", "ollama_models")):
        if name in values:
            raise ValueError(f"expected no {name}, which follows from {setting}")
    return values


# useradd(8), as Debian and Ubuntu restrict it by default.
AccountName = Annotated[
    Written, form(r"(?!root$)[a-z_][a-z0-9_-]{0,31}", "an account name such as ai, not root")
]
OptionalAccountName = Annotated[
    Written,
    form(r"((?!root$)[a-z_][a-z0-9_-]{0,31})?", "a group's name such as docker, or nothing"),
]
DriverBranch = Annotated[
    Written, form(r"(\d{3}(-server)?(-open)?)?", "a driver branch such as 580-open, or nothing")
]
# MS-FSCC 2.1.6: what a share name must not contain.
ShareName = Annotated[
    Visible, form(r'[^"/\\\[\]:|<>+=;,*?]{0,80}', "a share's name alone, such as ki_Daten")
]
ShareUser = Annotated[
    Visible,
    form(r'[^"/\\\[\]:|<>+=;,*?]{0,256}', "a user name alone (its domain belongs in smb_domain)"),
]
MountOption = Annotated[Written, AfterValidator(_mount_option)]
# Docker Engine: names of networks (RestrictedNamePattern); three names are the Engine's own.
NetworkName = Annotated[
    Written,
    form(
        r"(?!(host|none|bridge|default)$)[A-Za-z0-9][A-Za-z0-9_.-]{1,254}",
        "a Docker network's name other than host, none, bridge and default",
    ),
]
ProxyName = Annotated[
    Written, form(r"[A-Za-z0-9_.-]{1,255}", "a name from Traefik's configuration")
]
OptionalProxyName = Annotated[
    Written, form(r"[A-Za-z0-9_.-]{0,255}", "a name from Traefik's configuration, or nothing")
]
Middleware = Annotated[
    Written, form(r"[A-Za-z0-9_.-]{1,255}(@[a-z]+)?", "Traefik middlewares such as default@file")
]
# Go's time.ParseDuration, which Traefik uses.
Duration = Annotated[
    Written,
    form(r"0|(\d{1,6}(\.\d{1,6})?(ms|s|m|h)){1,4}", "a duration such as 1h or 90s (0: no limit)"),
]


SecretSetting = Annotated[SecretStr, BeforeValidator(secret_text)]


class _Settings(BaseModel):
    """All settings of one host, checked. Frozen; made by :func:`load`. ``Settings`` has the secrets
    of stacks besides."""

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
    stacks_dir: Folder = Field(description="Folder that holds one folder per stack.")
    build_attestations: Annotated[
        list[Literal["provenance", "sbom"]], BeforeValidator(words), AfterValidator(distinct)
    ] = Field(description="What images built here carry besides their layers.")
    domain: Domain = Field(description="Services answer on <service>.<domain>.")

    service_user: AccountName = Field(description="Owner of the share's files and of containers.")
    service_uid: Identity = Field(description="Its numeric id.")
    service_group: AccountName = Field(description="Group of the model store.")
    service_gid: Identity = Field(description="Its numeric id.")

    models_path: Folder = Field(description="The model store.")
    models_folders: Annotated[
        list[FolderName], BeforeValidator(words), AfterValidator(distinct)
    ] = Field(description="Folders that are made in the model store.")

    models_group: OptionalAccountName = Field(
        description="Group of the model store, which must exist; empty: that of the services."
    )

    smb_server: Server = Field(description="Name or address of the file server.")
    smb_share: ShareName = Field(description="Name of the share for outputs.")
    smb_user: ShareUser = Field(description="User of the share.")
    smb_password: SecretSetting = Field(
        default=SecretStr(""), description="Password of the share. From .env or the environment."
    )
    smb_domain: ShareUser = Field(description="Windows domain of the user, or empty.")
    smb_mount: Folder = Field(description="Where the share is mounted.")
    smb_options: Annotated[
        list[MountOption], BeforeValidator(words), AfterValidator(_different_options)
    ] = Field(description="Mount options besides those that other settings give.")

    ollama_models: Folder = Field(description="Where Ollama keeps its models.")
    ollama_port: Port = Field(description="Port on loopback and on Docker's bridge.")
    ollama_environment: Annotated[Variables, AfterValidator(_ollama_variables)] = Field(
        description="Further environment variables of Ollama's unit."
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
    proxy_middlewares: Annotated[
        list[Middleware], BeforeValidator(words), AfterValidator(distinct)
    ] = Field(description="Traefik middlewares of every route.")
    proxy_read_timeout: Duration = Field(
        description="Longest time an upload may take at the own Traefik."
    )
    proxy_pids_limit: Processes = Field(
        description="Processes and threads that the own Traefik may have."
    )
    proxy_mem_limit: Memory = Field(description="Memory that the own Traefik may have.")

    history: Annotated[list[Count], BeforeValidator(words), Field(max_length=2)] = Field(
        description="Which runs tasks/history.py shows: none for the last ones, one, or two."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        return written(value)

    @model_validator(mode="after")
    def _consistent(self) -> _Settings:
        if self.proxy == "own" and self.proxy_http_port == self.ollama_port:
            raise ValueError("ollama_port and proxy_http_port are the same port")
        for name in ("models_path", "ollama_models", "stacks_dir"):
            if f"{getattr(self, name)}/".startswith(f"{self.smb_mount}/"):
                raise ValueError(
                    f"{name} lies on the share (smb_mount), where only outputs may be written"
                )
        # Owner, group and mode of each are other ones, for all that is in it.
        folders = ("models_path", "ollama_models", "stacks_dir", "smb_mount")
        for outer, inner in permutations(folders, 2):
            if is_below(getattr(self, inner), getattr(self, outer)):
                raise ValueError(f"{inner} lies in {outer}, or is the same folder")
        if self.proxy == "own":
            self._own_proxy()
        return self

    def _own_proxy(self) -> None:
        """Raises ValueError for what the Traefik of this project does not have."""
        if self.proxy_certresolver:
            raise ValueError(
                "proxy_certresolver is set and proxy is own, whose Traefik has no certificate "
                "resolver and speaks plain HTTP"
            )
        for name in self.proxy_middlewares:
            if name.partition("@")[2] not in ("", "docker"):
                raise ValueError(
                    f"proxy_middlewares has {name} and proxy is own, whose Traefik knows those of "
                    "labels alone (@docker)"
                )
        if "." in self.proxy_entrypoint:
            raise ValueError(
                "proxy_entrypoint has a dot and proxy is own, where dots separate options"
            )

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


if TYPE_CHECKING:
    Settings = _Settings
else:
    Settings = create_model(
        "Settings",
        __base__=_Settings,
        **{
            name: (
                SecretSetting,
                Field(
                    default=SecretStr(""),
                    description=f"Of the stack {stack}. From .env or the environment.",
                ),
            )
            for name, stack in _STACK_SECRETS.items()
        },
    )


def load(data: Mapping[str, object], stacks: Iterable[str] = ()) -> Settings:
    """Checks the settings of a host.

    + data: pyinfra's merged ``host.data.dict()``; its own keys (``ssh_*``, ``_sudo`` ...) are
      left aside
    + stacks: names of the stacks, whose dictionaries (``data_key``) are left aside too

    Raises SettingsError for the first setting that is unknown, missing or impossible.
    """
    # The stack "proxy" has no data of its own: that name is a setting's.
    aside = {data_key(stack) for stack in stacks} - set(Settings.model_fields)
    known = {*Settings.model_fields, *aside, *PYINFRA_KEYS}
    given = {}
    for key, value in data.items():
        if key in aside:
            continue
        if key.startswith(("_", "ssh_")):
            if problem := foreign_problem(key, value):
                raise SettingsError(
                    f"{problem}: correct or remove it in group_data/ or behind --data."
                )
            continue
        if key not in Settings.model_fields:
            raise SettingsError(
                f"{named(key)} is not a setting{nearest(key, known)}: correct or remove it in "
                ".env, in group_data/ or behind --data."
            )
        given[key] = value
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
        return f"{expectation(error)}: change one of the two in .env or in group_data/all.py."
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{name} is not set: {where(name)}."
    if name in SECRETS:
        return f"{name.upper()} cannot be used, {expectation(error)}: {where(name)}."
    entry = "an entry of " if len(error["loc"]) > 1 else ""
    return f"{entry}{name} is {shown(error['input'])}, {expectation(error)}: {where(name)}."
