"""The settings of a host: the name, type, default and meaning of each, stated once.

A setting without a default must be set in ``group_data/``. ``.env`` and the environment override
that (``workstation.environment``), and ``--data key=value`` overrides both. This module checks the
result; docs/settings.md and .env.example are generated from it (``workstation.documentation``).
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable, Mapping
from itertools import combinations, permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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

from workstation import stack_settings
from workstation.errors import UserError, expectation, named, nearest, shown
from workstation.pyinfra_keys import PYINFRA_KEYS, foreign_problem
from workstation.setting_types import (
    AccountName,
    DriverBranch,
    Duration,
    HeaderName,
    Login,
    LoginName,
    Middleware,
    MountOption,
    NetworkName,
    OptionalAccountName,
    OptionalAddress,
    OptionalEmail,
    OptionalIp,
    OptionalProvider,
    OptionalProxyName,
    Origin,
    PasswordSetting,
    ProxyName,
    Resolver,
    SecretSetting,
    ServiceLogins,
    ShareName,
    ShareUser,
    different_options,
    ollama_variables,
)
from workstation.stack import data_key, is_below
from workstation.stack_settings import Declared
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
    distinct,
    words,
    written,
)

_STACK_SECRETS = stack_settings.secrets()
SECRETS = frozenset({"smb_password", "login_password", *_STACK_SECRETS})
"""Settings that come only from ``.env`` or the environment and are never shown."""


class SettingsError(UserError):
    """An unknown, missing or invalid setting."""


class _Settings(BaseModel):
    """All settings of one host, checked and frozen; :func:`load` makes them. ``Settings`` adds the
    secrets of stacks."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, coerce_numbers_to_str=True, hide_input_in_errors=True
    )

    gpu: Literal["required", "optional", "none"] = Field(
        default="required",
        description="Whether containers get a GPU: `required` fails without a working NVIDIA "
        "driver, `optional` uses a GPU if there is one, `none` ignores it.",
    )
    nvidia_driver: DriverBranch = Field(
        default="",
        description="Driver branch to install on Ubuntu when no driver works, such as `580-open`; "
        "empty leaves drivers alone.",
    )
    docker_source: Literal["auto", "docker", "distribution"] = Field(
        default="auto",
        description="Where a missing Docker comes from: Docker's own apt repository, the "
        "distribution, or `auto` (Docker's on Ubuntu, the distribution's on Debian). A Docker that "
        "is already there is kept.",
    )
    mirror: Line = Field(
        default="",
        description="Path, on the control machine, of a file that says where everything is "
        "downloaded from ([mirror.md](mirror.md)); empty downloads from the upstreams.",
    )
    ca_bundle: Line = Field(
        default="",
        description="Path, on the control machine, of a file of CA certificates that the host and "
        "its image builds must trust, for a network that re-signs TLS.",
    )
    stacks_dir: Folder = Field(
        default="/opt/stacks", description="Folder on the host that holds one folder per stack."
    )
    build_attestations: Annotated[
        list[Literal["provenance", "sbom"]], BeforeValidator(words), AfterValidator(distinct)
    ] = Field(
        default=["provenance"],
        description="What is stored with images built here, where Docker uses containerd's image "
        "store: `provenance` (how the image was built), `sbom` (the list of its packages, for "
        "which each build reads the whole image).",
    )
    domain: Domain = Field(description="Services answer at names below this domain.")

    service_user: AccountName = Field(
        default="ai",
        description="User that owns the share's files and runs every container that does not have "
        "to run as root.",
    )
    service_uid: Identity = Field(default=2000, description="Numeric ID of `service_user`.")
    service_group: AccountName = Field(
        default="ai", description="Group of that user, and of the model store."
    )
    service_gid: Identity = Field(default=2000, description="Numeric ID of `service_group`.")

    models_path: Folder = Field(
        description="The model store: a folder on a local disk that all services share."
    )
    models_folders: Annotated[
        list[FolderName], BeforeValidator(words), AfterValidator(distinct)
    ] = Field(
        default=[
            "checkpoints",
            "clip",
            "clip_vision",
            "configs",
            "controlnet",
            "diffusion_models",
            "embeddings",
            "hypernetworks",
            "loras",
            "style_models",
            "text_encoders",
            "unet",
            "upscale_models",
            "vae",
            "vae_approx",
        ],
        description="Folders that a run makes in the model store, named as ComfyUI names them.",
    )

    models_group: OptionalAccountName = Field(
        default="",
        description="An existing group that owns the model store, such as `docker`; empty for "
        "`service_group`.",
    )

    smb_server: Server = Field(
        default="",
        description="Name or address of the file server that holds the share for outputs. Only "
        "needed if a stack writes to the share.",
    )
    smb_share: ShareName = Field(default="", description="Name of the share on that server.")
    smb_user: ShareUser = Field(default="", description="User who may write to the share.")
    smb_password: SecretSetting = Field(
        default=SecretStr(""), description="Password of `smb_user`."
    )
    smb_domain: ShareUser = Field(
        default="", description="Windows domain of `smb_user`; empty for none."
    )
    smb_mount: Folder = Field(description="Folder on the host where the share is mounted.")
    smb_options: Annotated[
        list[MountOption], BeforeValidator(words), AfterValidator(different_options)
    ] = Field(
        default=[],
        description="Mount options of mount.cifs(8), such as `seal`, besides `vers=3.1.1` and "
        "those that follow from other settings.",
    )

    ollama_models: Folder = Field(description="Folder where the native Ollama keeps its models.")
    ollama_port: Port = Field(
        default=11434,
        description="Port of the native Ollama, on loopback and on Docker's bridge.",
    )
    ollama_environment: Annotated[Variables, AfterValidator(ollama_variables)] = Field(
        default={},
        description="More environment variables for the native Ollama, such as "
        '`{"OLLAMA_KEEP_ALIVE": "30m"}`.',
    )

    ollama_from_containers: Literal["use", "manage"] = Field(
        default="use",
        description="What containers may do with the native Ollama: `use` its models, or also "
        "`manage` them (pull, create, copy, delete, push).",
    )

    proxy: Literal["own", "existing"] = Field(
        default="own",
        description="Whether this project runs a Traefik of its `own`, or joins an `existing` one, "
        "whose network, entrypoint, certificate resolver and middlewares the next four settings "
        "name.",
    )
    proxy_network: NetworkName = Field(
        default="proxy", description="Docker network that the proxy shares with the services."
    )
    proxy_entrypoint: ProxyName = Field(
        default="web", description="Traefik entrypoint of every route."
    )
    proxy_certresolver: OptionalProxyName = Field(
        default="",
        description="Certificate resolver of an existing Traefik; empty for plain HTTP.",
    )
    proxy_middlewares: Annotated[
        list[Middleware], BeforeValidator(words), AfterValidator(distinct)
    ] = Field(default=[], description="Traefik middlewares of every route.")
    proxy_address: OptionalIp = Field(
        default="",
        description="Address of the machine on which our own Traefik listens, such as "
        "`192.168.0.15`; empty for all, IPv6 included.",
    )
    proxy_http_port: Port = Field(default=80, description="Port of our own Traefik.")
    proxy_read_timeout: Duration = Field(
        default="1h", description="Longest time that an upload to our own Traefik may take."
    )
    proxy_pids_limit: Processes = Field(
        default=512, description="Processes and threads that our own Traefik may have."
    )
    proxy_mem_limit: Memory = Field(
        default="512mb", description="Memory that our own Traefik may use; `0` for no limit."
    )

    proxy_https_port: Port = Field(
        default=443, description="Port of our own Traefik for HTTPS, with `tls` other than `off`."
    )
    proxy_origins: Annotated[list[Origin], BeforeValidator(words), AfterValidator(distinct)] = (
        Field(
            default=[],
            description="Origins of other pages that may use services through our own Traefik, "
            "such as `https://portal.example.com`; those of the services themselves always may.",
        )
    )

    tls: Literal["off", "files", "acme", "internal"] = Field(
        default="off",
        description="HTTPS of our own Traefik: `off` (plain HTTP), `files` (your certificate), "
        "`acme` (one of Let's Encrypt, proven through DNS), `internal` (one of an authority that "
        "the machine makes for itself, and that your browsers must trust).",
    )
    tls_certificate: Line = Field(
        default="",
        description="For `files`: path, on the control machine, of the certificate with its "
        "chain, in PEM.",
    )
    tls_key: Line = Field(
        default="",
        description="For `files`: path, on the control machine, of its key, in PEM and without a "
        "passphrase.",
    )
    acme_email: OptionalEmail = Field(
        default="", description="For `acme`: address that the authority may write to."
    )
    acme_provider: OptionalProvider = Field(
        default="",
        description="For `acme`: DNS provider of the domain, as "
        "[lego](https://go-acme.github.io/lego/dns/) names it, such as `cloudflare`.",
    )
    acme_file: Line = Field(
        default="",
        description="For `acme`: path, on the control machine, of a file with the variables that "
        "lego needs for this provider, as `NAME=value` lines.",
    )
    acme_resolvers: Annotated[list[Resolver], BeforeValidator(words), AfterValidator(distinct)] = (
        Field(
            default=[],
            description="For `acme`: DNS servers that see the domain as the internet does, such as "
            "`1.1.1.1:53`, if those of the machine do not.",
        )
    )
    acme_server: OptionalAddress = Field(
        default="",
        description="For `acme`: directory of another authority than Let's Encrypt.",
    )

    login: Login = Field(
        default="password",
        description="What our own Traefik asks for before each service: `password` (the name and "
        "password in the next two settings), `forward` (a login service of yours, such as "
        "Authelia), `none` (whoever reaches the machine gets in).",
    )
    login_user: LoginName = Field(
        default="", description="Name with which people log in to the services."
    )
    login_password: PasswordSetting = Field(
        default=SecretStr(""), description="Password of `login_user`, of 8 to 72 bytes."
    )
    login_file: Line = Field(
        default="",
        description="Path, on the control machine, of a file with further users, made by "
        "`htpasswd -B`.",
    )
    login_address: OptionalAddress = Field(
        default="",
        description="For `forward`: the address at which the login service tells whether a "
        "request may pass, as Traefik's container reaches it.",
    )
    login_headers: Annotated[list[HeaderName], BeforeValidator(words), AfterValidator(distinct)] = (
        Field(
            default=[],
            description="For `forward`: headers of its answer that services receive, such as "
            "`Remote-User`.",
        )
    )
    login_services: ServiceLogins = Field(
        default={},
        description='Services with another login than `login`, such as `{"forge": "none"}`.',
    )

    history: Annotated[list[Count], BeforeValidator(words), Field(max_length=2)] = Field(
        default=[],
        description="Which runs to show: one number shows that run in full (1 is the last), two "
        "numbers show how they differ, none lists the last runs.",
        json_schema_extra={"task": "history"},
    )

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: object) -> object:
        return written(value)

    @model_validator(mode="after")
    def _consistent(self) -> _Settings:
        ports = ["ollama_port"]
        if self.proxy == "own":
            ports += ["proxy_http_port", *(["proxy_https_port"] if self.tls != "off" else [])]
        for one, other in combinations(ports, 2):
            if getattr(self, one) == getattr(self, other):
                raise ValueError(f"{one} and {other} are the same port")
        for name in ("models_path", "ollama_models", "stacks_dir"):
            if f"{getattr(self, name)}/".startswith(f"{self.smb_mount}/"):
                raise ValueError(f"{name} is on the share (smb_mount), which is only for outputs")
        # Each has its own owner, group and mode for everything in it.
        folders = ("models_path", "ollama_models", "stacks_dir", "smb_mount")
        for outer, inner in permutations(folders, 2):
            if is_below(getattr(self, inner), getattr(self, outer)):
                raise ValueError(f"{inner} is inside {outer}, or is the same folder")
        if self.proxy == "own":
            self._own_proxy()
        else:
            self._existing_proxy()
        return self

    def _existing_proxy(self) -> None:
        """Raise ValueError for a setting that only the Traefik of this project heeds."""
        for name, field in type(self).model_fields.items():
            own = name.startswith(("login", "tls", "acme", "proxy_origins", "proxy_address"))
            if own and getattr(self, name) != field.default:
                raise ValueError(
                    f"{name} is set although proxy is existing: logins and certificates are those "
                    "of your own Traefik (proxy_middlewares, proxy_certresolver)"
                )

    def _own_proxy(self) -> None:
        """Raise ValueError for a feature that the Traefik of this project does not have."""
        if self.proxy_certresolver:
            raise ValueError(
                "proxy_certresolver is set although proxy is own, whose certificates come from tls"
            )
        for name in self.proxy_middlewares:
            if name.partition("@")[2] not in ("", "docker"):
                raise ValueError(
                    f"proxy_middlewares has {name} although proxy is own, whose Traefik knows only "
                    "middlewares from labels (@docker)"
                )
        if self.tls == "acme" and not self.acme_provider:
            raise ValueError("tls is acme, but acme_provider does not name the DNS provider")
        for name in type(self).model_fields:
            kind = {"tls_": "files", "acme": "acme"}.get(name[:4])
            if kind and kind != self.tls and getattr(self, name):
                raise ValueError(f"{name} is set although tls is {self.tls}, not {kind}")
        if "." in self.proxy_entrypoint:
            raise ValueError(
                "proxy_entrypoint has a dot although proxy is own, where dots separate options"
            )

    def require(self, *names: str) -> None:
        """Raise SettingsError for the first of the settings ``names`` that is empty."""
        for name in names:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = value.get_secret_value()
            if value in ("", [], {}):
                raise missing(name)

    def secret(self, name: str) -> str:
        """Return the text of the secret ``name``. Raises SettingsError if it is empty."""
        self.require(name)
        text: str = getattr(self, name).get_secret_value()
        return text

    def login_of(self, service: str) -> Login | Literal["unknown"]:
        """Return what the proxy asks for before a service; unknown if the proxy is not ours."""
        if self.proxy == "existing":
            return "unknown"
        return self.login_services.get(service, self.login)

    @property
    def proxy_shown(self) -> str:
        """The address at which the machine itself reaches the proxy, as in a URL."""
        address = self.proxy_address or "127.0.0.1"
        return f"[{address}]" if ":" in address else address

    @property
    def store_group(self) -> str:
        """The group that shares the model store."""
        return self.models_group or self.service_group

    @property
    def smb_unc(self) -> str:
        """The share as mount.cifs(8) names it: ``//server/share``, unescaped."""
        self.require("smb_server", "smb_share")
        return f"//{self.smb_server}/{self.smb_share}"


def _secret_fields() -> dict[str, Any]:
    """Return the fields of the stacks' secrets. Raises SettingsError for a name that already means
    something else."""
    for name, stack in _STACK_SECRETS.items():
        if hasattr(_Settings, name) or name in _Settings.model_fields or _TAKEN.fullmatch(name):
            raise SettingsError(
                f"The secret {name} in templates/stacks/{stack}/_data.yml has a name that this "
                "project uses for something else: rename it.",
                id="declaration-invalid",
            )
    declared = {
        name: stack_settings.declared(stack)[name] for name, stack in _STACK_SECRETS.items()
    }
    return {
        name: (_SECRET_TYPES[one.type], Field(default=SecretStr(""), description=one.meaning))
        for name, one in declared.items()
        if isinstance(one, Declared)
    }


_SECRET_TYPES = {"secret": SecretSetting, "password": PasswordSetting}


# Keys in .env that are not settings, and what pyinfra reads.
_TAKEN = re.compile("ssh_.*|stacks|workstation_host|env_file")

if TYPE_CHECKING:
    Settings = _Settings
else:
    Settings = create_model("Settings", __base__=_Settings, **_secret_fields())


def load(data: Mapping[str, object], stacks: Iterable[str] = ()) -> Settings:
    """Return the checked settings of a host.

    + data: pyinfra's merged ``host.data.dict()``; pyinfra's own keys (``ssh_*``, ``_sudo`` ...)
      are ignored
    + stacks: names of the stacks, whose dictionaries (``data_key``) are ignored too

    Raises SettingsError for the first unknown, missing or invalid setting.
    """
    # The stack "proxy" has no data of its own: that name belongs to a setting.
    aside = {data_key(stack) for stack in stacks} - set(Settings.model_fields)
    known = {*Settings.model_fields, *aside, *PYINFRA_KEYS}
    given = {}
    for key, value in data.items():
        if key in aside:
            continue
        if key.startswith(("_", "ssh_")):
            if problem := foreign_problem(key, value):
                raise SettingsError(
                    f"{problem}: correct or remove it in group_data/ or --data.",
                    id="setting-unknown",
                )
            continue
        if key not in Settings.model_fields:
            raise SettingsError(
                f"{named(key)} is not a setting{nearest(key, known)}: correct or remove it in "
                ".env, group_data/ or --data.",
                id="setting-unknown",
            )
        given[key] = value
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "missing":
            raise SettingsError(_sentence(first), id="setting-missing") from None
        if not first["loc"]:
            raise SettingsError(_sentence(first), id="settings-conflict") from None
        raise SettingsError(_sentence(first), id="setting-invalid") from None


def missing(name: str) -> SettingsError:
    """Return the error for an empty setting that must not be empty."""
    return SettingsError(
        f"{name.upper()} is not set: add it to .env (see .env.example) or to the environment.",
        id="setting-missing",
    )


def defaults(group_data: Path = Path("group_data/all.py")) -> dict[str, object]:
    """Return every setting except secrets, as a host has it if only ``group_data/all.py`` sets
    anything; for tests and tools that run without pyinfra."""
    own = {
        name: field.get_default(call_default_factory=True)
        for name, field in Settings.model_fields.items()
        if not field.is_required() and name not in SECRETS
    }
    assigned = runpy.run_path(str(group_data))
    return own | {name: value for name, value in assigned.items() if name in Settings.model_fields}


def where(name: str) -> str:
    """Return where a person sets the setting ``name``, as a part of a sentence."""
    if name in SECRETS:
        return f"set {name.upper()} in .env or in the environment"
    if takes_text(name):
        return f"set {name.upper()} in .env or {name} in group_data/all.py"
    return f"set {name} in group_data/all.py"


def takes_text(name: str) -> bool:
    """Return whether a setting fits on one line of ``.env``: all do except dictionaries."""
    return name not in ("ollama_environment", "login_services")


def _sentence(error: ErrorDetails) -> str:
    """Return the sentence for one of pydantic's errors: for a list, about the invalid entry; for a
    secret, without its value."""
    if not error["loc"]:
        return f"{expectation(error)}: change one of the two in .env or in group_data/all.py."
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{name} is not set: {where(name)}."
    if name in SECRETS:
        return f"{name.upper()} is invalid, {expectation(error)}: {where(name)}."
    entry = "an entry of " if len(error["loc"]) > 1 else ""
    # Mount options may contain a password, in whatever form they are given.
    given = re.sub(r"(?i)(pass\w*=).*", r"\1...", shown(error["input"]))
    return f"{entry}{name} is {given}, {expectation(error)}: {where(name)}."
